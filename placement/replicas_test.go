package placement

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestWantedIsAPromise pins a result. If it changes, nodes of two versions wish
// for different placements, and an upgrade moves data.
func TestWantedIsAPromise(t *testing.T) {
	members := []Member{{"a", "north"}, {"b", "north"}, {"c", "south"}, {"d", "south"}, {"e", "west"}}
	got := fmt.Sprint(Wanted(8, members, nil))
	const want = "[[c b e] [a c e] [e b c] [d b e] [d a e] [a d e] [b a c] [b a d]]"
	if got != want {
		t.Errorf("Wanted(8, %v, nil) = %v, want %v", members, got, want)
	}
}

func TestWantedOfSmallClusters(t *testing.T) {
	one := Wanted(4, nodes(1), nil)
	for shard, set := range one {
		if !slices.Equal(set, []NodeID{"node-0"}) {
			t.Errorf("Wanted of one node: shard %d = %v, want it on node-0 alone", shard, set)
		}
	}
	for shard, set := range Wanted(4, nodes(2), one) {
		if len(set) != 2 || set[0] == set[1] {
			t.Errorf("Wanted of two nodes: shard %d = %v, want both", shard, set)
		}
	}
	for shard, set := range Wanted(4, nil, one) {
		if len(set) != 0 {
			t.Errorf("Wanted of no nodes: shard %d = %v, want none", shard, set)
		}
	}
}

// TestWantedCopesWithAnyWish gives wishes that Wanted never made.
func TestWantedCopesWithAnyWish(t *testing.T) {
	members := nodes(6)
	same := []NodeID{"node-2", "node-1", "node-0"}
	for name, now := range map[string][][]NodeID{
		"too short":      {same},
		"too long":       slices.Repeat([][]NodeID{same}, 50),
		"all on three":   slices.Repeat([][]NodeID{same}, 32),
		"one node":       slices.Repeat([][]NodeID{{"node-2"}}, 32),
		"twice the same": slices.Repeat([][]NodeID{{"node-2", "node-2", "node-2"}}, 32),
		"too many":       slices.Repeat([][]NodeID{{"node-0", "node-1", "node-2", "node-3", "node-4"}}, 32),
		"all gone":       slices.Repeat([][]NodeID{{"x", "y", "z"}}, 32),
	} {
		wanted := Wanted(32, members, now)
		if err := errors.Join(checkBounds(32, members, wanted), checkStable(32, members, wanted)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGrowthByZone joins nodes to three zones in turn. Sets lack a zone only where
// a zone's only node would need more copies than its bound.
func TestGrowthByZone(t *testing.T) {
	const shards = 32
	var members []Member
	var now [][]NodeID
	for n := range 12 {
		members = append(members, Member{NodeID(fmt.Sprint("node-", n)), fmt.Sprint("zone-", n%3)})
		now = Wanted(shards, members, now)
		narrow := 0
		for _, set := range now {
			zones := make(map[string]bool)
			for _, id := range set {
				zones[members[slices.IndexFunc(members, func(m Member) bool { return m.ID == id })].Zone] = true
			}
			narrow += truth(len(zones) < min(3, len(members)))
		}
		want := 0
		for zone := range min(3, len(members)) {
			inZone := (len(members) + 2 - zone) / 3
			want += max(0, shards-inZone*(ceilDiv(5*3*shards, 4*len(members))+1))
		}
		if narrow > want {
			t.Errorf("%d nodes: %d of %d sets lack a zone, want at most %d", len(members), narrow, shards, want)
		}
	}
}

func TestGateways(t *testing.T) {
	members := nodes(12)
	now := Wanted(8, members[:8], nil)
	for n := 9; n <= 12; n++ {
		next := Wanted(8, members[:n], now)
		if fmt.Sprint(next) != fmt.Sprint(now) {
			t.Errorf("join of node %d to a full cluster: Wanted = %v, want it unchanged %v", n, next, now)
		}
	}
	want := []NodeID{"node-10", "node-11", "node-8", "node-9"}
	if got := Gateways(members, now); !slices.Equal(got, want) {
		t.Errorf("Gateways() = %v, want %v", got, want)
	}
	left := slices.Delete(slices.Clone(members), 3, 4)
	if got := Gateways(left, Wanted(8, left, now)); len(got) != 3 {
		t.Errorf("Gateways() after a holder left = %v, want one gateway to have taken its place", got)
	}
}

// TestWantedHistories lets nodes join and leave by chance, in balanced and in
// badly balanced zones, up to twice as many nodes as shards.
func TestWantedHistories(t *testing.T) {
	for _, run := range []struct {
		shards, events int
		seeds          uint64
	}{{1, 30, 6}, {2, 30, 6}, {4, 40, 6}, {8, 40, 6}, {16, 30, 4}, {32, 30, 3}, {64, 8, 2}, {256, 2, 2}} {
		t.Run(fmt.Sprint(run.shards), func(t *testing.T) {
			t.Parallel()
			var worst, total float64
			joins := 0
			for seed := range run.seeds {
				h := newHistory(seed, run.shards)
				for range run.events {
					share, err := h.step(Wanted)
					if err != nil {
						t.Fatalf("seed %d: %d nodes: %v", seed, len(h.members), err)
					}
					if share > 0 {
						joins++
						total += share
						worst = max(worst, share)
					}
				}
			}
			if joins == 0 {
				t.Error("no join moved anything, want some to check")
			}
			t.Logf("%d joins moved %.2f of what they may, %.2f at worst", joins, total/float64(joins), worst)
		})
	}
}

// TestCheckersNotice runs histories with placements that are wrong, under the
// error that they must lead to.
func TestCheckersNotice(t *testing.T) {
	for want, wrong := range map[string]func(int, []Member, [][]NodeID) [][]NodeID{
		"a join moves": func(shards int, members []Member, _ [][]NodeID) [][]NodeID {
			return Wanted(shards, members, nil)
		},
		"shuffled input": func(shards int, members []Member, now [][]NodeID) [][]NodeID {
			wanted := Wanted(shards, members, now)
			last := slices.Index(wanted[0], members[0].ID)
			if last > 0 {
				wanted[0][0], wanted[0][last] = wanted[0][last], wanted[0][0]
			}
			return wanted
		},
		"nodes hold copies": func(shards int, members []Member, now [][]NodeID) [][]NodeID {
			return Wanted(shards, members[:min(3, len(members))], now)
		},
		"is home of": func(shards int, members []Member, now [][]NodeID) [][]NodeID {
			wanted := Wanted(shards, members, now)
			for _, set := range wanted {
				slices.Sort(set)
			}
			return wanted
		},
	} {
		t.Run(strings.ReplaceAll(want, " ", "_"), func(t *testing.T) {
			var other error
			for seed := range uint64(20) {
				h := newHistory(seed, 32)
				for range 60 {
					_, err := h.step(wrong)
					if err != nil && strings.Contains(err.Error(), want) {
						return
					}
					other = cmp.Or(err, other)
				}
			}
			t.Errorf("20 histories passed, or failed otherwise: %v", other)
		})
	}
}

// history is a cluster whose members come and go.
type history struct {
	shards  int
	rand    *rand.Rand
	zones   int
	joined  int
	members []Member
	now     [][]NodeID
}

func newHistory(seed uint64, shards int) *history {
	h := &history{shards: shards, rand: rand.New(rand.NewPCG(seed, uint64(shards)))}
	h.zones = 1 + h.rand.IntN(5)
	for range 1 + h.rand.IntN(2*shards) {
		h.join()
	}
	h.now = Wanted(shards, h.members, nil)
	return h
}

func (h *history) join() {
	// Every second node is in the same zone, so that zones differ in size.
	zone := h.rand.IntN(2) * h.rand.IntN(h.zones)
	h.members = append(h.members, Member{NodeID(fmt.Sprint("node-", h.joined)), fmt.Sprint("zone-", zone)})
	h.joined++
}

// step makes a node join or leave and checks all that Wanted promises. It gives
// the share that a join moved of what it may move.
func (h *history) step(wanted func(int, []Member, [][]NodeID) [][]NodeID) (float64, error) {
	joins := len(h.members) == 1 || len(h.members) < 2*h.shards && h.rand.IntN(2) == 0
	if joins {
		h.join()
	} else {
		gone := h.rand.IntN(len(h.members))
		h.members = slices.Delete(h.members, gone, gone+1)
	}
	before := h.now
	h.now = wanted(h.shards, h.members, before)
	shuffled, others := slices.Clone(h.members), make([][]NodeID, len(before))
	h.rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for shard, set := range before {
		others[shard] = slices.Clone(set)
		if len(set) == Copies {
			others[shard][1], others[shard][2] = set[2], set[1]
		}
	}
	if err := same(wanted(h.shards, shuffled, others), h.now); err != nil {
		return 0, fmt.Errorf("shuffled input: %w", err)
	}
	if err := errors.Join(checkBounds(h.shards, h.members, h.now), checkStable(h.shards, h.members, h.now)); err != nil {
		return 0, err
	}
	if !joins {
		return 0, nil
	}
	moved, may := moved(before, h.now), 1.5*3*float64(h.shards)/float64(holderCount(h.shards, h.members))+3
	if float64(moved) > may {
		return 0, fmt.Errorf("a join moves %d copies, want at most %.1f", moved, may)
	}
	return float64(moved) / may, nil
}

// checkBounds checks a placement by itself.
func checkBounds(shards int, members []Member, wanted [][]NodeID) error {
	n := holderCount(shards, members)
	if len(wanted) != shards {
		return fmt.Errorf("Wanted gives %d sets, want %d", len(wanted), shards)
	}
	copies, homes := make(map[NodeID]int), make(map[NodeID]int)
	for shard, set := range wanted {
		seen := make(map[NodeID]bool)
		for _, id := range set {
			seen[id] = true
			copies[id]++
			if !slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
				return fmt.Errorf("shard %d is on %v, and %s is no member", shard, set, id)
			}
		}
		if len(set) != min(3, n) || len(seen) != len(set) {
			return fmt.Errorf("shard %d is on %v, want %d nodes", shard, set, min(3, n))
		}
		homes[set[0]]++
	}
	perNode := float64(shards) / float64(min(n, shards))
	fewest, most := int(math.Floor(0.75*perNode))-1, int(math.Ceil(1.25*perNode))+1
	average := float64(min(3, n)*shards) / float64(n)
	low, high := int(math.Floor(0.75*average))-1, int(math.Ceil(1.25*average))+1
	if len(copies) > n || low > 0 && len(copies) < n {
		return fmt.Errorf("%d nodes hold copies, want %d", len(copies), n)
	}
	for id, count := range copies {
		if homes[id] < fewest || homes[id] > most {
			return fmt.Errorf("%s is home of %d shards, want %d to %d", id, homes[id], fewest, most)
		}
		if count < low || count > high {
			return fmt.Errorf("%s has %d copies, want %d to %d", id, count, low, high)
		}
	}
	return nil
}

// checkStable checks that a placement stays while nothing happens.
func checkStable(shards int, members []Member, wanted [][]NodeID) error {
	if err := same(Wanted(shards, members, wanted), wanted); err != nil {
		return fmt.Errorf("Wanted of its own result: %w", err)
	}
	return nil
}

func same(got, want [][]NodeID) error {
	for shard := range want {
		if shard >= len(got) || !slices.Equal(got[shard], want[shard]) {
			return fmt.Errorf("from shard %d on %v, want %v", shard, got[min(shard, len(got)):][:1], want[shard])
		}
	}
	return nil
}

// moved counts the copies of after that are not in before.
func moved(before, after [][]NodeID) int {
	count := 0
	for shard, set := range after {
		for _, id := range set {
			count += truth(!slices.Contains(before[shard], id))
		}
	}
	return count
}

func holderCount(shards int, members []Member) int { return min(len(members), max(shards, 3)) }

func nodes(n int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i].ID = NodeID(fmt.Sprint("node-", i))
	}
	return members
}

func BenchmarkWanted(b *testing.B) {
	for _, size := range []struct{ shards, nodes int }{{32, 4}, {256, 5}, {256, 32}, {256, 256}} {
		b.Run(fmt.Sprintf("%d_shards_%d_nodes", size.shards, size.nodes), func(b *testing.B) {
			now := Wanted(size.shards, nodes(size.nodes-1), nil)
			members := nodes(size.nodes)
			for b.Loop() {
				Wanted(size.shards, members, now)
			}
		})
	}
}
