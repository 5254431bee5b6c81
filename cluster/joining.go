package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// joinAnswer says that the cluster has accepted a node, and what it needs to begin.
type joinAnswer struct {
	ClusterID   string `json:"cluster_id"`
	HeartbeatMS int64  `json:"heartbeat_ms"`
	// Control is the number of the node's replica of the control group.
	Control uint64 `json:"control"`
}

// accept makes a node a member of the cluster, or refers it to the leader. It may
// be asked again and again: the answer to one directory is always the same.
func (c *control) accept(q *joinCommand, living func(directoryID) bool) peerAnswer {
	leader, mine := c.leader()
	if !mine {
		if leader == "" {
			return peerAnswer{Refused: "the control group has no leader now"}
		}
		return peerAnswer{Leader: leader}
	}
	// What the table says is only sure once everything before is applied.
	if err := c.raft.Barrier(0).Error(); err != nil {
		return peerAnswer{Refused: err.Error()}
	}
	t := c.table()
	if !t.formed() {
		return peerAnswer{Refused: "the cluster is being formed"}
	}
	known, ok := t.Nodes[q.Node]
	if ok && known.DirectoryID != q.DirectoryID {
		directory, err := parseDirectoryID(known.DirectoryID)
		if err == nil && living(directory) {
			return peerAnswer{Refused: fmt.Sprintf("a node %q is in the cluster and alive, with directory %s", q.Node, known.DirectoryID)}
		}
	}
	if !ok || known.DirectoryID != q.DirectoryID || known.Zone != q.Zone || known.State != nodeIn {
		if err := c.propose(command{Join: q}); err != nil {
			return peerAnswer{Refused: err.Error()}
		}
		t = c.table()
	}
	return peerAnswer{Join: &joinAnswer{ClusterID: t.ClusterID, HeartbeatMS: t.HeartbeatMS, Control: t.Nodes[q.Node].Control}}
}

// knownRequest asks whether the cluster has a node with that directory. A node
// that was let go gets no word from the control group any more.
type knownRequest struct {
	Node      string `json:"node"`
	Directory string `json:"directory"`
}

type knownAnswer struct {
	ClusterID string `json:"cluster_id"`
	Known     bool   `json:"known"`
}

// knows answers whether a node belongs to the cluster, if this node leads the
// control group.
func (c *control) knows(q knownRequest) peerAnswer {
	leader, mine := c.leader()
	if !mine {
		return peerAnswer{Leader: leader}
	}
	if err := c.raft.Barrier(0).Error(); err != nil {
		return peerAnswer{Refused: err.Error(), Later: true}
	}
	t := c.table()
	node, ok := t.Nodes[q.Node]
	return peerAnswer{Known: &knownAnswer{ClusterID: t.ClusterID, Known: ok && node.DirectoryID == q.Directory && node.State != nodeLeft}}
}

// knownPause is the time between two questions of a node that waits for the
// control group.
const knownPause = 2 * time.Second

// askKnown asks the others from time to time whether this node still belongs to
// them, until ctx ends or one says no.
func (n *Node) askKnown(ctx context.Context) error {
	q := peerRequest{Known: &knownRequest{Node: n.dir.identity.Name, Directory: n.dir.identity.DirectoryID}}
	for {
		timer := time.NewTimer(knownPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		for _, m := range n.peers.members.all() {
			if !m.Alive || m.cluster != n.dir.identity.ClusterID || string(m.Node) == n.dir.identity.Name {
				continue
			}
			answer, err := n.peers.call(ctx, string(m.Node), q)
			if err == nil && answer.Leader != "" {
				answer, err = n.peers.call(ctx, answer.Leader, q)
			}
			known := answer.Known
			if err != nil || known == nil || known.ClusterID != n.dir.identity.ClusterID {
				continue
			}
			if !known.Known {
				return fmt.Errorf("%w: node %q with directory %s: to let it join again, empty %s",
					ErrDecommissioned, n.dir.identity.Name, n.dir.identity.DirectoryID, n.dir.path)
			}
			break
		}
	}
}

// watchKnown runs askKnown beside what the returned context is for. stop ends it
// and gives its error, if that is why the context ended.
func (n *Node) watchKnown(ctx context.Context) (watched context.Context, stop func() error) {
	if n.peers == nil || n.dir.identity.ClusterID == "" {
		return ctx, func() error { return nil }
	}
	watched, cancel := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() {
		err := n.askKnown(watched)
		cancel(err)
		done <- err
	}()
	return watched, func() error {
		cancel(errors.New("cluster: the control group is there"))
		return <-done
	}
}
