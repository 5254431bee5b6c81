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
	// Total is the number of shards of the cluster, Shards are those that this node
	// holds a replica of.
	Total  int
	Shards []ShardStatus
	// Nodes are those of the cluster's table, by name.
	Nodes []NodeStatus
	// ControlLeader leads the control group as far as this node knows, "" if nobody
	// does; LeadsControl says that it is this node.
	ControlLeader string
	LeadsControl  bool
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
	// Wanted is how many replicas the table wants, Healthy how many answer the owner,
	// itself included, and Lag how many entries of its log the one of these that is
	// furthest behind lacks. All are 0 unless this node owns the shard.
	Wanted  int
	Healthy int
	Lag     uint64
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
		Total: len(n.groups),
	}
	s.ControlLeader, s.LeadsControl = n.control.leader()
	t := n.control.table()
	for i := range n.groups {
		if g := n.groups[i].Load(); g != nil {
			shard := g.status()
			if shard.Ownership != 0 {
				shard.Wanted = len(t.Shards[i].Wanted)
				shard.Healthy, shard.Lag = g.replication()
			}
			s.Shards = append(s.Shards, shard)
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

// LogDiskBytes gives how much disk the logs of all shards take. It is not free, so
// poll it seldom.
func (n *Node) LogDiskBytes() uint64 { return n.db.diskBytes() }

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

// replication gives how many replicas answer this owner, itself included, and how
// many entries of its log the one furthest behind lacks. One of which nothing is
// known yet in this term does not count as behind.
func (g *group) replication() (healthy int, lag uint64) {
	last := g.raft.LastIndex()
	for _, server := range g.raft.GetConfiguration().Configuration().Servers {
		if server.ID == g.me.serverID() {
			healthy++
			continue
		}
		answers, matched := g.progress(server.ID)
		healthy += truth(answers)
		if answers && matched > 0 && matched < last {
			lag = max(lag, last-matched)
		}
	}
	return healthy, lag
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
