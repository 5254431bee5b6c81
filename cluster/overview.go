package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// Bounds of the question that an overview asks of every node: of the call, and of
// the proofs of ownership that the node makes for its answer.
const (
	viewTimeout  = time.Second
	proofTimeout = 700 * time.Millisecond
)

// Overview is the whole cluster as one node can see it: the table, gossip, and
// what every living node says of itself. Its parts are of slightly different
// moments. What nobody said is nil; nothing is guessed. The JSON form is stable:
// fields are added, none is taken away or given another meaning.
type Overview struct {
	ClusterID string           `json:"cluster_id"`
	SeenBy    placement.NodeID `json:"seen_by"`
	State     Condition        `json:"state"`
	Nodes     []NodeOverview   `json:"nodes"`  // by name
	Shards    []ShardOverview  `json:"shards"` // by number
}

// Condition says how a shard is, or all of them. Of a cluster it is the worst
// that a shard has.
type Condition string

const (
	// ConditionOK is with an owner and all replicas in place and healthy.
	ConditionOK Condition = "ok"
	// ConditionMoving is with a step to be done, or the wanted replicas not all there.
	ConditionMoving Condition = "moving"
	// ConditionReduced is with an owner, and with a replica that does not answer it or
	// has stopped.
	ConditionReduced Condition = "reduced"
	// ConditionUnknown is without anybody who says that he owns the shard, while a
	// node that may has not answered.
	ConditionUnknown Condition = "unknown"
	// ConditionNoOwner is without an owner, though a majority is there to elect one.
	ConditionNoOwner Condition = "no_owner"
	// ConditionNoMajority is without an owner, and with too few replicas to elect one.
	ConditionNoMajority Condition = "no_majority"
)

// Conditions gives all of them, from the best to the worst.
func Conditions() []Condition {
	return []Condition{ConditionOK, ConditionMoving, ConditionReduced, ConditionUnknown, ConditionNoOwner, ConditionNoMajority}
}

func (c Condition) severity() int { return slices.Index(Conditions(), c) }

// Degraded says whether a shard may not be served.
func (c Condition) Degraded() bool { return c.severity() >= ConditionUnknown.severity() }

// NodeOverview is a node of the cluster's table.
type NodeOverview struct {
	Name placement.NodeID `json:"name"`
	Zone string           `json:"zone"`
	// State is what shall become of it: "in", "leaving", "left", or "gone" if others
	// take its replicas until it comes back.
	State string `json:"state"`
	// Alive is what gossip says, Answered that it said itself what follows below.
	Alive    bool `json:"alive"`
	Answered bool `json:"answered"`
	// Start is the number of its start and Address its internal one, "" and 0 if
	// gossip does not know them.
	Start   uint64 `json:"start"`
	Address string `json:"address"`
	// Homes is how many shards it shall own, Replicas how many it has or is to get.
	Homes    int `json:"homes"`
	Replicas int `json:"replicas"`

	Owned        *int  `json:"owned"`
	Draining     *bool `json:"draining"`
	StorageFull  *bool `json:"storage_full"`
	LogStalled   *bool `json:"log_stalled"` // the disk of its log does not answer
	LeadsControl *bool `json:"leads_control"`
}

// ShardOverview is a shard.
type ShardOverview struct {
	Shard placement.ShardID `json:"shard"`
	State Condition         `json:"state"`
	// Owner has proved that it owns the shard, under that ownership and Raft term;
	// "" and 0 if nobody has.
	Owner     placement.NodeID `json:"owner"`
	Ownership uint64           `json:"ownership"`
	Term      uint64           `json:"term"`
	// Wanted are the nodes that shall hold it, the home first.
	Wanted   []placement.NodeID `json:"wanted"`
	Replicas []ReplicaOverview  `json:"replicas"`
	// Step is what the control leader does or waits for, if it has answered: nil if
	// nothing, or if it has not.
	Step *StepOverview `json:"step"`
}

// ReplicaOverview is one replica of a shard: one that its group has, or one that
// the table has.
type ReplicaOverview struct {
	Node   placement.NodeID `json:"node"`
	Number uint64           `json:"number"`
	// Role is "voter" or "non_voter", or "outside" if the group does not have it: it is
	// to be added, or to be thrown away. "" if nobody said what the group has.
	Role string `json:"role"`
	// Healthy says whether it answers the owner.
	Healthy *bool `json:"healthy"`
	// Applied is the last log entry that its state contains, Lag how many it is
	// behind what the owner has committed.
	Applied *uint64 `json:"applied"`
	Lag     *uint64 `json:"lag"`
	// Stopped is why it takes part no more, or "". It waits for an operator, or for
	// the control leader to replace it.
	Stopped string `json:"stopped"`
	// Stalled says that its state stands still although entries are committed: its
	// disk does not answer.
	Stalled bool `json:"stalled"`
}

// Roles of replicas.
const (
	RoleVoter    = "voter"
	RoleNonvoter = "non_voter"
	RoleOutside  = "outside"
)

// StepOverview is a step that a shard is at.
type StepOverview struct {
	Step string           `json:"step"`
	Node placement.NodeID `json:"node"`
}

// nodeView is what a node says of itself for an overview.
type nodeView struct {
	Draining     bool            `json:"draining"`
	StorageFull  bool            `json:"storage_full"`
	LogStalled   bool            `json:"log_stalled"`
	LeadsControl bool            `json:"leads_control"`
	Steps        []Move          `json:"steps,omitempty"` // of the last look of a control leader
	Owned        []shardReport   `json:"owned,omitempty"` // proved, and those without a leader
	Replicas     []heldReplica   `json:"replicas,omitempty"`
	Failed       []failedOpening `json:"failed,omitempty"`
}

// heldReplica is a replica as its own node has it.
type heldReplica struct {
	Shard     placement.ShardID `json:"shard"`
	ID        raft.ServerID     `json:"id"`
	Term      uint64            `json:"term"`
	Applied   uint64            `json:"applied"`
	Committed uint64            `json:"committed"`
	Stopped   string            `json:"stopped,omitempty"`
	Stalled   bool              `json:"stalled,omitempty"`
}

// failedOpening is a replica that its node could not open.
type failedOpening struct {
	Shard  placement.ShardID `json:"shard"`
	Number uint64            `json:"number"`
	Reason string            `json:"reason"`
}

// Overview asks every living node what it holds and gives the whole picture. It
// takes a second at most: who has not answered by then is unknown.
func (n *Node) Overview(ctx context.Context) Overview {
	ctx, cancel := context.WithTimeout(ctx, viewTimeout)
	defer cancel()
	t := n.control.table()
	views := n.views(ctx, t)
	nodes := n.nodeOverviews(views)
	o := Overview{ClusterID: n.ClusterID(), SeenBy: placement.NodeID(n.Name()), State: ConditionOK, Nodes: nodes}
	c := newCollation(t, nodes, views)
	for i := range t.Shards {
		shard := c.shard(placement.ShardID(i))
		if shard.State.severity() > o.State.severity() {
			o.State = shard.State
		}
		o.Shards = append(o.Shards, shard)
	}
	return o
}

// Draining says whether the node has begun to hand everything over.
func (n *Node) Draining() bool { return n.draining.Load() }

// views asks all living nodes at the same time.
func (n *Node) views(ctx context.Context, t *table) map[string]*nodeView {
	views := make(map[string]*nodeView)
	var mu sync.Mutex
	var asking sync.WaitGroup
	asking.Go(func() {
		view := n.view(ctx)
		mu.Lock()
		defer mu.Unlock()
		views[n.Name()] = &view
	})
	slots := make(chan struct{}, maxStewardCalls)
	for name, node := range t.Nodes {
		directory, err := parseDirectoryID(node.DirectoryID)
		if name == n.Name() || err != nil || n.peers == nil || !n.peers.members.living(directory) {
			continue
		}
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answer, err := n.peers.call(ctx, name, peerRequest{View: &struct{}{}})
			if err != nil {
				n.cfg.Log.Debug("a node does not say what it holds", "node", name, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if answer.View != nil {
				views[name] = answer.View
			}
		})
	}
	asking.Wait()
	return views
}

// view says what this node holds. What it owns it proves.
func (n *Node) view(ctx context.Context) nodeView {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	v := nodeView{Draining: n.draining.Load(), StorageFull: n.space.full.Load(), LogStalled: n.db.writes.stalled(logStall), Owned: n.reports(ctx, look{})}
	_, v.LeadsControl = n.control.leader()
	if st := n.steward.Load(); st != nil && v.LeadsControl {
		v.Steps = st.moves().Steps
	}
	for i := range n.groups {
		if g := n.groups[i].Load(); g != nil {
			v.Replicas = append(v.Replicas, g.held())
			continue
		}
		if h := n.holding.Load(); h != nil {
			if f := h.failure(placement.ShardID(i)); f.err != nil {
				v.Failed = append(v.Failed, failedOpening{Shard: placement.ShardID(i), Number: f.number, Reason: f.err.Error()})
			}
		}
	}
	return v
}

func (g *group) held() heldReplica {
	h := heldReplica{
		Shard: g.shard, ID: g.me.serverID(), Term: g.raft.CurrentTerm(),
		Applied: g.raft.AppliedIndex(), Committed: g.raft.CommitIndex(), Stalled: g.fsm.busy.longer(applyStall),
	}
	if err := g.failed(); err != nil {
		h.Stopped = err.Error()
	}
	return h
}
