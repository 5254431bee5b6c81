package placement

import (
	"fmt"
	"testing"
)

// TestRelieve makes the bound of homes reachable only by a chain: every shard of
// the full node has its other copy on a node that is full as well.
func TestRelieve(t *testing.T) {
	l := &layout{
		nodes: sorted(nodes(3)),
		sets:  [][]int{{0, 1}, {0, 1}, {0, 1}, {1, 2}, {1, 2}},
		home:  []int{0, 0, 0, 1, 1},
		ring:  []int{none, none, none, none, none},
		homes: 2,
	}
	count := []int{3, 2, 0}
	if !l.relieve(0, count) {
		t.Fatal("relieve(0) = false, want a chain by node 1 to node 2")
	}
	if got := fmt.Sprint(count); got != "[2 2 1]" {
		t.Errorf("homes after relieve = %v, want [2 2 1]", got)
	}
	counted := make([]int, 3)
	for shard, home := range l.home {
		counted[home]++
		if !l.has(shard, home) {
			t.Errorf("home of shard %d = %d, want one of %v", shard, home, l.sets[shard])
		}
	}
	if fmt.Sprint(counted) != fmt.Sprint(count) {
		t.Errorf("homes = %v, want as counted %v", counted, count)
	}
	if l.relieve(2, []int{2, 2, 3}) {
		t.Error("relieve(2) with no room = true, want false")
	}
}

// TestHomesLeaveAFullNode starts with all homes on one node.
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
		t.Fatal("homes are within the bound already, want node-4 beyond it")
	}
	after := Wanted(shards, members, now)
	if err := checkBounds(shards, members, after); err != nil {
		t.Error(err)
	}
	if m := moved(now, after); m != 0 {
		t.Errorf("homes moved %d copies, want none", m)
	}
}
