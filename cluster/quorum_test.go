package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestQuorumElects: from the death of the owner to the next write it takes less
// than a second, whoever dies.
func TestQuorumElects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		h := newHistory()
		var longest time.Duration
		for round := range 12 {
			at, _ := q.owner(-1)
			if err := q.write(h, fmt.Sprint(round)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(round*37) * time.Millisecond)
			died := time.Now()
			q.net.isolate(q.nodes[at].id.node, true)
			q.owner(at)
			if err := q.write(h, fmt.Sprint(round, "/after")); err != nil && !errors.Is(err, ErrUnknown) {
				t.Fatal(err)
			}
			longest = max(longest, time.Since(died))
			q.net.isolate(q.nodes[at].id.node, false)
			time.Sleep(3 * time.Second)
		}
		if longest > time.Second {
			t.Errorf("the longest of 12 failovers took %v, want at most 1 s", longest)
		}
		if err := h.check(q.settled()); err != nil {
			t.Error(err)
		}
	})
}

// TestQuorumCatchesUpBySnapshot: a follower that is behind everything that the log
// still has gets the state, while writes go on, and survives its own restart.
func TestQuorumCatchesUpBySnapshot(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		q.snapshotEntries = 100
		for i := range q.nodes {
			q.stop(i)
			q.run(i, q.configuration(3))
		}
		h := newHistory()
		at, _ := q.owner(-1)
		behind := (at + 1) % 3
		q.net.isolate(q.nodes[behind].id.node, true)
		big := strings.Repeat("x", 64<<10)
		for i := range 400 {
			if err := q.write(h, fmt.Sprint(i, big)); err != nil {
				t.Fatal(err)
			}
		}
		before := q.nodes[behind].group.Load().fsm.position.Load()
		q.net.isolate(q.nodes[behind].id.node, false)
		for i := range 200 {
			if err := q.write(h, fmt.Sprint("more ", i)); err != nil && !errors.Is(err, ErrUnknown) {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		list := q.settled()
		if err := h.check(list); err != nil {
			t.Error(err)
		}
		status := q.nodes[behind].group.Load().status()
		if status.SnapshotIndex <= before || status.FirstIndex != 0 && status.FirstIndex <= before+1 {
			t.Errorf("replica that was behind at %d = %+v, want it to have got a snapshot", before, status)
		}
		for i := range q.nodes {
			names, err := q.nodes[i].fs.List("snapshots")
			if err != nil || len(names) > 0 {
				t.Errorf("node %d has snapshot files %v, %v, want none", i, names, err)
			}
		}
		q.stop(behind)
		q.run(behind, q.configuration(3))
		if err := q.write(h, "last"); err != nil {
			t.Fatal(err)
		}
		if err := h.check(q.settled()); err != nil {
			t.Error(err)
		}
	})
}

// TestQuorumGrowsAndShrinks: replicas are added and removed under load; the last
// one that is left is not one of the first.
func TestQuorumGrowsAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 1, faults{})
		defer q.close()
		h := newHistory()
		stop := make(chan struct{})
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := q.write(h, fmt.Sprint(i)); err != nil && !errors.Is(err, ErrUnknown) {
					t.Errorf("write %d: %v", i, err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		}()
		for i := 1; i < 3; i++ {
			q.run(i, raftNone)
			q.step(stepAdd, i)
			q.caughtUp(i)
		}
		for i := 1; i < 3; i++ {
			q.step(stepPromote, i)
		}
		time.Sleep(time.Second) // a replica that has just started does not vote
		at, _ := q.owner(-1)
		if err := q.nodes[at].group.Load().handOver(context.Background(), q.nodes[2].id.serverID()); err != nil {
			t.Errorf("handOver = %v", err)
		}
		if at, _ := q.owner(-1); at != 2 {
			t.Errorf("owner = node %d, want 2, to whom the leadership was given", at)
		}
		for i := range 2 {
			q.step(stepRemove, i)
			q.stop(i)
		}
		time.Sleep(2 * time.Second)
		close(stop)
		<-stopped
		if !q.nodes[2].group.Load().members.Load().alone {
			t.Error("the last replica is not alone")
		}
		if err := h.check(q.settled()); err != nil {
			t.Error(err)
		}
	})
}
