package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

// Every node is stopped and started again in turn, while clients of the two
// others go on: none of them notices.
func TestRollingRestart(t *testing.T) {
	if !*planned {
		t.Skip("takes a quiet machine: make planned")
	}
	l := startCounterLoad(t, startProcesses(t, 3, "--shards", fmt.Sprint(loadShards)))
	l.planned.Store(true)
	var pauses, others []time.Duration
	for i := range l.cluster.nodes {
		l.enter(i)
		moving := l.settled(3, i)
		began := time.Now()
		if code := l.cluster.nodes[i].stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of node %d after SIGTERM = %d, want 0\n%s", i+1, code, l.cluster.nodes[i].stderr)
		}
		pauses = append(pauses, l.slowest(began, func(shard int) bool { return slices.Contains(moving, shard) })...)
		others = append(others, l.slowest(began, func(shard int) bool { return !slices.Contains(moving, shard) })...)
		l.cluster.start(t, i)
		l.settled(3, -1)
	}
	l.stop()
	t.Logf("slowest write of each shard while a node stopped: of those that moved %s; of the others %s; %d writes", summary(pauses), summary(others), len(l.history.Copy()))
}

// slowest gives the longest of the writes of each shard that had not ended at a
// moment, for the shards of one kind.
func (l *counterLoad) slowest(since time.Time, kind func(shard int) bool) []time.Duration {
	longest := make(map[int]time.Duration)
	for _, w := range l.history.Copy() {
		if shard := shardOfHex(w.Object); w.Acknowledged() && w.Ended.After(since) && kind(shard) {
			longest[shard] = max(longest[shard], w.Ended.Sub(w.Begun))
		}
	}
	return slices.Collect(maps.Values(longest))
}

// A cluster grows from one node to three and five, and shrinks to three again,
// while clients of the nodes that stay go on: none of them notices.
func TestGrowAndShrink(t *testing.T) {
	if !*planned {
		t.Skip("takes a quiet machine: make planned")
	}
	c := prepareProcesses(t, 5, "--shards", fmt.Sprint(loadShards))
	c.start(t, 0)
	l := startCounterLoad(t, c)
	l.planned.Store(true)
	for _, more := range [][]int{{1, 2}, {3, 4}} {
		for _, i := range more {
			c.start(t, i)
		}
		l.settled(more[1]+1, -1)
		l.enter(-1)
	}
	for _, i := range []int{4, 3} {
		l.enter(i)
		name := fmt.Sprintf("node-%d", i+1)
		if _, err := tryCall(t.Context(), l.client, http.MethodPost, c.nodes[0].operators+"/nodes/"+name+"/decommission", ""); err != nil {
			t.Fatal(err)
		}
		l.settled(i, -1)
		if code := c.nodes[i].stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of %s after SIGTERM = %d, want 0\n%s", name, code, c.nodes[i].stderr)
		}
		c.nodes[i] = nil
	}
	l.stop()
	t.Logf("%d writes", len(l.history.Copy()))
}
