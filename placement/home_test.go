package placement

import (
	"fmt"
	"testing"
)

// TestPassHome makes a bound reachable only by a chain: every shard of the full
// node has its other copy on a node that is full as well.
func TestPassHome(t *testing.T) {
	l := &layout{
		nodes: sorted(nodes(3)),
		sets:  [][]int{{0, 1}, {0, 1}, {0, 1}, {1, 2}, {1, 2}},
		home:  []int{0, 0, 0, 1, 1},
	}
	count := []int{3, 2, 0}
	if !l.passHome(0, count, func(to int) bool { return count[to] < 2 }) {
		t.Fatal("passHome(0) = false, want a chain by node 1 to node 2")
	}
	counted := make([]int, 3)
	for shard, home := range l.home {
		counted[home]++
		if !l.has(shard, home) {
			t.Errorf("home of shard %d = %d, want one of %v", shard, home, l.sets[shard])
		}
	}
	if got := fmt.Sprint(count, counted); got != "[2 2 1] [2 2 1]" {
		t.Errorf("homes after passHome, as counted and as they are, = %s, want [2 2 1] [2 2 1]", got)
	}
	if l.passHome(2, count, func(int) bool { return false }) {
		t.Error("passHome(2) to no node = true, want false")
	}
}

// TestHomesLeaveAFullNode starts with as many homes on one node as it can have.
func TestHomesLeaveAFullNode(t *testing.T) {
	const shards = 32
	members := nodes(7)
	now := Wanted(shards, members, nil)
	for shard, set := range now {
		for i, id := range set {
			if id == "node-4" {
				now[shard][0], now[shard][i] = set[i], set[0]
			}
		}
	}
	if err := checkBounds(shards, members, now); err == nil {
		t.Fatal("homes are within the bounds already, want node-4 beyond them")
	}
	after := Wanted(shards, members, now)
	if err := checkBounds(shards, members, after); err != nil {
		t.Error(err)
	}
	if m := moved(now, after); m != 0 {
		t.Errorf("homes moved %d copies, want none", m)
	}
}
