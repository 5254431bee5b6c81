package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// logFormatVersion is the newest form of the log database: its keys and records.
const logFormatVersion = 1

// Sizes of the log database. Entries live briefly: most are cut off before they
// are ever compacted, so memory goes to the memtables and little to the cache.
const (
	logMemTableBytes = 32 << 20
	logCacheBytes    = 8 << 20
)

// logDB is the one database that holds the Raft logs, terms, votes and snapshot
// stubs of all groups of a node, so that all of them share one sync.
//
// Keys are: 'm' and a name for what belongs to the database; 'g', shard (4
// bytes), replica number (8 bytes) and a kind for what belongs to one replica,
// so that a replica is one key range. Numbers in keys are big endian.
type logDB struct {
	// Fixed after openLogDB.
	db     *pebble.DB
	path   string
	events *Events
	fatal  func(error)
	faults faults

	writes  writesInProgress // of entries, terms and votes
	closing sync.RWMutex     // held for reading while a reader that nobody waits for uses db
	closed  bool             // guarded by closing
}

// logMeta says which data directory a log database belongs to.
type logMeta struct {
	Version   int    `json:"version"`
	Directory string `json:"directory"`
}

// logDBConfig is what openLogDB needs.
type logDBConfig struct {
	fs        vfs.FS
	path      string // an existing directory
	directory directoryID
	create    bool // whether a database that is not there yet may be made
	log       *slog.Logger
	events    *Events
	fatal     func(error) // does not return
	faults    faults
}

// openLogDB opens the database. Damage, another version and another directory's
// database are errors, and nothing is changed.
func openLogDB(cfg logDBConfig) (*logDB, error) {
	cache := pebble.NewCache(logCacheBytes)
	defer cache.Unref()
	opts := &pebble.Options{
		FS:                    cfg.fs,
		Cache:                 cache,
		FormatMajorVersion:    pebble.FormatNewest,
		MemTableSize:          logMemTableBytes,
		L0CompactionThreshold: 4,
		ErrorIfNotExists:      !cfg.create,
		Logger:                pebbleLogger{log: cfg.log, fatal: cfg.fatal},
	}
	if cfg.fs != vfs.Default {
		// The usual scheduler ticks ten times a second, to notice that more
		// compactions may run at once; a week of virtual time would be six million
		// ticks. The limit of this database never changes.
		opts.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	}
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	db, err := pebble.Open(cfg.path, opts)
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return nil, fmt.Errorf("cluster: open log database %s: it is gone, and with it acknowledged writes: restore the directory from a backup: %w", cfg.path, ErrDataLoss)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: open log database %s: %w: %w", cfg.path, ErrCorrupt, err)
	}
	d := &logDB{db: db, path: cfg.path, events: cfg.events, fatal: cfg.fatal, faults: cfg.faults}
	if err := d.checkMeta(cfg.directory, cfg.create); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

// checkMeta makes sure that the database is of this version and this directory.
func (d *logDB) checkMeta(directory directoryID, create bool) error {
	data, err := d.get(metaKey("format"))
	if errors.Is(err, pebble.ErrNotFound) && create {
		data, err := json.Marshal(logMeta{Version: logFormatVersion, Directory: directory.String()})
		if err != nil {
			return fmt.Errorf("cluster: encode format of the log database: %w", err)
		}
		return d.set(metaKey("format"), data)
	}
	if err != nil {
		return fmt.Errorf("cluster: read format of log database %s: %w: %w", d.path, ErrCorrupt, err)
	}
	var meta logMeta
	if err := json.Unmarshal(data, &meta); err != nil {
		return fmt.Errorf("cluster: decode format of log database %s: %w: %w", d.path, ErrCorrupt, err)
	}
	if meta.Version != logFormatVersion {
		return fmt.Errorf("cluster: log database %s has format %d, this program knows %d: %w", d.path, meta.Version, logFormatVersion, ErrUnknownVersion)
	}
	if meta.Directory != directory.String() {
		return fmt.Errorf("cluster: log database %s belongs to data directory %s, not to %s: %w", d.path, meta.Directory, directory, ErrCorrupt)
	}
	return nil
}

// nextStart counts the starts of this directory: 1, 2, 3… Two calls never give
// the same number, whatever happens in between.
func (d *logDB) nextStart() (uint64, error) {
	data, err := d.get(metaKey("start"))
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return 0, fmt.Errorf("cluster: read start number: %w", err)
	}
	if err == nil && len(data) != 8 {
		return 0, fmt.Errorf("cluster: read start number: %w", ErrCorrupt)
	}
	start := uint64(1)
	if err == nil {
		start = binary.BigEndian.Uint64(data) + 1
	}
	return start, d.set(metaKey("start"), binary.BigEndian.AppendUint64(nil, start))
}

// get gives a copy of a value, or pebble.ErrNotFound.
func (d *logDB) get(key []byte) ([]byte, error) {
	value, closer, err := d.db.Get(key)
	if err != nil {
		return nil, err
	}
	data := append([]byte{}, value...)
	return data, closer.Close()
}

// set stores a value and returns when it is durable.
func (d *logDB) set(key, value []byte) error {
	write := d.writes.begin()
	defer d.writes.end(write)
	return d.check(d.db.Set(key, value, pebble.Sync))
}

// check ends the process when a write failed. After a failed write or sync the
// disk may hold anything: to go on, or to try again, could acknowledge what a
// crash then takes away.
func (d *logDB) check(err error) error {
	if err != nil {
		d.fatal(fmt.Errorf("cluster: write log database %s: %w", d.path, err))
	}
	return err
}

// diskBytes gives how much disk the database takes; 0 when it is closed.
func (d *logDB) diskBytes() uint64 {
	d.closing.RLock()
	defer d.closing.RUnlock()
	if d.closed {
		return 0
	}
	return d.db.Metrics().DiskSpaceUsage()
}

// close closes the database. All groups must have been shut down.
func (d *logDB) close() error {
	d.closing.Lock()
	defer d.closing.Unlock()
	d.closed = true
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("cluster: close log database: %w", err)
	}
	return nil
}

func metaKey(name string) []byte { return append([]byte{'m'}, name...) }

// Kinds of keys of one replica, in key order.
const (
	keyLog      = 'l' // and the index, 8 bytes
	keyStub     = 'p'
	keyReceived = 'r' // the mark of a snapshot that has to be restored
	keyStable   = 's' // and the library's name
)

// replicaPrefix begins all keys of one replica of a shard.
func replicaPrefix(shard placement.ShardID, number uint64) []byte {
	prefix := binary.BigEndian.AppendUint32([]byte{'g'}, uint32(shard))
	return binary.BigEndian.AppendUint64(prefix, number)
}

// replicaNumber reads the number out of a key of a replica.
func replicaNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[5:]) }
