package placement

// move gives a set another node in the place of one that it has.
type move struct {
	shard, slot int
	from, to    int
}

// balance moves copies, the best move first, until no move is worth it. Nodes
// that held nothing take a share; between the others copies move only where a
// bound is broken, so that a join costs little more than the newcomer's share.
//
// It ends: each move brings nodes nearer to their bounds, or else brings more
// zones into a set, or else brings two loads nearer to each other, and none
// spoils what an earlier kind of move has won.
func (l *layout) balance() {
	budget := 0 // of moves that no bound asks for: what joins may cost at most
	for _, fresh := range l.fresh {
		budget += truth(fresh) * (9*len(l.sets)/(2*len(l.nodes)) + 3)
	}
	for moves := 0; ; moves++ {
		m, needed := l.bestMove()
		if m.to == none || !needed && moves >= budget {
			return
		}
		l.sets[m.shard][m.slot] = m.to
		l.load[m.from]--
		l.load[m.to]++
	}
}

// bestMove gives a move to none where none is worth it, and says whether a bound
// asks for the move.
func (l *layout) bestMove() (best move, needed bool) {
	best.to = none
	var bestRank rank
	targets := l.targets()
	for shard, set := range l.sets {
		for slot, from := range set {
			for _, to := range targets {
				if !l.fresh[to] && !l.needed(from, to) || l.has(shard, to) {
					continue
				}
				m := move{shard, slot, from, to}
				r, worth := l.rate(m)
				if worth && (best.to == none || r.above(bestRank, l.affinity[shard][to], l.affinity[best.shard][best.to])) {
					best, bestRank = m, r
				}
			}
		}
	}
	return best, best.to != none && l.needed(best.from, best.to)
}

// targets gives the nodes that a copy may move to: all while a bound is broken.
func (l *layout) targets() []int {
	var all, fresh []int
	broken := false
	for node, load := range l.load {
		all = append(all, node)
		if l.fresh[node] {
			fresh = append(fresh, node)
		}
		broken = broken || load < l.low || load > l.high
	}
	if broken {
		return all
	}
	return fresh
}

// needed says whether a copy must move from a node to the other for their bounds.
func (l *layout) needed(from, to int) bool {
	return l.load[from] > l.high && l.load[to] < l.high || l.load[to] < l.low && l.load[from] > l.low
}

// rate says whether a move that is needed, or goes to a fresh node, is worth its
// copy, and how good it is. Only for a bound may a set lose a zone.
func (l *layout) rate(m move) (r rank, worth bool) {
	from, to := l.load[m.from], l.load[m.to]
	needed := l.needed(m.from, m.to)
	gain := l.gain(m.shard, m.from, m.to)
	wider := gain > 0 && from > l.low && to < l.full
	nearer := gain >= 0 && from >= to+2
	r = rank{
		truth(needed),
		truth(gain >= 0 && from > l.full),
		gain,
		truth(m.to == l.ring[m.shard]) - truth(m.from == l.ring[m.shard]),
		from - to,
	}
	return r, needed || wider || nearer
}
