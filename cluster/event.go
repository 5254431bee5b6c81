package cluster

import (
	"context"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// Events tells what happens in a node, for metrics, logs and whoever follows
// ownership. Each function may be nil. They are called from the goroutines that
// do the work: they must not block and must not call the Node, except that
// OwnershipChanged and HandingOver may, and Leaving may do both.
type Events struct {
	// OwnershipChanged is called with the new ownership's number when it begins,
	// and with 0 when it is over and every proposal made under it has its answer.
	// Calls for one shard come one at a time and in order.
	OwnershipChanged func(shard placement.ShardID, ownership uint64)
	// OwnershipEnded is called just before OwnershipChanged with 0, and says why.
	OwnershipEnded func(shard placement.ShardID, cause OwnershipEnd)
	// Leaving is called when this node is about to give a shard to another, and
	// returns when what is under way there has ended, or when ctx ends: the ownership
	// goes on until then. LeavingOver follows when the shard is given away, or stays
	// after all. There is one such pair at a time for a shard.
	Leaving     func(ctx context.Context, shard placement.ShardID)
	LeavingOver func(shard placement.ShardID)
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
	// SnapshotSent reports that a follower has got a snapshot of a shard, and restored
	// it, or why not.
	SnapshotSent func(shard placement.ShardID, bytes int64, latency time.Duration, err error)
	// SnapshotInstalled reports that this node's replica has restored a snapshot that
	// it was sent, or why not; latency is that of restoring.
	SnapshotInstalled func(shard placement.ShardID, bytes int64, latency time.Duration, err error)
	// ShardStepped reports a step that this node, as the control leader, had an owner
	// make on a shard's way to where it belongs.
	ShardStepped func(shard placement.ShardID, step placement.StepKind, err error)
	// ReplicaStopped reports that this node's replica of a shard ran into
	// something that it must not skip, and takes part no more.
	ReplicaStopped func(shard placement.ShardID, err error)
	// StorageFull reports that writes are refused for want of disk space, or
	// accepted again.
	StorageFull func(full bool, freeBytes uint64)
}

// OwnershipEnd says why an ownership is over.
type OwnershipEnd uint8

// Ends of an ownership.
const (
	EndHandedOver     OwnershipEnd = iota // another replica was made the leader: a drain, a move
	EndLostLeadership                     // another was elected, or no majority answers
	EndNotApplied                         // an entry was not applied: a new ownership follows, as a rule
	EndStopped                            // the replica met something that it must not skip
	EndClosed                             // the node stops, or has to give the replica up
)

// String gives the end's name as it stands in metrics.
func (e OwnershipEnd) String() string {
	return [...]string{"handed_over", "leadership_lost", "not_applied", "replica_stopped", "closed"}[e]
}

// OwnershipEnds gives all of them.
func OwnershipEnds() []OwnershipEnd {
	return []OwnershipEnd{EndHandedOver, EndLostLeadership, EndNotApplied, EndStopped, EndClosed}
}

func (e *Events) ownershipEnded(shard placement.ShardID, cause OwnershipEnd) {
	if e.OwnershipEnded != nil {
		e.OwnershipEnded(shard, cause)
	}
}

func (e *Events) ownershipChanged(shard placement.ShardID, ownership uint64) {
	if e.OwnershipChanged != nil {
		e.OwnershipChanged(shard, ownership)
	}
}

func (e *Events) leaving(ctx context.Context, shard placement.ShardID) {
	if e.Leaving != nil {
		e.Leaving(ctx, shard)
	}
}

func (e *Events) leavingOver(shard placement.ShardID) {
	if e.LeavingOver != nil {
		e.LeavingOver(shard)
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

func (e *Events) snapshotSent(shard placement.ShardID, bytes int64, latency time.Duration, err error) {
	if e.SnapshotSent != nil {
		e.SnapshotSent(shard, bytes, latency, err)
	}
}

func (e *Events) snapshotInstalled(shard placement.ShardID, bytes int64, latency time.Duration, err error) {
	if e.SnapshotInstalled != nil {
		e.SnapshotInstalled(shard, bytes, latency, err)
	}
}

func (e *Events) shardStepped(shard placement.ShardID, step placement.StepKind, err error) {
	if e.ShardStepped != nil {
		e.ShardStepped(shard, step, err)
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
