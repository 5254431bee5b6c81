package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestMuxCommits: many groups elect and commit over a network with delays whose
// connections break again and again.
func TestMuxCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups, lines = 32, 6
		c := newMuxCluster(t, groups, faults{})
		defer c.close()
		random := rand.New(rand.NewPCG(1, 2))
		c.net.setDelay(func(string, string) time.Duration { return time.Duration(random.IntN(5000)) * time.Microsecond })
		for line := range lines {
			for g := range groups {
				c.apply(g, fmt.Sprintf("%d/%d", g, line))
			}
			if err := c.oneLeader(); err != nil {
				t.Error(err)
			}
			if line%2 == 1 {
				c.net.reset()
			}
		}
		for g := range groups {
			list := slices.Compact(c.settled(g)) // an unknown outcome is tried again
			if len(list) != lines {
				t.Errorf("group %d has %q, want %d lines", g, list, lines)
			}
		}
	})
}

// TestMuxSnapshotInstall: a replica that is behind everything that the leader's
// log still has gets a snapshot, while the other groups go on.
func TestMuxSnapshotInstall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups = 4
		c := newMuxCluster(t, groups, faults{})
		defer c.close()
		line := strings.Repeat("x", 100<<10)
		behind := (c.leader(0, -1) + 1) % 3
		c.net.isolate(c.nodes[behind].name, true)
		for g := range groups {
			for i := range 20 {
				c.apply(g, fmt.Sprint(line, i))
			}
			at := c.leader(g, behind)
			if err := c.nodes[at].replicas[g].raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		c.net.isolate(c.nodes[behind].name, false)
		for g := range groups {
			if list := slices.Compact(c.settled(g)); len(list) != 20 {
				t.Errorf("group %d has %d lines, want 20", g, len(list))
			}
			snapshots, err := c.nodes[behind].replicas[g].snaps.List()
			if err != nil || len(snapshots) == 0 {
				t.Errorf("group %d: replica that was behind has snapshots %v, %v, want one", g, snapshots, err)
			}
		}
	})
}

// TestMuxReturns: a leader that was cut off while it sent appends, and leads again
// when it is back, reaches its followers at once: not over the connections on which
// TCP still tries to deliver what nobody waits for any more.
func TestMuxReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMuxCluster(t, 1, faults{})
		defer c.close()
		c.net.change(func() { c.net.backsOff = true })
		c.apply(0, "before")
		at := c.leader(0, -1)
		back := c.nodes[at].replicas[0]
		c.net.isolate(c.nodes[at].name, true)
		back.raft.Apply([]byte("in vain"), 0)
		time.Sleep(20 * time.Second)
		c.net.isolate(c.nodes[at].name, false)
		c.settled(0)
		for deadline := time.Now().Add(5 * time.Second); c.leader(0, -1) != at; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the node that is back does not get the leadership")
			}
			other := c.nodes[c.leader(0, at)].replicas[0]
			other.port.endLease(other.raft.CurrentTerm())
			_ = other.raft.LeadershipTransferToServer(back.id, raft.ServerAddress(back.id)).Error() // tried again
		}
		began := time.Now()
		if err := back.raft.Apply([]byte("after"), 0).Error(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*DefaultHeartbeatTimeout {
			t.Errorf("an entry of the leader that is back took %v, want at most %v", took, 2*DefaultHeartbeatTimeout)
		}
	})
}

// TestMuxRecovers: a follower that was away for long gets appends as soon as it is
// back, whatever pauses the library makes after failures.
func TestMuxRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMuxCluster(t, 1, faults{})
		defer c.close()
		away := (c.leader(0, -1) + 1) % 3
		c.stop(away)
		c.apply(0, "first")
		time.Sleep(2 * time.Minute)
		c.apply(0, "second")
		c.run(away)
		start := time.Now()
		c.settled(0)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("a follower that was away caught up after %v", took)
		}
	})
}

// TestMuxFaults: whatever happens to nodes and network, at most one leader of a
// group has a lease, replicas do not differ, and all go on 3 s after it ends.
func TestMuxFaults(t *testing.T) {
	for seed := range fewer(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { muxFaults(t, seed) })
		})
	}
}

func muxFaults(t *testing.T, seed uint64) {
	t.Helper()
	const groups = 8
	c := newMuxCluster(t, groups, faults{})
	defer c.close()
	random := rand.New(rand.NewPCG(seed, 99))
	slow := time.Duration(random.IntN(40)) * time.Millisecond
	jitter := time.Duration(1 + random.IntN(int(20*time.Millisecond)))
	jitters := rand.New(rand.NewPCG(seed, 100)) // guarded by the network's mutex
	c.net.setDelay(func(from, to string) time.Duration {
		if from < to {
			return slow + time.Duration(jitters.Int64N(int64(jitter)))
		}
		return time.Duration(jitters.Int64N(int64(jitter)))
	})
	var proposals sync.WaitGroup
	propose := func(n int) {
		for g := range groups {
			for _, node := range c.nodes {
				future := node.replicas[g].raft.Apply(fmt.Appendf(nil, "%d/%d/%s", g, n, node.name), 0)
				proposals.Go(func() { future.Error() }) // most are not the leader
			}
		}
	}
	for step := range 25 {
		node := random.IntN(3)
		other := c.nodes[(node+1+random.IntN(2))%3]
		switch random.IntN(6) {
		case 0:
			c.net.isolate(c.nodes[node].name, random.IntN(2) == 0)
		case 1:
			c.net.cut(c.nodes[node].name, other.name, random.IntN(2) == 0)
		case 2:
			c.net.reset()
		case 3:
			c.stop(node)
			c.run(node)
		case 4:
			for g := range groups {
				r := c.nodes[node].replicas[g]
				if r.raft.State() == raft.Leader {
					r.port.endLease(r.raft.CurrentTerm())
					r.raft.LeadershipTransfer()
				}
			}
		default:
		}
		propose(step)
		if err := c.watch(time.Duration(random.IntN(600)) * time.Millisecond); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
	}
	for _, node := range c.nodes {
		c.net.isolate(node.name, false)
	}
	if err := c.watch(3 * time.Second); err != nil {
		t.Error(err)
	}
	for g := range groups {
		if !c.led(g) {
			t.Errorf("group %d has no leader 3 s after the faults", g)
		}
		c.apply(g, "last")
		list := c.settled(g)
		if !slices.Contains(list, "last") {
			t.Errorf("group %d: %q is not there", g, "last")
		}
	}
	proposals.Wait()
}
