package actor

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrStoreClosed means that the Store was closed before the call.
var ErrStoreClosed = errors.New("actor: state database is closed")

// Bounds of the state database. Pebble takes the memory of its memtables out of
// the cache's, so one number bounds both; a cache that is not much larger than
// two memtables holds no block at all.
const (
	defaultCacheBytes = 48 << 20
	memTableBytes     = 8 << 20
	memTables         = 4 // more make writers wait for the flush
	maxOpenFiles      = 512
	bloomBits         = 10 // per key; 1 % of the looks for an absent key read a block in vain
	maxCompactions    = 2
)

// StoreConfig configures OpenStore.
type StoreConfig struct {
	Dir     string          // made if it is not there; nothing else may be in it
	FS      vfs.FS          // nil = the operating system's
	ShardOf func(ID) uint32 // required; part of the disk format: it must never change for a directory

	// AlarmSet, if not nil, is called from Apply after the commit, once for each
	// object whose alarm a batch set. It must not block.
	AlarmSet func(shard uint32, due int64)

	// Fatal is called when a write or sync fails and must not return. nil panics.
	Fatal func(msg string)

	Log        *slog.Logger // nil = none
	CacheBytes int64        // memory for blocks read from disk and for memtables; 0 = 48 MiB
}

// Store is the state database of a node: the objects of all its shards, with the
// index of the last log entry that each shard's state contains. It satisfies
// cluster.StateMachine by shape. Methods may be called from any goroutine,
// except that Apply is called for one shard from one goroutine.
type Store struct {
	// Fixed after OpenStore.
	dir      string
	db       *pebble.DB
	lock     *pebble.Lock
	shardOf  func(ID) uint32
	alarmSet func(shard uint32, due int64)

	mu       sync.RWMutex // guards the following fields; never held over a call of the database
	closed   bool
	appliers map[uint32]*applier // by shard; each is owned by the goroutine that applies the shard
	calls    sync.WaitGroup      // calls of the database that Close waits for
}

// OpenStore opens the state database in cfg.Dir or makes a new one.
func OpenStore(cfg StoreConfig) (*Store, error) {
	if cfg.Dir == "" || cfg.ShardOf == nil {
		return nil, errors.New("actor: open state database: Dir and ShardOf are required")
	}
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Fatal == nil {
		cfg.Fatal = func(msg string) { panic(msg) }
	}
	lock, err := claimDirectory(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	db, err := pebble.Open(cfg.Dir, storeOptions(cfg, lock))
	if err != nil {
		if pebble.IsCorruptionError(err) {
			err = fmt.Errorf("%w: %w", ErrCorruptState, err)
		}
		return nil, errors.Join(fmt.Errorf("actor: open state database %s: %w", cfg.Dir, err), lock.Close())
	}
	return &Store{
		dir:      cfg.Dir,
		db:       db,
		lock:     lock,
		shardOf:  cfg.ShardOf,
		alarmSet: cfg.AlarmSet,
		appliers: make(map[uint32]*applier),
	}, nil
}

func storeOptions(cfg StoreConfig, lock *pebble.Lock) *pebble.Options {
	log := storeLog{log: cfg.Log, fatal: cfg.Fatal}
	opts := &pebble.Options{
		FS:     cfg.FS,
		Lock:   lock,
		Logger: log,
		EventListener: &pebble.EventListener{
			DataCorruption: log.corrupted,
		},
		// The default would raise the version step by step through a global that
		// a second synctest bubble in the process cannot use.
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   defaultCacheBytes,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: memTables,
		MaxOpenFiles:                maxOpenFiles,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, maxCompactions },
	}
	if cfg.CacheBytes > 0 {
		opts.CacheSize = cfg.CacheBytes
	}
	if cfg.FS != vfs.Default {
		// The usual scheduler ticks ten times a second: a week of virtual time would
		// be six million ticks.
		opts.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	return opts
}

// Close waits for the calls under way and closes the database. What Apply did
// since the last Sync is usually durable then, but only Sync promises it.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return ErrStoreClosed
	}
	s.calls.Wait()
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("actor: close state database %s: %w", s.dir, err)
	}
	return nil
}

// Sync returns when everything that Apply has executed before is durable.
func (s *Store) Sync() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	// A synced record in the write-ahead log makes all records before it durable.
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return s.fault("sync", err)
	}
	return nil
}

// StoreMetrics are figures of the state database.
type StoreMetrics struct {
	DiskBytes       uint64 // all its files
	MemTableBytes   uint64 // written and not flushed yet
	CacheBytes      int64  // blocks read from disk
	CacheHits       int64
	CacheMisses     int64
	Compactions     int64
	CompactionDebt  uint64 // bytes that compactions are behind
	ReadAmplication int    // sorted runs that a read may have to look at
}

// Metrics gives figures for an operator; it is not free, so poll it seldom.
func (s *Store) Metrics() (StoreMetrics, error) {
	if err := s.enter(); err != nil {
		return StoreMetrics{}, err
	}
	defer s.calls.Done()
	m := s.db.Metrics()
	return StoreMetrics{
		DiskBytes:       m.DiskSpaceUsage(),
		MemTableBytes:   m.MemTable.Size,
		CacheBytes:      m.BlockCache.Size,
		CacheHits:       m.BlockCache.Hits,
		CacheMisses:     m.BlockCache.Misses,
		Compactions:     m.Compact.Count,
		CompactionDebt:  m.Compact.EstimatedDebt,
		ReadAmplication: m.ReadAmp(),
	}, nil
}

// enter keeps the database open until the caller calls calls.Done.
func (s *Store) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrStoreClosed
	}
	s.calls.Add(1)
	return nil
}

// fault adds to an error of the database what was tried and where.
func (s *Store) fault(tried string, err error) error {
	if pebble.IsCorruptionError(err) {
		err = fmt.Errorf("%w: %w", ErrCorruptState, err)
	}
	return fmt.Errorf("actor: %s in state database %s: %w", tried, s.dir, err)
}
