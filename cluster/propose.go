package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// watchPeriod is how long an entry may be in flight before run waits for its
// future. Answers come from the state machine or with the loss of leadership;
// this finds what the library gave up without either.
const watchPeriod = time.Second

// offer takes a batch for the next entry under that ownership. done is called
// exactly once: here if the batch is refused, else when the answer is known.
func (g *group) offer(ownership uint64, batch []byte, done func(error)) {
	if err := g.admit(ownership, proposal{batch: batch, done: done}); err != nil {
		done(err)
	}
}

func (g *group) admit(ownership uint64, p proposal) error {
	if len(p.batch) > MaxBatchBytes {
		return ErrTooLarge
	}
	if !p.isProof && !g.space.admit(len(p.batch)) {
		return ErrStorageFull // reads go on
	}
	if !g.budget.take(len(p.batch)) {
		return ErrOverloaded
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var err error
	switch {
	case g.number == 0 || g.number != ownership || g.lost || g.closing:
		err = ErrNotOwner
	case g.queue.bytes()+len(p.batch) > maxShardBytes:
		err = ErrOverloaded
	}
	if err != nil {
		g.budget.give(len(p.batch))
		return err
	}
	g.queue.push(p)
	g.launchLocked()
	return nil
}

// launchLocked hands entries to the library as far as the queue is ready. It does
// so on the goroutine of whoever has a batch or brings an answer: a goroutine of
// its own would cost each write two switches. raft.Apply does not
// block: its channel has room for maxAppendEntries, far more than maxFlights.
func (g *group) launchLocked() {
	for g.queue.ready(g.members.Load().alone) {
		proposals, bytes := g.queue.gather()
		data := make([]byte, 0, entryOverhead+len(proposals)*batchOverhead+bytes)
		batches := countBatches(proposals)
		data = appendBatchesHead(data, g.term, g.number, g.nextN, batches)
		for _, p := range proposals {
			if !p.isProof {
				data = appendBatch(data, p.batch)
			}
		}
		f := &flight{n: g.nextN, proposals: proposals, batches: batches, bytes: bytes, start: time.Now()}
		f.future = g.propose.Apply(data, 0)
		g.nextN++
		g.queue.launch(f)
		if !g.watching {
			g.watching = true
			g.watch.Reset(watchPeriod)
		}
	}
}

// applied brings the state machine's answer to an entry, on the library's
// goroutine that applies. Entries of others, or of an ownership that is over,
// wait for no answer here.
func (g *group) applied(e entry, o outcome) {
	g.mu.Lock()
	var f *flight
	if e.ownership == g.number && e.term == g.term {
		f = g.queue.land(e.n)
	}
	if o == outcomeApplied {
		if !g.lost {
			g.launchLocked()
		}
	} else if f != nil {
		g.lost = true
	}
	g.mu.Unlock()
	if f == nil {
		return
	}
	if o == outcomeApplied {
		g.answer(f, nil)
		return
	}
	g.answer(f, ErrRefused)
	g.signalBroken()
}

// answer gives a flight, which is out of the queue, its answer.
func (g *group) answer(f *flight, err error) {
	g.budget.give(f.bytes)
	g.events.answered(g.shard, f.batches, f.bytes, time.Since(f.start), err)
	for _, p := range f.proposals {
		p.done(err)
	}
}

func (g *group) signalBroken() {
	select {
	case g.broken <- struct{}{}:
	default:
	}
}

// classify turns the library's error into an outcome. These three alone prove
// that the entry never entered a log; after any other it may be in one.
func classify(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	default:
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
}
