package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// answer serves a call of another node with whatever part of this one exists yet.
func (n *Node) answer(ctx context.Context, q peerRequest) peerAnswer {
	control := n.ready.Load()
	switch {
	case q.Promise != nil:
		return n.answerPromise(*q.Promise)
	case control == nil:
		return peerAnswer{Refused: "the node is starting"}
	case q.Join != nil:
		return control.accept(q.Join, n.peers.members.living)
	case q.Leave != nil:
		return control.letGo(*q.Leave)
	case q.Known != nil:
		return control.knows(*q.Known)
	case q.Owned != nil:
		return peerAnswer{Owned: n.reports(ctx, *q.Owned), Lost: n.lostReplicas(), Stopped: n.stoppedReplicas(), Draining: n.draining.Load()}
	case q.Change != nil:
		if err := n.changeReplica(ctx, *q.Change); err != nil {
			return peerAnswer{Refused: err.Error()}
		}
		return peerAnswer{}
	case q.View != nil:
		view := n.view(ctx)
		return peerAnswer{View: &view}
	default:
		return peerAnswer{Refused: "this version does not know what is asked"}
	}
}

func (n *Node) answerPromise(q promiseRequest) peerAnswer {
	if control := n.ready.Load(); control != nil {
		return peerAnswer{Promise: &promiseAnswer{ClusterID: control.table().ClusterID}}
	}
	f := n.former.Load()
	if f == nil {
		return peerAnswer{Refused: "the node is starting"}
	}
	answer, err := f.promise(q)
	if err != nil {
		return peerAnswer{Refused: err.Error()}
	}
	return peerAnswer{Promise: &answer}
}

// reports tells the control leader, at that look, what this node knows about the
// shards that it owns, and about those that it holds and of which it knows no leader.
func (n *Node) reports(ctx context.Context, at look) []shardReport {
	all := make([]shardReport, len(n.groups))
	known := make([]bool, len(n.groups))
	var asking sync.WaitGroup
	for i := range n.groups {
		g := n.groups[i].Load()
		if g == nil {
			continue
		}
		if _, err := g.ownership(); err != nil {
			all[i], known[i] = g.orphaned()
			continue
		}
		asking.Go(func() { all[i], known[i] = g.report(ctx, at) })
	}
	asking.Wait()
	var reports []shardReport
	for i, r := range all {
		if known[i] {
			reports = append(reports, r)
		}
	}
	return reports
}

// lostReplicas gives the numbers of the replicas here that are no good any more.
func (n *Node) lostReplicas() []uint64 {
	if h := n.holding.Load(); h != nil {
		return h.lost()
	}
	return nil
}

// stoppedReplicas gives the numbers of the replicas here that take part no more
// until an operator has looked at them. Their logs are sound.
func (n *Node) stoppedReplicas() []uint64 {
	var numbers []uint64
	for _, g := range n.openGroups() {
		if g.failed() != nil {
			numbers = append(numbers, g.me.number)
		}
	}
	return numbers
}

// Drain hands the ownership of all shards over to others, and the leadership of
// the control group, before the node stops. It gets none back. Where nobody can take it, or ctx ends,
// the others have to notice that the node is gone.
func (n *Node) Drain(ctx context.Context) error {
	n.draining.Store(true)
	errs := make([]error, len(n.groups)+1)
	var handing sync.WaitGroup
	for i := range n.groups {
		g := n.groups[i].Load()
		if g == nil || !g.members.Load().peers {
			continue
		}
		handing.Go(func() {
			errs[i] = g.giveAway(ctx)
		})
	}
	handing.Wait()
	if _, mine := n.control.leader(); mine && len(n.control.raft.GetConfiguration().Configuration().Servers) > 1 {
		errs[len(n.groups)] = n.control.handOver(ctx)
	}
	return errors.Join(errs...)
}

// handOver gives the leadership of the control group to another voter. It does not
// wait for the library's answer beyond ctx: see group.await.
func (c *control) handOver(ctx context.Context) error {
	answer := make(chan error, 1)
	transfer := c.raft.LeadershipTransfer()
	go func() { answer <- transfer.Error() }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cluster: hand over the control group: %w", context.Cause(ctx))
	}
}

// changeReplica makes a change of a shard that this node owns.
func (n *Node) changeReplica(ctx context.Context, c replicaChange) error {
	g := n.group(c.Shard)
	if g == nil {
		return ErrNotOwner
	}
	return g.change(ctx, c)
}

// DecommissionError is the control leader's refusal to let a node go, or to take
// it back. Asking again helps only when something has changed.
type DecommissionError struct {
	Node   placement.NodeID
	Reason string // for an operator
}

func (e *DecommissionError) Error() string {
	return fmt.Sprintf("cluster: decommission %s: refused: %s", e.Node, e.Reason)
}

// Decommission begins to move everything away from a node, which then leaves the
// cluster. Overview tells how far that is. Without force it is refused where fewer
// than three nodes would be left, or none could hold the shards; the error is a
// DecommissionError then. After any other error it may have begun, and may be asked
// for again.
func (n *Node) Decommission(ctx context.Context, node placement.NodeID, force bool) error {
	return n.askLeader(ctx, leaveRequest{Node: node, Force: force})
}

// Recommission takes a Decommission back that is not over yet.
func (n *Node) Recommission(ctx context.Context, node placement.NodeID) error {
	return n.askLeader(ctx, leaveRequest{Node: node, Undo: true})
}

// leaderWait bounds the search for a leader of the control group that takes a
// request; leaderPause is the time between two tries.
const (
	leaderWait  = 10 * time.Second
	leaderPause = 50 * time.Millisecond
)

func (n *Node) askLeader(ctx context.Context, q leaveRequest) error {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	for {
		answer := n.control.letGo(q)
		if answer.Leader != "" && n.peers != nil {
			var err error
			answer, err = n.peers.call(ctx, answer.Leader, peerRequest{Leave: &q})
			if err != nil && answer.Refused == "" { // marks and their like may be set twice
				answer.Refused, answer.Later = err.Error(), true
			}
		}
		if answer.Refused == "" && answer.Leader == "" {
			return nil
		}
		if answer.Refused != "" && !answer.Later {
			return &DecommissionError{Node: q.Node, Reason: answer.Refused}
		}
		timer := time.NewTimer(leaderPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("cluster: decommission %s: %s: %w", q.Node, cmp.Or(answer.Refused, errNoLeader.Error()), context.Cause(ctx))
		}
	}
}

// letGo marks a node as leaving, or in again, if this node leads the control group.
func (c *control) letGo(q leaveRequest) peerAnswer {
	leader, mine := c.leader()
	if !mine {
		if leader == "" {
			return peerAnswer{Refused: errNoLeader.Error(), Later: true}
		}
		return peerAnswer{Leader: leader}
	}
	if err := c.raft.Barrier(0).Error(); err != nil {
		return peerAnswer{Refused: err.Error(), Later: true}
	}
	t := c.table()
	node, ok := t.Nodes[string(q.Node)]
	left := 0
	for _, m := range t.members() {
		left += truth(m.ID != q.Node)
	}
	state := nodeLeaving
	switch {
	case !ok:
		return peerAnswer{Refused: "the cluster has no such node"}
	case node.State == nodeLeft:
		return peerAnswer{Refused: "the node has left"}
	case q.Undo:
		state = nodeIn
	case left == 0:
		return peerAnswer{Refused: "no node would be left"}
	case left < placement.Copies && len(t.Nodes) >= placement.Copies && !q.Force:
		return peerAnswer{Refused: "with two nodes each shard has one voter, and the loss of one node can stop or lose it: force it if that is meant"}
	}
	if err := c.propose(command{Mark: &markCommand{Node: string(q.Node), DirectoryID: node.DirectoryID, State: state}}); err != nil {
		return peerAnswer{Refused: err.Error(), Later: !errors.Is(err, errTableRefused)}
	}
	return peerAnswer{}
}
