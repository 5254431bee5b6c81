package cluster

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// leaseShare of the heartbeat time-out, in tenths, is how long a lease lasts.
// The rest is for clocks that do not run equally fast.
const leaseShare = 9

// lease proves to the leader of a group that nobody else has been elected.
//
// A voter that has answered an append with success elects nobody for a full
// heartbeat time-out after it processed the append, and that was after the append
// was sent. Every election needs a vote of some member of every quorum. So the
// quorum-th newest of the times at which the answered appends were sent, plus the
// heartbeat time-out, is a moment before which nobody else leads. The time of the
// answer proves nothing: it may have been on its way for longer than a lease.
type lease struct {
	duration time.Duration // of a lease; fixed

	mu    sync.Mutex                      // guards the following fields
	term  uint64                          // of sent
	sent  map[raft.ServerID]time.Duration // when the newest append went out that the replica answered
	ended uint64                          // in terms up to this one there is no lease
}

func newLease(heartbeat time.Duration) *lease {
	return &lease{duration: heartbeat / 10 * leaseShare, sent: make(map[raft.ServerID]time.Duration)}
}

// record notes that id answered an append of that term with success. sent is when
// the append went out, by the clock of leases, taken before it was written.
func (l *lease) record(id raft.ServerID, term uint64, sent time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if term > l.term {
		l.term = term
		clear(l.sent)
	}
	if last, ok := l.sent[id]; term == l.term && (!ok || sent > last) {
		l.sent[id] = sent
	}
}

// end ends the lease for the rest of the term. It must be called before a
// leadership transfer begins: the transfer's election does not wait for anybody's
// heartbeat time-out.
func (l *lease) end(term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = max(l.ended, term)
}

// hasEnded says whether the lease of that term was ended.
func (l *lease) hasEnded(term uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return term <= l.ended
}

// holds says whether at now nobody but me, which leads in term, can have been
// elected by those voters.
func (l *lease) holds(term uint64, voters []raft.ServerID, me raft.ServerID, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if term <= l.ended || len(voters) == 0 {
		return false
	}
	var space [16]time.Duration
	sent := space[:0]
	for _, id := range voters {
		if id == me {
			sent = append(sent, now)
		} else if at, ok := l.sent[id]; ok && l.term == term {
			sent = append(sent, at)
		}
	}
	quorum := len(voters)/2 + 1
	if len(sent) < quorum {
		return false
	}
	slices.Sort(sent)
	return now < sent[len(sent)-quorum]+l.duration
}
