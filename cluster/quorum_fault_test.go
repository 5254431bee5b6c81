package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestQuorumHandOver: the leadership goes where it is asked to go, with writes
// going on: none is unknown, and the pause is short.
func TestQuorumHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		time.Sleep(2 * time.Second)
		h := newHistory()
		var longest atomic.Int64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			last := time.Now()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := q.write(h, fmt.Sprint(i)); err != nil {
					t.Errorf("write %d = %v, want every one answered or refused", i, err)
				}
				longest.Store(max(longest.Load(), int64(time.Since(last))))
				last = time.Now()
				time.Sleep(time.Millisecond)
			}
		}()
		for round := range 9 {
			at, before := q.owner(-1)
			to := (at + 1 + round%2) % 3
			if err := q.nodes[at].group.Load().handOver(context.Background(), q.nodes[to].id.serverID()); err != nil {
				t.Errorf("round %d: handOver = %v", round, err)
				continue
			}
			now, number := q.owner(-1)
			if now != to || number <= before {
				t.Errorf("round %d: owner = node %d with %d, want node %d with more than %d", round, now, number, to, before)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if err := q.nodes[(first(q.owner(-1))+1)%3].group.Load().handOver(context.Background(), ""); !errors.Is(err, ErrNotOwner) {
			t.Errorf("handOver at a follower = %v, want ErrNotOwner", err)
		}
		close(stop)
		<-stopped
		if pause := time.Duration(longest.Load()); pause > 150*time.Millisecond {
			t.Errorf("longest pause of a writer = %v, want at most 150 ms", pause)
		}
		if err := h.check(q.settled()); err != nil {
			t.Error(err)
		}
	})
}

func first[A, B any](a A, _ B) A { return a }

// TestQuorumHandOverFails: to a node that is not reached the shard is not handed over,
// and its owner goes on. After a transfer that failed there is a new ownership in the
// same term, without a lease; proofs go by entries, and the next try succeeds.
func TestQuorumHandOverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		time.Sleep(2 * time.Second)
		at, before := q.owner(-1)
		g, to := q.nodes[at].group.Load(), q.nodes[(at+1)%3]
		term := g.raft.CurrentTerm()
		q.net.isolate(to.id.node, true)
		if err := g.handOver(context.Background(), to.id.serverID()); err == nil {
			t.Fatal("handOver to a node that cannot be reached = nil")
		}
		if number, err := g.ownership(); err != nil || number != before || g.confirm(number) != nil {
			t.Errorf("ownership while nobody takes it = %d, %v, want %d, with a lease", number, err, before)
		}
		lost := &handover{to: to.id.serverID(), ownership: before, answer: make(chan error, 1)} // lost at the very moment
		g.handovers <- lost
		if err := <-lost.answer; err == nil {
			t.Fatal("transfer to a node that cannot be reached = nil")
		}
		time.Sleep(100 * time.Millisecond)
		number, err := g.ownership()
		if err != nil || number <= before || g.raft.CurrentTerm() != term {
			t.Fatalf("ownership = %d, %v in term %d, want a new one in term %d", number, err, g.raft.CurrentTerm(), term)
		}
		if err := g.confirm(number); !errors.Is(err, ErrNotOwner) {
			t.Errorf("confirm in a term without lease = %v, want ErrNotOwner", err)
		}
		applied := g.fsm.position.Load()
		var proving sync.WaitGroup
		for range 100 {
			proving.Add(1)
			g.prove(number, func(err error) {
				defer proving.Done()
				if err != nil {
					t.Errorf("prove = %v", err)
				}
			})
		}
		proving.Wait()
		if entries := g.fsm.position.Load() - applied; entries == 0 || entries > maxFlights+1 {
			t.Errorf("100 proofs took %d entries, want 1 to %d", entries, maxFlights+1)
		}
		if list, err := q.nodes[at].state.list(0); err != nil || len(list) != 0 {
			t.Errorf("state after proofs = %q, %v, want nothing", list, err)
		}
		q.net.isolate(to.id.node, false)
		time.Sleep(time.Second)
		if err := g.handOver(context.Background(), to.id.serverID()); err != nil {
			t.Errorf("handOver to a node that is back = %v", err)
		}
		now, _ := q.owner(-1)
		if now != (at+1)%3 {
			t.Errorf("owner = node %d, want %d", now, (at+1)%3)
		}
		// An owner that is cut off proves nothing, by whatever way.
		g = q.nodes[now].group.Load()
		number, err = g.ownership()
		if err != nil {
			t.Fatal(err)
		}
		q.net.isolate(q.nodes[now].id.node, true)
		time.Sleep(leaseShare * DefaultHeartbeatTimeout / 10)
		answer := make(chan error, 1)
		g.prove(number, func(err error) { answer <- err })
		if err := <-answer; err == nil {
			t.Error("prove of an owner that was cut off = nil")
		}
	})
}

// TestQuorumStalledLog: an owner whose log does not get through to its disk any
// more falls silent, and another one takes over.
func TestQuorumStalledLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		time.Sleep(2 * time.Second)
		at, number := q.owner(-1)
		n := q.nodes[at]
		write := n.db.writes.begin() // as if a sync did not return
		n.group.Load().offer(number, []byte("on the way"), func(error) {})
		began := time.Now()
		other, _ := q.owner(at)
		if took := time.Since(began); took < logStall || took > 2*time.Second {
			t.Errorf("node %d took over after %v, want %v to 2 s", other, took, logStall)
		}
		if err := n.group.Load().confirm(number); err == nil {
			t.Error("confirm at the node whose log is stalled = nil")
		}
		n.db.writes.end(write)
		h := newHistory()
		if err := q.write(h, "goes on"); err != nil {
			t.Error(err)
		}
		q.settled()
	})
}

// TestQuorumStalledState: the same for an owner whose state machine hangs.
func TestQuorumStalledState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		time.Sleep(2 * time.Second)
		at, number := q.owner(-1)
		q.nodes[at].state.slowDown(6 * time.Second)
		q.nodes[at].group.Load().offer(number, []byte("hangs"), func(error) {})
		began := time.Now()
		q.owner(at)
		if took := time.Since(began); took < applyStall || took > applyStall+2*time.Second {
			t.Errorf("another node took over after %v, want %v to %v", took, applyStall, applyStall+2*time.Second)
		}
		q.nodes[at].state.slowDown(0)
		q.settled()
	})
}

// TestQuorumStoppedReplica: an owner whose state machine fails for good gives the
// shard to another.
func TestQuorumStoppedReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		time.Sleep(2 * time.Second)
		at, number := q.owner(-1)
		q.nodes[at].state.failWith(errorfs.ErrInjected)
		q.nodes[at].group.Load().offer(number, []byte("fails"), func(error) {})
		began := time.Now()
		q.owner(at)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("another node took over after %v, want at most 2 s", took)
		}
	})
}

// crash takes the power from a node, with a part of what was not synced kept at
// random, and starts it again.
func (q *quorum) crash(i int, random *rand.Rand) {
	q.t.Helper()
	n := q.nodes[i]
	after := n.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	q.net.isolate(n.id.node, true) // nothing leaves it any more
	q.stop(i)
	n.fs = after
	q.net.isolate(n.id.node, false)
	time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
	q.run(i, q.configuration(len(q.nodes)))
}

// TestQuorumPowerLoss: nodes lose power again and again under load, sometimes two
// or all at once, while logs are cut and snapshots are installed.
func TestQuorumPowerLoss(t *testing.T) {
	for seed := range fewer(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { quorumPowerLoss(t, seed, faults{}) })
		})
	}
}

func quorumPowerLoss(t *testing.T, seed uint64, f faults) {
	t.Helper()
	q := newQuorum(t, 3, 3, f)
	defer q.close()
	q.snapshotEntries = 70
	random := rand.New(rand.NewPCG(seed, 77))
	h := newHistory()
	stop, stopped := make(chan struct{}), make(chan struct{})
	// Taken while nodes stop and start, so that nobody meets half of one. A mutex
	// would stop virtual time for whoever sleeps with it.
	turn := make(chan struct{}, 1)
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			turn <- struct{}{}
			for at, n := range q.nodes {
				if number, err := n.group.Load().ownership(); err == nil {
					name := fmt.Sprint("batch ", i, " at ", at)
					n.group.Load().offer(number, []byte(name), h.note(number, name))
				}
			}
			<-turn
		}
	}()
	for range 12 {
		time.Sleep(time.Duration(200+random.IntN(1500)) * time.Millisecond)
		victims := random.Perm(3)[:1+random.IntN(3)]
		turn <- struct{}{}
		for _, i := range victims {
			q.crash(i, random)
		}
		<-turn
	}
	time.Sleep(3 * time.Second)
	close(stop)
	<-stopped
	time.Sleep(time.Second)
	list := q.settled()
	if err := quorumHistory(h, list); err != nil {
		t.Error(err)
	}
	if len(list) < 100 {
		t.Errorf("%d batches were committed, so little was tested", len(list))
	}
	q.owner(-1)
}
