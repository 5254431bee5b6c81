package cluster

import (
	"maps"
	"slices"

	"github.com/holdfast-dev/holdfast/placement"
)

// Status is a picture of a node, for health checks and metrics. Its parts are
// read one after the other and may be of slightly different moments.
type Status struct {
	Name        string
	ClusterID   string
	StartNumber uint64
	StorageFull bool
	// LogStalled says that a write of the log has waited for so long that the node
	// has fallen silent.
	LogStalled bool
	// InFlightBytes are held by all shards between Propose and the answer.
	InFlightBytes int64
	Shards        []ShardStatus
	// Nodes are those of the cluster's table, by name.
	Nodes []NodeStatus
	// Moves is what this node does to bring shards where they belong, if it leads
	// the control group.
	Moves Moves
}

// NodeStatus is a node as the table and gossip have it.
type NodeStatus struct {
	Node placement.NodeID
	Zone string
	// State is "", "gone", "leaving" or "left".
	State string
	// Alive is what gossip says.
	Alive bool
	// Home is how many shards are to be owned by the node, Replicas how many it
	// has or is to get.
	Home     int
	Replicas int
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
	// Stopped is why the replica could not be opened or takes part no more, or nil. It
	// waits for an operator, or for the control leader to replace it.
	Stopped error
	// Stalled says that its applied index has stood still for so long, with entries
	// committed, that it has fallen silent.
	Stalled bool
}

// Status gives a picture of the node. Before Start it has no shards.
func (n *Node) Status() Status {
	s := Status{
		Name: n.Name(), ClusterID: n.ClusterID(), StartNumber: n.start,
		StorageFull: n.space.full.Load(), LogStalled: n.db.writes.stalled(logStall), InFlightBytes: n.budget.used.Load(),
	}
	for i := range n.groups {
		if g := n.groups[i].Load(); g != nil {
			s.Shards = append(s.Shards, g.status())
			continue
		}
		if h := n.holding.Load(); h != nil {
			if f := h.failure(placement.ShardID(i)); f.err != nil {
				s.Shards = append(s.Shards, ShardStatus{Shard: placement.ShardID(i), Stopped: f.err})
			}
		}
	}
	s.Nodes = n.nodeStatus()
	if st := n.steward.Load(); st != nil {
		s.Moves = st.moves()
	}
	return s
}

func (n *Node) nodeStatus() []NodeStatus {
	t := n.control.table()
	var nodes []NodeStatus
	for _, name := range slices.Sorted(maps.Keys(t.Nodes)) {
		node := t.Nodes[name]
		s := NodeStatus{Node: placement.NodeID(name), Zone: node.Zone, State: string(node.State), Alive: name == n.Name()}
		if directory, err := parseDirectoryID(node.DirectoryID); err == nil && n.peers != nil {
			s.Alive = s.Alive || n.peers.members.living(directory)
		}
		for _, shard := range t.Shards {
			s.Home += truth(len(shard.Wanted) > 0 && shard.Wanted[0] == name)
			_, has := shard.of(name, node.DirectoryID)
			s.Replicas += truth(has)
		}
		nodes = append(nodes, s)
	}
	return nodes
}

func (g *group) status() ShardStatus {
	s := ShardStatus{
		Shard: g.shard, Term: g.raft.CurrentTerm(), State: g.raft.State().String(), LastIndex: g.raft.LastIndex(),
		AppliedIndex: g.fsm.position.Load(), SnapshotIndex: g.lastStub.Load(), Stopped: g.failed(),
		Stalled: g.fsm.busy.longer(applyStall),
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
