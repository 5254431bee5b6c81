package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
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

// TestHandOversAtOnce: of two hand-overs of a shard one is made, and the other learns
// that there is nothing to hand over any more.
func TestHandOversAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		at, _ := q.owner(-1)
		g, next := q.nodes[at].group.Load(), q.nodes[(at+1)%3]
		g.events.Leaving = func(context.Context, placement.ShardID) { time.Sleep(500 * time.Millisecond) }
		move, drain := make(chan error, 1), make(chan error, 1)
		began := time.Now()
		go func() { move <- g.handOver(t.Context(), next.id.serverID()) }()
		synctest.Wait()
		go func() { drain <- g.giveAway(t.Context()) }()
		if err := <-move; err != nil {
			t.Errorf("the first hand-over = %v", err)
		}
		if err := <-drain; err != nil {
			t.Errorf("giveAway of a shard that is handed over = %v, want no error", err)
		}
		if err := g.handOver(t.Context(), ""); !errors.Is(err, ErrNotOwner) {
			t.Errorf("a hand-over by a replica that is no owner = %v, want ErrNotOwner", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("they took %v", took)
		}
		if now, _ := q.owner(at); now != (at+1)%3 {
			t.Errorf("owner = node %d, want %d", now, (at+1)%3)
		}
	})
}

// TestHandOverOfAnEarlierOwnership: a hand-over that was prepared under an ownership
// does not end the next one, and is over then.
func TestHandOverOfAnEarlierOwnership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		at, before := q.owner(-1)
		g := q.nodes[at].group.Load()
		over := 0
		g.events.LeavingOver = func(placement.ShardID) { over++ }
		g.events.Leaving = func(ctx context.Context, _ placement.ShardID) {
			lost := &handover{to: "n9/0900000000000000/9", ownership: before, answer: make(chan error, 1)}
			g.handovers <- lost
			if err := <-lost.answer; err == nil {
				t.Error("transfer to nobody = nil")
			}
			for now, err := g.ownership(); err != nil || now == before; now, err = g.ownership() {
				time.Sleep(time.Millisecond)
			}
		}
		if err := g.handOver(t.Context(), q.nodes[(at+1)%3].id.serverID()); !errors.Is(err, ErrNotOwner) {
			t.Errorf("hand-over of an earlier ownership = %v, want ErrNotOwner", err)
		}
		if now, err := g.ownership(); err != nil || now <= before || over != 1 {
			t.Errorf("ownership = %d, %v, told that it is over %d times; want more than %d, and once", now, err, over, before)
		}
	})
}

// TestHandOverOfALostLeadership: who leads no more when calls have been waited for is
// told so at once, and not when his time is over.
func TestHandOverOfALostLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		at, before := q.owner(-1)
		g, next := q.nodes[at].group.Load(), q.nodes[(at+1)%3].id
		g.events.Leaving = func(context.Context, placement.ShardID) {
			other := &handover{to: next.serverID(), ownership: before, answer: make(chan error, 1)}
			g.handovers <- other
			if err := <-other.answer; err != nil {
				t.Error(err)
			}
			q.owner(at)
		}
		began := time.Now()
		if err := g.handOver(t.Context(), next.serverID()); !errors.Is(err, ErrNotOwner) {
			t.Errorf("hand-over by a replica that is no owner any more = %v, want ErrNotOwner", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestHandOverGivenUp: a shard stays, with its ownership, if its next owner is lost
// while calls are waited for, or who hands it over has no time left.
func TestHandOverGivenUp(t *testing.T) {
	for _, name := range []string{"the next owner is lost", "the time is over"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQuorum(t, 3, 3, faults{})
				defer q.close()
				at, before := q.owner(-1)
				g, next := q.nodes[at].group.Load(), q.nodes[(at+1)%3]
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := 0
				g.events.LeavingOver = func(placement.ShardID) { over++ }
				g.events.Leaving = func(context.Context, placement.ShardID) {
					if name == "the time is over" {
						cancel()
						return
					}
					q.net.isolate(next.id.node, true)
					time.Sleep(400 * time.Millisecond)
				}
				if err := g.handOver(ctx, next.id.serverID()); err == nil || errors.Is(err, ErrNotOwner) {
					t.Errorf("hand-over = %v, want an error", err)
				}
				if now, err := g.ownership(); err != nil || now != before || over != 1 {
					t.Errorf("ownership = %d, %v, told that it is over %d times, want %d, once", now, err, over, before)
				}
			})
		})
	}
}
