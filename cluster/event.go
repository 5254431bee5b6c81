package cluster

import (
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// Events tells what happens in a node, for metrics, logs and whoever follows
// ownership. Each function may be nil. They are called from the goroutines that
// do the work: they must not block and must not call the Node, except that
// OwnershipChanged and HandingOver may.
type Events struct {
	// OwnershipChanged is called with the new ownership's number when it begins,
	// and with 0 when it is over and every proposal made under it has its answer.
	// Calls for one shard come one at a time and in order.
	OwnershipChanged func(shard placement.ShardID, ownership uint64)
	// HandingOver is called just before an ownership ends because this node gives
	// the shard to another. What is proposed before it returns is still committed first.
	HandingOver func(shard placement.ShardID)
	// LeadershipChanged reports elections that this node won or leaderships that it lost.
	LeadershipChanged func(shard placement.ShardID, leader bool)
	// Answered reports the answer to an entry: nil, an ErrRefused or ErrUnknown;
	// latency is counted from when it was handed to Raft, batchBytes are those of
	// its batches.
	Answered func(shard placement.ShardID, batches, batchBytes int, latency time.Duration, err error)
	// LogStored reports one durable write of Raft entries: latency is that of
	// one sync and whatever it waited for.
	LogStored func(entries, bytes int, latency time.Duration)
	// SnapshotTaken reports that a shard's state was made durable up to index and
	// its log cut, or why not.
	SnapshotTaken func(shard placement.ShardID, index uint64, latency time.Duration, err error)
	// ReplicaStopped reports that this node's replica of a shard ran into
	// something that it must not skip, and takes part no more.
	ReplicaStopped func(shard placement.ShardID, err error)
	// StorageFull reports that writes are refused for want of disk space, or
	// accepted again.
	StorageFull func(full bool, freeBytes uint64)
}

func (e *Events) ownershipChanged(shard placement.ShardID, ownership uint64) {
	if e.OwnershipChanged != nil {
		e.OwnershipChanged(shard, ownership)
	}
}

func (e *Events) handingOver(shard placement.ShardID) {
	if e.HandingOver != nil {
		e.HandingOver(shard)
	}
}

func (e *Events) leadershipChanged(shard placement.ShardID, leader bool) {
	if e.LeadershipChanged != nil {
		e.LeadershipChanged(shard, leader)
	}
}

func (e *Events) answered(shard placement.ShardID, batches, batchBytes int, latency time.Duration, err error) {
	if e.Answered != nil {
		e.Answered(shard, batches, batchBytes, latency, err)
	}
}

func (e *Events) logStored(entries, bytes int, latency time.Duration) {
	if e.LogStored != nil {
		e.LogStored(entries, bytes, latency)
	}
}

func (e *Events) snapshotTaken(shard placement.ShardID, index uint64, latency time.Duration, err error) {
	if e.SnapshotTaken != nil {
		e.SnapshotTaken(shard, index, latency, err)
	}
}

func (e *Events) replicaStopped(shard placement.ShardID, err error) {
	if e.ReplicaStopped != nil {
		e.ReplicaStopped(shard, err)
	}
}

func (e *Events) storageFull(full bool, freeBytes uint64) {
	if e.StorageFull != nil {
		e.StorageFull(full, freeBytes)
	}
}
