package cluster

import (
	"log/slog"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// DefaultHeartbeatTimeout is how long a group's followers wait for its leader;
// an election takes about as long, and so does a leader that hears of no quorum.
// It is recorded when the cluster is created, and there is no flag for it: leases
// rest on all nodes having the same.
const DefaultHeartbeatTimeout = 500 * time.Millisecond

const (
	// commitTimeout delays only how soon an idle follower learns the last commit
	// index; the library's default costs half of the CPU of idle groups.
	commitTimeout = time.Second
	// maxAppendEntries bounds an append and the library's queue of proposals.
	maxAppendEntries = 256
)

// raftConfig is the library's configuration for one replica. The library's own
// snapshot timer is off: snapshots are taken by bytes (snapshotter).
func raftConfig(id raft.ServerID, timeout time.Duration, trailing uint64, log *slog.Logger) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = id
	conf.HeartbeatTimeout = timeout
	conf.ElectionTimeout = timeout
	conf.LeaderLeaseTimeout = timeout
	conf.CommitTimeout = max(commitTimeout, timeout/4) // a quarter only in virtual time, where days pass
	conf.MaxAppendEntries = maxAppendEntries
	conf.BatchApplyCh = true
	conf.TrailingLogs = trailing
	conf.SnapshotInterval = math.MaxInt64 / 4 // the library waits up to twice that
	conf.SnapshotThreshold = math.MaxUint64
	conf.NoLegacyTelemetry = true
	conf.NoSnapshotRestoreOnStart = true
	conf.ShutdownOnRemove = false // whoever removes a replica's data stops it first
	conf.Logger = raftLogger{log: log}
	return conf
}

// campaign makes a replica that is the only voter stand for election at once,
// instead of after one or two timeouts in which nobody can have anything to say:
// the library looks at its last contact when the timeout gets shorter, so it is
// made longer by a nanosecond first.
func campaign(r *raft.Raft) error {
	usual := r.ReloadableConfig()
	longer := usual
	longer.HeartbeatTimeout++
	longer.ElectionTimeout++
	if err := r.ReloadConfig(longer); err != nil {
		return err
	}
	return r.ReloadConfig(usual)
}
