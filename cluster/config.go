package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// Bounds. Each is on the bytes of batches, not of what surrounds them.
const (
	// MaxBatchBytes is the largest batch that Propose takes.
	MaxBatchBytes = 16 << 20
	// maxEntryBytes closes an entry, unless a single batch is larger.
	maxEntryBytes = 1 << 20
	// maxShardBytes bounds what is waiting or in flight for one shard.
	maxShardBytes = 16 << 20
	// maxNodeBytes bounds the same for all shards of the node.
	maxNodeBytes = 256 << 20
	// DefaultMinFreeBytes of disk are left alone when Config does not say.
	DefaultMinFreeBytes = 64 << 20
)

// minHeartbeatTimeout is below what a disk or a scheduler lets a node keep.
const minHeartbeatTimeout = 100 * time.Millisecond

// Config says what Open needs. Zero values have the meaning that is given.
type Config struct {
	// Dir is the data directory; it is made if it does not exist.
	Dir string
	// Name of the node, fixed when the directory is made. Empty: the recorded
	// one, and DefaultName for a new directory.
	Name        string
	DefaultName string
	// Shards is used only when the cluster is created. 0: placement.DefaultShards.
	Shards int
	// HeartbeatTimeout is used only when the cluster is created, like Shards, and
	// is there for tests in virtual time, which get quicker when idle groups look
	// around less often. 0: DefaultHeartbeatTimeout.
	HeartbeatTimeout time.Duration
	// Network reaches other nodes. nil: the node is and stays a cluster of one.
	Network *Network
	// Clock counts on while the machine sleeps; leases rest on it. nil: the
	// system's boot time.
	Clock func() time.Duration
	// MinFreeBytes of the disk are kept free: below it proposals are refused
	// with ErrStorageFull and reads go on. 0: DefaultMinFreeBytes.
	MinFreeBytes uint64

	// Log gets what operators should see. nil: nothing is logged.
	Log *slog.Logger
	// FS holds the directory and the log database. nil: the real file system.
	FS vfs.FS
	// Control keeps the control group and outlives the node. nil: raft-boltdb
	// and snapshot files in Dir, which need the real file system.
	Control ControlStore
	// Events are reported as they happen.
	Events Events
	// Fatal is called when the node must end at once: a write or sync of the log
	// failed, so that nobody can say what the disk holds. It must not return.
	// nil: panic.
	Fatal func(error)

	// snapshotEntries may be made small by tests. 0: the constant.
	snapshotEntries int64
	// faults builds the broken variants that tests of the checkers demand.
	faults faults
}

// faults are deliberate mistakes. There are none outside of tests.
type faults struct {
	ackBeforeSync bool // the log answers before its entries are durable
	stubNoSync    bool // a snapshot is declared without making the state durable
	noFence       bool // entries take effect whatever their ownership and n

	ownBeforeOpen  bool // an ownership begins before its Open entry is applied
	logBeforeState bool // an installed snapshot replaces the log before the state has it

	leaseFromAnswer bool // a lease begins with the receipt of the answer
	voteAtOnce      bool // a replica votes as soon as it has started
	voteEmpty       bool // a replica without a configuration votes
	unprompted      bool // nobody prompts followers to look for their leader
	neverSilent     bool // a node whose disk is stalled goes on as if it were not

	promiseAll bool // a node promises to everybody who asks
	dropAtOnce bool // a replica's data goes while its group may still count on it
	anyLook    bool // a step is made whatever has been decided since it was chosen

	shortLog bool // no mistake: as little of a log stays as may be

	// wrap puts something between a group and the library.
	wrap func(placement.ShardID, proposer) proposer
}

// withDefaults checks the configuration and fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("cluster: configuration: no data directory"))
	} else if dir, err := filepath.Abs(c.Dir); err != nil {
		errs = append(errs, fmt.Errorf("cluster: configuration: data directory %q: %w", c.Dir, err))
	} else {
		c.Dir = dir
	}
	if c.Name != "" {
		errs = append(errs, validateName(c.Name))
	}
	if c.Shards == 0 {
		c.Shards = placement.DefaultShards
	}
	errs = append(errs, placement.ValidateShards(c.Shards))
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = DefaultHeartbeatTimeout
	}
	if !validHeartbeat(c.HeartbeatTimeout.Milliseconds()) {
		errs = append(errs, fmt.Errorf("cluster: configuration: heartbeat time-out %v: want %v to %v", c.HeartbeatTimeout, minHeartbeatTimeout, maxHeartbeatTimeout))
	}
	if c.Network != nil {
		var err error
		c.Network, err = c.Network.withDefaults()
		errs = append(errs, err)
	}
	if c.snapshotEntries == 0 {
		c.snapshotEntries = snapshotEntries
	}
	if c.MinFreeBytes == 0 {
		c.MinFreeBytes = DefaultMinFreeBytes
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) { panic(err) }
	}
	return c, errors.Join(errs...)
}
