package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestHandOverWithoutAnswer: a hand-over after which somebody else leads is no
// failure, even if the answer to it was lost.
func TestHandOverWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		at, _ := q.owner(-1)
		g, lost := q.nodes[at].group.Load(), errors.New("the answer is lost")
		term := g.raft.CurrentTerm()
		if err := g.outcome(term, lost); !errors.Is(err, lost) {
			t.Errorf("outcome while this replica leads in the term = %v, want the error", err)
		}
		next := q.nodes[(at+1)%3]
		if err := g.handOver(context.Background(), next.id.serverID()); err != nil {
			t.Fatal(err)
		}
		q.owner(at)
		if err := g.outcome(term, lost); err != nil {
			t.Errorf("outcome after another was elected = %v", err)
		}
		if err := next.group.Load().handOver(context.Background(), g.me.serverID()); err != nil {
			t.Fatal(err)
		}
		if now, _ := q.owner((at + 1) % 3); now != at {
			t.Fatalf("owner = node %d, want %d", now, at)
		}
		if err := g.outcome(term, lost); err != nil {
			t.Errorf("outcome when it leads again in a later term = %v", err)
		}
	})
}
