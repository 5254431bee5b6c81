package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// healthyTimeouts is for how many heartbeat time-outs a replica that answers
// nothing still counts as healthy.
const healthyTimeouts = 2

// progress is how far the replicas of a group are, as their answers to this
// leader's appends say. The library knows it, too, and tells nobody.
type progress struct {
	mu sync.Mutex // guards the following field
	of map[raft.ServerID]progressOf
}

type progressOf struct {
	term    uint64 // in which it answered
	matched uint64 // it has the leader's log up to there
	heard   time.Time
}

// record notes that a replica answered an append of that term with success. Without
// entries and place it is a heartbeat, which says nothing about the log.
func (p *progress) record(id raft.ServerID, term, matched uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[raft.ServerID]progressOf)
	}
	now := p.of[id]
	if term < now.term {
		return
	}
	if term > now.term {
		now = progressOf{term: term}
		if len(p.of) >= maxKnownReplicas {
			clear(p.of) // of replicas that are long gone; the others answer again
		}
	}
	now.matched = max(now.matched, matched)
	now.heard = time.Now()
	p.of[id] = now
}

// get gives how far a replica is known to be in that term, and when it last
// answered.
func (p *progress) get(id raft.ServerID, term uint64) (matched uint64, heard time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.of[id]; now.term == term {
		return now.matched, now.heard
	}
	return 0, time.Time{}
}

// progress says of a follower whether it answers, and the last entry of this
// leader's log that it is known to have.
func (g *group) progress(id raft.ServerID) (healthy bool, matched uint64) {
	if g.port == nil {
		return false, 0
	}
	return g.port.follower(id)
}
