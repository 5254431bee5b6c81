package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// maxFlights bounds the entries of one shard that are between raft.Apply and
// their answer.
const maxFlights = 4

// proposal is a batch that waits for its answer. done is called exactly once.
type proposal struct {
	batch   []byte
	isProof bool // there is no batch: that the entry commits is all that matters
	done    func(error)
}

// countBatches counts the proposals that have one.
func countBatches(proposals []proposal) int {
	n := 0
	for _, p := range proposals {
		if !p.isProof {
			n++
		}
	}
	return n
}

// flight is an entry in the library's hands.
type flight struct {
	n         uint64
	proposals []proposal
	batches   int
	bytes     int // of its batches
	future    raft.ApplyFuture
	start     time.Time
}

// queue holds the proposals of one ownership: those that wait, and the entries
// in flight, oldest first. It has no lock of its own.
type queue struct {
	waiting      []proposal
	waitingBytes int
	flights      []*flight
	flightBytes  int
}

// ready says whether another entry should be handed over. With followers, whose
// answers take a round trip, several are in flight. A replica that is alone
// gains nothing by that: the library stores one entry's write after the other,
// and often takes the next before it passes on that the last is committed. There
// the waiting batches gather until the answer is in, which takes a quarter to a
// third of the syncs away, or until they fill an entry.
func (q *queue) ready(alone bool) bool {
	switch n := len(q.flights); {
	case len(q.waiting) == 0 || n >= maxFlights:
		return false
	case alone:
		return n == 0 || q.waitingBytes >= maxEntryBytes
	default:
		return true
	}
}

// bytes that the queue holds.
func (q *queue) bytes() int { return q.waitingBytes + q.flightBytes }

func (q *queue) push(p proposal) {
	q.waiting = append(q.waiting, p)
	q.waitingBytes += len(p.batch)
}

// gather takes from the waiting proposals as many, in order, as fit an entry; at
// least one.
func (q *queue) gather() (proposals []proposal, bytes int) {
	count := 0
	for _, p := range q.waiting {
		if count > 0 && bytes+len(p.batch) > maxEntryBytes {
			break
		}
		bytes += len(p.batch)
		count++
	}
	if count == len(q.waiting) {
		proposals, q.waiting = q.waiting, nil
	} else {
		proposals = append(proposals, q.waiting[:count]...)
		clear(q.waiting[:count])
		q.waiting = q.waiting[count:]
	}
	q.waitingBytes -= bytes
	return proposals, bytes
}

// launch notes an entry that was handed over.
func (q *queue) launch(f *flight) {
	q.flights = append(q.flights, f)
	q.flightBytes += f.bytes
}

// land takes the flight with that n out of the queue, or gives nil if it has
// its answer already.
func (q *queue) land(n uint64) *flight {
	for i, f := range q.flights {
		if f.n != n {
			continue
		}
		copy(q.flights[i:], q.flights[i+1:])
		q.flights[len(q.flights)-1] = nil
		q.flights = q.flights[:len(q.flights)-1]
		q.flightBytes -= f.bytes
		return f
	}
	return nil
}

// dropWaiting takes out all proposals that were never handed over.
func (q *queue) dropWaiting() []proposal {
	dropped := q.waiting
	q.waiting, q.waitingBytes = nil, 0
	return dropped
}
