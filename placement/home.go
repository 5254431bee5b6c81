package placement

// chooseHomes gives each shard a home out of its set: the ring's where the set
// has it, else the one that it had. Homes move without copies: only leadership
// does. It leaves no node above its bound, which the sets always permit: a third
// of a node's copies, at most ceil(1.25 × 3·shards/n) + 1, is below it.
func (l *layout) chooseHomes() []int {
	count := make([]int, len(l.nodes))
	for shard := range l.home {
		if l.home[shard] != none && !l.has(shard, l.home[shard]) {
			l.home[shard] = none
		}
		if l.home[shard] != none {
			count[l.home[shard]]++
		}
	}
	for shard := range l.home {
		if l.home[shard] == none {
			l.home[shard] = l.newHome(shard, count)
			count[l.home[shard]]++
		}
	}
	for l.followRing(count) {
	}
	for node := range l.nodes {
		for count[node] > l.homes && l.relieve(node, count) {
		}
	}
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

// followRing makes the ring's homes homes where the sets and the bound allow,
// and says whether it moved any, which may have made room for others.
func (l *layout) followRing(count []int) bool {
	moved := false
	for shard, home := range l.home {
		ring := l.ring[shard]
		if home == ring || !l.has(shard, ring) || count[ring] >= l.homes {
			continue
		}
		l.home[shard] = ring
		count[home]--
		count[ring]++
		moved = true
	}
	return moved
}

// relieve takes one home from a node, by the shortest chain of shards that pass
// their home on to a next node, up to one that has room. Nodes inside the chain
// stay full, so that followRing would not undo it. It says whether there is one.
func (l *layout) relieve(full int, count []int) bool {
	via := make([]int, len(l.nodes)) // the shard that would come to each node
	for node := range via {
		via[node] = none
	}
	queue := []int{full}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		for shard, home := range l.home {
			if home != node {
				continue
			}
			for _, next := range l.sets[shard] {
				if next == full || via[next] != none {
					continue
				}
				via[next] = shard
				if count[next] < l.homes {
					count[full]--
					count[next]++
					l.passOn(full, next, via)
					return true
				}
				queue = append(queue, next)
			}
		}
	}
	return false
}

// passOn moves the homes of a chain, from its end back to its start.
func (l *layout) passOn(start, end int, via []int) {
	for node := end; node != start; {
		shard := via[node]
		previous := l.home[shard]
		l.home[shard] = node
		node = previous
	}
}
