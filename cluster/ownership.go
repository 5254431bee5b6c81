package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// openRetry is the pause before a leader whose Open entry was not applied tries again.
const openRetry = 20 * time.Millisecond

// run gains and loses the ownership of the shard until ctx ends.
func (g *group) run(ctx context.Context) {
	defer close(g.ended)
	for ctx.Err() == nil && g.failed() == nil {
		leader := g.raft.State() == raft.Leader
		g.reportLeadership(leader)
		if !leader {
			select {
			case <-g.raft.LeaderCh():
			case h := <-g.handovers:
				h.answer <- ErrNotOwner
			case <-g.broken: // the replica stopped
			case <-ctx.Done():
			}
			continue
		}
		if !g.open() {
			g.pause(ctx)
			continue
		}
		h, cause := g.serve(ctx)
		g.end(ctx.Err() != nil || h != nil, cause)
		if h != nil {
			g.transfer(h)
		}
	}
	g.end(true, EndClosed)
	g.giveUp()
	g.reportLeadership(false)
}

// giveUp makes another voter the leader after this replica has stopped. Its silence
// would end its leadership, too, a heartbeat time-out later.
func (g *group) giveUp() {
	if g.failed() == nil || !g.members.Load().peers || g.raft.State() != raft.Leader {
		return
	}
	h := &handover{answer: make(chan error, 1)}
	g.transfer(h)
	if err := <-h.answer; err != nil {
		g.log.Warn("stopped replica could not give its leadership to another", "error", err)
	}
}

func (g *group) reportLeadership(leader bool) {
	if g.leadership.Swap(leader) != leader {
		g.events.leadershipChanged(g.shard, leader)
	}
}

func (g *group) pause(ctx context.Context) {
	timer := time.NewTimer(openRetry)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.raft.LeaderCh():
	case <-ctx.Done():
	}
}

// open commits an Open entry and begins the ownership that it opens. An entry
// of an earlier leader that is in the log is applied before it, so the state is
// complete when the ownership becomes known.
func (g *group) open() bool {
	term := g.raft.CurrentTerm()
	if g.fsm.faults.ownBeforeOpen {
		g.mu.Lock()
		g.number, g.term, g.nextN, g.lost, g.closing = g.raft.LastIndex()+1, term, 1, false, false
		g.mu.Unlock()
	}
	future := g.propose.Apply(appendOpen(nil, term), 0)
	if future.Error() != nil || future.Response() != any(outcomeApplied) {
		return false
	}
	number := future.Index()
	g.mu.Lock()
	g.number, g.term, g.nextN, g.lost, g.closing = number, term, 1, false, false
	g.mu.Unlock()
	g.log.Debug("ownership begins", "ownership", number, "term", term)
	g.events.ownershipChanged(g.shard, number)
	g.isReady.Do(func() { close(g.ready) })
	return true
}

// serve returns when the ownership is over, or should be, or has to be handed over,
// and says why.
func (g *group) serve(ctx context.Context) (*handover, OwnershipEnd) {
	for {
		select {
		case <-g.raft.LeaderCh():
			if !g.leads() {
				return nil, EndLostLeadership
			}
		case <-g.broken:
			if g.failed() != nil {
				return nil, EndStopped
			}
			if g.isLost() {
				return nil, EndNotApplied
			}
		case <-g.watch.C:
			if !g.checkOldest() {
				return nil, EndNotApplied
			}
		case h := <-g.handovers:
			if now, err := g.ownership(); err != nil || h.ownership != now {
				h.answer <- ErrNotOwner
				continue
			}
			g.events.handingOver(g.shard)
			return h, EndHandedOver
		case <-ctx.Done():
			return nil, EndClosed
		}
	}
}

// leads says whether this node still leads the group in the ownership's term.
// The term is read last: a leader of a later term is not this owner.
func (g *group) leads() bool {
	g.mu.Lock()
	term := g.term
	g.mu.Unlock()
	return g.raft.State() == raft.Leader && g.raft.CurrentTerm() == term
}

func (g *group) isLost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// checkOldest waits for an entry that has been in flight for a whole period, and
// says whether the ownership stands. The future of an entry comes to an end while
// the replica runs: with its answer, or with the loss of leadership.
func (g *group) checkOldest() bool {
	g.mu.Lock()
	var oldest *flight
	if len(g.queue.flights) > 0 {
		oldest = g.queue.flights[0]
		g.watch.Reset(watchPeriod)
	} else {
		g.watching = false
	}
	g.mu.Unlock()
	if oldest == nil || time.Since(oldest.start) < watchPeriod {
		return true
	}
	return oldest.future.Error() == nil
}

// end ends the ownership: nothing more is proposed under it, every proposal gets
// its answer, and only then is the loss made known. With drain, what was taken
// is still proposed while that goes well.
func (g *group) end(drain bool, cause OwnershipEnd) {
	g.mu.Lock()
	g.closing = g.closing || drain
	g.mu.Unlock()
	if drain {
		g.drain()
	}
	g.mu.Lock()
	g.lost = true
	flights := append([]*flight{}, g.queue.flights...)
	g.mu.Unlock()
	for _, f := range flights {
		err := f.future.Error()
		if err == nil {
			err = g.replicaError()
		}
		g.mu.Lock()
		mine := g.queue.land(f.n) != nil
		g.mu.Unlock()
		if mine { // else the state machine has answered it
			g.answer(f, classify(err))
		}
	}
	g.mu.Lock()
	waiting := g.queue.dropWaiting()
	number := g.number
	g.number = 0
	g.mu.Unlock()
	for _, p := range waiting {
		g.budget.give(len(p.batch))
		p.done(ErrNotOwner)
	}
	if number != 0 {
		g.log.Debug("ownership ends", "ownership", number, "cause", cause.String())
		g.events.ownershipEnded(g.shard, cause)
		g.events.ownershipChanged(g.shard, 0)
	}
}

// replicaError is the reason why an entry that the library calls applied has no
// answer from the state machine.
func (g *group) replicaError() error {
	if err := g.failed(); err != nil {
		return err
	}
	return errStopped
}

// drain waits until everything that was taken has been proposed and applied, or
// something was not. An entry that is answered to the library and still in flight
// here will never land; end answers it.
func (g *group) drain() {
	var waited *flight
	for {
		g.mu.Lock()
		var newest *flight
		if n := len(g.queue.flights); n > 0 && !g.lost {
			newest = g.queue.flights[n-1]
		}
		g.mu.Unlock()
		if newest == nil || newest == waited || newest.future.Error() != nil || g.failed() != nil {
			return
		}
		waited = newest
	}
}

// ownership gives the number under which proposals are taken now. A full disk
// does not end it: reads go on.
func (g *group) ownership() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number == 0 || g.lost || g.closing {
		return 0, ErrNotOwner
	}
	return g.number, nil
}
