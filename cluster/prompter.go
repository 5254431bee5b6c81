package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// promptStagger is what lies between the campaigns of two replicas that have
	// both noticed that the leader is gone, in hundredths of a heartbeat time-out:
	// enough for the first to be elected.
	promptStagger = 12
	// promptCourtesy is how long a replica that has promised its vote to another
	// leaves it the way, in the same unit.
	promptCourtesy = 24
	// promptPeriods is how often at most the prompter looks in a heartbeat time-out.
	promptPeriods = 50
)

// prompter makes followers look for their leader when it is due. By itself the
// library looks once in one or two heartbeat time-outs, and both that are left of
// three have to have looked: that doubles the time of an election. A prompt lets
// the library look at its own last contact; it shortens, grants and refuses nothing.
//
// A follower whose leader is there is due a heartbeat time-out after the last
// contact, so the prompter sleeps until the first of them is, and a node without
// groups of several voters has no timer.
type prompter struct {
	timeout time.Duration
	groups  func() []*group
	changed chan struct{} // one slot: a group may have become due for the first time
	pulse   chan struct{} // taken in each turn: that shows that it turns
	done    chan struct{}
	running sync.WaitGroup
}

// newPrompter starts it. groups gives the groups of this node as they are now.
func newPrompter(timeout time.Duration, groups func() []*group) *prompter {
	p := &prompter{timeout: timeout, groups: groups, changed: make(chan struct{}, 1), pulse: make(chan struct{}), done: make(chan struct{})}
	p.running.Go(p.run)
	return p
}

// wake makes the prompter look now. It does not block.
func (p *prompter) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *prompter) run() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		if next, ok := p.look(time.Now()); ok {
			timer.Reset(max(time.Until(next), p.timeout/promptPeriods))
		}
		select {
		case <-timer.C:
		case <-p.changed:
			timer.Stop()
		case <-p.pulse:
			timer.Stop()
		case <-p.done:
			return
		}
	}
}

// look prompts the groups that are due, and says when the next one is, if ever.
func (p *prompter) look(now time.Time) (next time.Time, ok bool) {
	for _, g := range p.groups() {
		at, again := g.prompt(now)
		if again && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	return next, ok
}

// close returns when nobody is prompted any more.
func (p *prompter) close() {
	close(p.done)
	p.running.Wait()
}

// prompts is what the prompter knows of a group. It belongs to its goroutine.
type prompts struct {
	leader raft.ServerID // the last one that was known
	last   time.Time     // when the group was prompted
}

// prompt makes the replica look for its leader if that is due, and says when it
// will be. A group without other voters never is.
func (g *group) prompt(now time.Time) (next time.Time, again bool) {
	if !g.members.Load().peers || g.failed() != nil || g.fsm.faults.unprompted {
		return time.Time{}, false
	}
	if _, id := g.raft.LeaderWithID(); id != "" {
		g.prompts.leader = id
	}
	if g.raft.State() != raft.Follower {
		return now.Add(g.timeout / 2), true
	}
	// A node that has just started has heard of no leader and must not campaign yet.
	since := g.raft.LastContact()
	if since.Before(g.opened) {
		since = g.opened
	}
	if g.prompts.last.After(since) {
		since = g.prompts.last
	}
	if due := since.Add(g.timeout); now.Before(due) {
		return due, true
	}
	rank := rankOf(g.raft.GetConfiguration().Configuration(), g.me.serverID(), g.prompts.leader, int(g.shard))
	if rank < 0 {
		return now.Add(g.timeout), true
	}
	due := since.Add(g.timeout + time.Duration(rank)*g.timeout/100*promptStagger)
	if g.port != nil {
		// Two that ask for votes at the same time both lose a round.
		if courtesy := g.port.courted().Add(g.timeout / 100 * promptCourtesy); due.Before(courtesy) {
			due = courtesy
		}
	}
	if now.Before(due) {
		return due, true
	}
	g.prompts.last = now
	if err := g.campaign(); err != nil {
		g.log.Error("follower could not be prompted", "error", err)
	}
	return now.Add(g.timeout), true
}

// campaign makes the replica look at its last contact at once.
func (g *group) campaign() error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	return campaign(g.raft)
}
