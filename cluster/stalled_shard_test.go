package cluster

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// TestAStalledShardIsShown: an owner whose state stands still although entries are
// committed is replaced; the overview says which replica it is, and the node, whose
// loops turn, has a pulse.
func TestAStalledShardIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.run("a", Network{})
		m.run("b", Network{Join: []string{a.address()}})
		m.run("c", Network{Join: []string{a.address()}})
		m.eventually("three nodes", time.Minute, func() error { return m.settled("a", "b", "c") })

		a.state.mu.Lock()
		a.state.slow = time.Minute // each Apply
		a.state.mu.Unlock()
		shard, ownership := ownedBy(t, a)
		a.Propose(shard, ownership, []byte("stuck"), func(error) {})
		began := time.Now()
		m.eventually("another owner", 20*time.Second, func() error {
			for _, s := range m.nodes["b"].Overview(t.Context()).Shards {
				if s.Shard == shard && (s.Owner == "" || s.Owner == "a") {
					return fmt.Errorf("shard %d is owned by %q, %s", shard, s.Owner, s.State)
				}
			}
			return nil
		})
		if took := time.Since(began); took < applyStall {
			t.Errorf("another owner after %v, want not before %v", took, applyStall)
		}
		for _, s := range m.nodes["b"].Overview(t.Context()).Shards {
			for _, r := range s.Replicas {
				if want := r.Node == "a" && s.Shard == shard; r.Stalled != want {
					t.Errorf("shard %d: stalled on %s = %v, want %v", s.Shard, r.Node, r.Stalled, want)
				}
			}
			if s.Shard == shard && s.State != ConditionReduced && s.State != ConditionMoving {
				t.Errorf("state of the shard = %s, want %s: it has an owner", s.State, ConditionReduced)
			}
		}
		for _, s := range a.Status().Shards {
			if want := s.Shard == shard; s.Stalled != want {
				t.Errorf("shard %d: stalled = %v, want %v", s.Shard, s.Stalled, want)
			}
		}
		if err := a.Pulse(t.Context()); err != nil {
			t.Errorf("Pulse = %v, want nil: the loops turn", err)
		}
		a.state.mu.Lock()
		a.state.slow = 0
		a.state.mu.Unlock()
	})
}

func ownedBy(t *testing.T, n *meshNode) (placement.ShardID, uint64) {
	t.Helper()
	for _, s := range n.Status().Shards {
		if s.Ownership != 0 {
			return s.Shard, s.Ownership
		}
	}
	t.Fatal("the node owns no shard")
	return 0, 0
}

// TestPulseNamesTheLoop: a prompter that hangs.
func TestPulseNamesTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.run("a", Network{})
		hung := &prompter{pulse: make(chan struct{}), done: make(chan struct{})}
		turning := a.Node.prompter.Load()
		a.Node.prompter.Store(hung)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Pulse(ctx); err == nil {
			t.Error("Pulse with a prompter that hangs = nil, want an error")
		}
		a.Node.prompter.Store(turning)
		if err := a.Pulse(t.Context()); err != nil {
			t.Errorf("Pulse = %v", err)
		}
	})
}

// TestPulseBeforeStart: operators may ask as soon as the node is open.
func TestPulseBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := Open(t.Context(), Config{Dir: "/data", Name: "node-1", FS: vfs.NewMem(), Control: NewMemoryControl()})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Pulse(t.Context()); err != nil {
			t.Errorf("Pulse before Start = %v, want nil", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}

// TestHandingOver: what is proposed in the call is committed before the ownership ends.
func TestHandingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		at, _ := q.owner(-1)
		g := q.nodes[at].group.Load()
		ownership, err := g.ownership()
		if err != nil {
			t.Fatal(err)
		}
		outcome := make(chan error, 1)
		g.events.HandingOver = func(shard placement.ShardID) {
			g.offer(ownership, []byte("last"), func(err error) { outcome <- err })
		}
		if err := g.handOver(context.Background(), q.nodes[(at+1)%3].id.serverID()); err != nil {
			t.Fatal(err)
		}
		if err := <-outcome; err != nil {
			t.Errorf("what was proposed before the hand-over = %v, want it applied", err)
		}
	})
}
