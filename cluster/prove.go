package cluster

import "github.com/hashicorp/raft"

// confirm proves that the ownership held at a moment after the call began,
// without waiting for anything. The proof is the lease, which is looked at first,
// then the ownership: it may have ended meanwhile, but it had not begun later,
// since the term is the same.
func (g *group) confirm(ownership uint64) error {
	term, err := g.termOf(ownership)
	if err != nil {
		return err
	}
	if !g.leadsNow(term) {
		return ErrNotOwner
	}
	_, err = g.termOf(ownership)
	return err
}

// prove does the same and is allowed to take its time: without a lease an entry
// that changes nothing is committed under the ownership. All proofs that are asked
// for while one is on its way share the next. done is called exactly once; it must
// not block.
func (g *group) prove(ownership uint64, done func(error)) {
	err := g.confirm(ownership)
	if err == nil {
		done(nil)
		return
	}
	if err := g.admit(ownership, proposal{isProof: true, done: done}); err != nil {
		done(err)
	}
}

// termOf gives the term of the present ownership, if it is that one.
func (g *group) termOf(ownership uint64) (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number == 0 || g.number != ownership || g.lost || g.closing {
		return 0, ErrNotOwner
	}
	return g.term, nil
}

// leadsNow proves the leadership in that term. A sole voter cannot have been
// replaced while it leads; with others it takes a lease. State is read before the
// term, so that a leadership regained in between does not count.
func (g *group) leadsNow(term uint64) bool {
	if g.port != nil {
		return g.port.leads(term)
	}
	return g.members.Load().alone && g.raft.State() == raft.Leader && g.raft.CurrentTerm() == term
}
