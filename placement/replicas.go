package placement

import (
	"cmp"
	"slices"
)

// Copies is the number of replicas of a shard in a cluster that has the nodes.
const Copies = 3

// Wanted gives for each shard the nodes that shall hold it, its home first and
// the others by name. now is the present wish, in the same form; it may name
// nodes that are no longer members, and is empty for a new cluster. shards must
// be valid for [ValidateShards].
//
// The order of members and of the nodes behind a home does not matter, and a
// result that is given back as now with the same members comes out unchanged.
//
// With n the number of members, or of shards if that is less and at least
// [Copies]:
//
//   - A set has min(3, n) nodes and keeps those that it has, unless one is no
//     longer a member or a bound below asks for its place.
//   - A node is home of floor(0.75 × shards/n) - 1 to ceil(1.25 × shards/n) + 1
//     shards.
//   - A node has from floor(0.75 × 3·shards/n) - 1 to ceil(1.25 × 3·shards/n) + 1
//     copies.
//   - Nodes that come into a set come from other zones than those it has, where
//     these bounds permit.
//   - A join moves at most 1.5 × 3·shards/n + 3 copies, if now came from Wanted.
//
// Of two nodes the home is meant to be the voter and the other a non-voter.
func Wanted(shards int, members []Member, now [][]NodeID) [][]NodeID {
	wanted := make([][]NodeID, shards)
	if len(members) == 0 {
		return wanted
	}
	l := newLayout(shards, members, now)
	l.fill()
	l.balance()
	for shard, home := range l.chooseHomes() {
		set := l.sets[shard]
		slices.SortFunc(set, func(a, b int) int {
			return cmp.Or(truth(b == home)-truth(a == home), cmp.Compare(a, b))
		})
		for _, node := range set {
			wanted[shard] = append(wanted[shard], l.nodes[node].ID)
		}
	}
	return wanted
}

// layout is a placement in the making. Nodes are indexes into nodes, which is
// sorted by name, so that the lower index is the same choice everywhere.
type layout struct {
	// Fixed after newLayout.
	nodes    []Member
	ring     []int      // of each shard the home that the ring prefers
	affinity [][]uint64 // of each shard and node; the higher, the better
	size     int        // of each set

	fewestHomes, mostHomes int // of a node

	low   int    // the fewest copies of a node
	fair  int    // the average, rounded up
	full  int    // copies at which a node takes no more for its zone's sake
	high  int    // the most copies of a node
	fresh []bool // nodes that hold nothing of now

	sets [][]int
	home []int // of each shard; none until chosen
	load []int // copies of each node
}

const none = -1

// newLayout starts from what is left of now.
func newLayout(shards int, members []Member, now [][]NodeID) *layout {
	ranked := holders(shards, members, now)
	nodes := sorted(ranked)
	n, size := len(nodes), min(Copies, len(nodes))
	l := &layout{
		nodes:       nodes,
		size:        size,
		fewestHomes: 3*shards/(4*min(n, shards)) - 1,
		mostHomes:   ceilDiv(5*shards, 4*min(n, shards)) + 1,
		low:         3*size*shards/(4*n) - 1,
		fair:        ceilDiv(size*shards, n),
		full:        ceilDiv(5*size*shards, 4*n),
		high:        ceilDiv(5*size*shards, 4*n) + 1,
		sets:        make([][]int, shards),
		home:        make([]int, shards),
		load:        make([]int, n),
	}
	index := make(map[NodeID]int, n)
	for i, m := range nodes {
		index[m.ID] = i
	}
	// Only a cluster of one or two shards has holders beside the ring.
	onRing := sorted(ranked[:min(n, shards)])
	l.ring = ringHomes(shards, onRing)
	for shard := range shards {
		l.ring[shard] = index[onRing[l.ring[shard]].ID]
		scores := make([]uint64, n)
		for i, m := range nodes {
			scores[i] = hash(shard, m.ID)
		}
		l.affinity = append(l.affinity, scores)
		l.home[shard] = none
		if shard < len(now) {
			l.keep(shard, now[shard], index)
		}
	}
	for _, load := range l.load {
		l.fresh = append(l.fresh, load == 0)
	}
	return l
}

// keep takes over what is left of a set. The order of its nodes must not matter.
func (l *layout) keep(shard int, set []NodeID, index map[NodeID]int) {
	for i, id := range set {
		node, member := index[id]
		if !member || l.has(shard, node) || len(l.sets[shard]) == l.size {
			continue
		}
		l.sets[shard] = append(l.sets[shard], node)
		l.load[node]++
		if i == 0 {
			l.home[shard] = node
		}
	}
	slices.Sort(l.sets[shard])
}

// fill brings each set to its size, the emptiest sets first, so that all shards
// have one copy before any has two.
func (l *layout) fill() {
	for size := range l.size {
		for shard, set := range l.sets {
			if len(set) > size {
				continue
			}
			node := l.best(shard)
			l.sets[shard] = append(set, node)
			l.load[node]++
		}
	}
}

// best gives the node that a set should get next: one in another zone, then the
// ring's home, then the first by rendezvous hash of those with fewer copies than average.
func (l *layout) best(shard int) int {
	best, bestRank := none, rank{}
	for node := range l.nodes {
		if l.has(shard, node) {
			continue
		}
		r := rank{
			truth(l.load[node] < l.full),
			l.gain(shard, none, node),
			truth(node == l.ring[shard]),
			truth(l.load[node] < l.fair),
		}
		if best == none || r.above(bestRank, l.affinity[shard][node], l.affinity[shard][best]) {
			best, bestRank = node, r
		}
	}
	return best
}

// gain says by how many zones the shard's set gets wider if a node takes the
// place of another, or of none.
func (l *layout) gain(shard, from, to int) int {
	lost, won := from != none, true
	for _, node := range l.sets[shard] {
		if node != from {
			lost = lost && l.nodes[node].Zone != l.nodes[from].Zone
			won = won && l.nodes[node].Zone != l.nodes[to].Zone
		}
	}
	return truth(won) - truth(lost)
}

func (l *layout) has(shard, node int) bool { return slices.Contains(l.sets[shard], node) }

// rank orders choices: the first number that differs decides, the higher wins.
type rank [5]int

// above says whether r wins against other; affinities decide between equals.
func (r rank) above(other rank, affinity, otherAffinity uint64) bool {
	if c := slices.Compare(r[:], other[:]); c != 0 {
		return c > 0
	}
	return affinity > otherAffinity
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
