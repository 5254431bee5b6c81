package placement

import "slices"

// chooseHomes gives each shard a home out of its set: the ring's where the set
// has it and the bounds allow, else the one that it had. Homes move without
// copies: only leadership does.
//
// The sets always permit the bounds. If each shard were shared out equally over
// its set, a node would have a third of its copies, which lies within them; and
// where shares can be, whole homes can be, rounded to the next bound.
func (l *layout) chooseHomes() []int {
	count := make([]int, len(l.nodes))
	for shard, home := range l.home {
		if home != none && l.has(shard, home) { // balance may have moved its copy away
			count[home]++
		} else {
			l.home[shard] = none
		}
	}
	for shard := range l.home {
		if l.home[shard] == none {
			l.home[shard] = l.newHome(shard, count)
			count[l.home[shard]]++
		}
	}
	l.followRing(count)
	for node := range l.nodes {
		for count[node] > l.mostHomes && l.passHome(node, count, func(to int) bool { return count[to] < l.mostHomes }) {
		}
		for count[node] < l.fewestHomes && l.takeHome(node, count) {
		}
	}
	l.followRing(count) // keeps the bounds, so that nothing is left to do for the next time
	return l.home
}

func (l *layout) newHome(shard int, count []int) int {
	best, bestRank := none, rank{}
	for _, node := range l.sets[shard] {
		r := rank{truth(node == l.ring[shard]), -count[node]}
		if best == none || r.above(bestRank, l.affinity[shard][node], l.affinity[shard][best]) {
			best, bestRank = node, r
		}
	}
	return best
}

// followRing gives shards the homes that the ring prefers, as long as their sets
// and the bounds allow. One such move may make room for another.
func (l *layout) followRing(count []int) {
	for moved := true; moved; {
		moved = false
		for shard, home := range l.home {
			ring := l.ring[shard]
			if home == ring || !l.has(shard, ring) || count[ring] >= l.mostHomes || count[home] <= l.fewestHomes {
				continue
			}
			l.home[shard] = ring
			count[home]--
			count[ring]++
			moved = true
		}
	}
}

// takeHome brings a home to a node that has too few, from the fullest node that
// can pass one on to it.
func (l *layout) takeHome(needy int, count []int) bool {
	givers := make([]int, len(l.nodes))
	for node := range givers {
		givers[node] = node
	}
	slices.SortStableFunc(givers, func(a, b int) int { return count[b] - count[a] })
	for _, giver := range givers {
		if count[giver] > l.fewestHomes && l.passHome(giver, count, func(to int) bool { return to == needy }) {
			return true
		}
	}
	return false
}

// passHome takes one home from a node to one that may have it, by the shortest
// chain of shards, each of which passes its home on to the home of the next. It
// says whether there is a chain.
func (l *layout) passHome(from int, count []int, may func(to int) bool) bool {
	via := make([]int, len(l.nodes)) // the shard whose home would come to each node
	for node := range via {
		via[node] = none
	}
	queue := []int{from}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		for shard, home := range l.home {
			if home != node {
				continue
			}
			for _, next := range l.sets[shard] {
				if next == from || via[next] != none {
					continue
				}
				via[next] = shard
				if may(next) {
					l.moveAlong(via, from, next)
					count[from]--
					count[next]++
					return true
				}
				queue = append(queue, next)
			}
		}
	}
	return false
}

// moveAlong moves the homes of a chain, from its end back to its start.
func (l *layout) moveAlong(via []int, start, end int) {
	for node := end; node != start; {
		shard := via[node]
		node, l.home[shard] = l.home[shard], node
	}
}
