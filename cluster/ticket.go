package cluster

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ticketLife is how long a ticket is good, by the clock of the replica that gave it.
const ticketLife = 100 * time.Millisecond

// tickets are what a replica gives to its leader so that this one may hand the
// leadership over to it. The library's TimeoutNow has no term and no date: one
// that was late would depose whoever leads by then, and his lease with him.
type tickets struct {
	mu     sync.Mutex // guards the following fields
	number uint64     // of the newest ticket; 0: none, or used
	term   uint64
	leader raft.ServerID
	given  time.Duration
}

// give makes a ticket for that term and leader. An older one ends.
func (t *tickets) give(term uint64, leader raft.ServerID, now time.Duration) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Random, so that a ticket from before a restart is not taken for a new one.
	t.number = rand.Uint64() | 1
	t.term, t.leader, t.given = term, leader, now
	return t.number
}

// take uses the ticket up and says how much longer it is good: 0 or less means
// that it is not.
func (t *tickets) take(number, term uint64, leader raft.ServerID, now time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.number == 0 || number != t.number || term != t.term || leader != t.leader {
		return 0
	}
	t.number = 0
	return t.given + ticketLife - now
}
