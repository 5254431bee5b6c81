package cluster

import "github.com/holdfast-dev/holdfast/placement"

// Status is a picture of a node, for health checks and metrics. Its parts are
// read one after the other and may be of slightly different moments.
type Status struct {
	Name        string
	ClusterID   string
	StartNumber uint64
	StorageFull bool
	// InFlightBytes are held by all shards between Propose and the answer.
	InFlightBytes int64
	Shards        []ShardStatus
}

// ShardStatus is a picture of this node's replica of one shard.
type ShardStatus struct {
	Shard placement.ShardID
	// Ownership is the number under which this node owns the shard, or 0.
	Ownership uint64
	Term      uint64
	// State is Raft's: Follower, Candidate, Leader or Shutdown.
	State string
	// AppliedIndex is the last log entry that the state contains, SnapshotIndex
	// the last one that it contained when it was last made durable.
	AppliedIndex  uint64
	SnapshotIndex uint64
	FirstIndex    uint64 // of the log, 0 if all of it was cut
	LastIndex     uint64 // of the log, or of the snapshot behind which all of it was cut
	InFlightBytes int
	// Stopped is why the replica takes part no more, or nil.
	Stopped error
}

// Status gives a picture of the node. Before Start it has no shards.
func (n *Node) Status() Status {
	s := Status{
		Name: n.Name(), ClusterID: n.ClusterID(), StartNumber: n.start,
		StorageFull: n.space.full.Load(), InFlightBytes: n.budget.used.Load(),
	}
	for i := range n.groups {
		if g := n.groups[i].Load(); g != nil {
			s.Shards = append(s.Shards, g.status())
		}
	}
	return s
}

func (g *group) status() ShardStatus {
	s := ShardStatus{
		Shard: g.shard, Term: g.raft.CurrentTerm(), State: g.raft.State().String(), LastIndex: g.raft.LastIndex(),
		AppliedIndex: g.fsm.position.Load(), SnapshotIndex: g.lastStub.Load(), Stopped: g.failed(),
	}
	g.store.mu.Lock()
	s.FirstIndex = g.store.first
	g.store.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.lost && !g.closing {
		s.Ownership = g.number
	}
	s.InFlightBytes = g.queue.bytes()
	return s
}
