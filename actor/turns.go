package actor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// turnWait bounds how long a call waits here for those before it. Then it is
	// refused, and comes again with the base of that moment.
	turnWait = 250 * time.Millisecond
	// maxTurns bounds the stubs that are remembered. One that is forgotten begins
	// anew with the base of its next call, which is never too high: its calls may
	// wait in vain, but they do not pass each other.
	maxTurns = 1 << 16
)

var (
	errTurn   = fmt.Errorf("%w: a call of the same stub that goes before this one did not arrive in time", ErrNotOwner)
	errPassed = fmt.Errorf("%w: a later call of the same stub was admitted before", ErrRefused)
)

// turns admits the calls of each stub in their order, under one ownership.
type turns struct {
	mu     sync.Mutex // guards the following fields
	byStub map[stubKey]*stubTurns
	used   stubTurns // root of the order of use; used.after was used longest ago
}

type stubKey struct{ start, stub uint64 }

// stubTurns is what is remembered of a stub. Guarded by turns.mu.
type stubTurns struct {
	key       stubKey
	ownership uint64
	next      uint64 // number that is to be admitted next
	taken     bool   // it is being admitted
	change    signal

	before, after *stubTurns // in the order of use, which is circular around turns.used
}

func newTurns() *turns {
	t := &turns{byStub: make(map[stubKey]*stubTurns)}
	t.used.before, t.used.after = &t.used, &t.used
	return t
}

// turn is a call that is being admitted.
type turn struct {
	turns     *turns
	of        *stubTurns
	ownership uint64
	number    uint64
}

// take waits for the call's turn. An ErrNotOwner says that it may come again.
func (t *turns) take(ctx context.Context, p Place, ownership uint64) (*turn, error) {
	var patience *time.Timer
	for {
		of, wait, err := t.tryTake(p, ownership)
		if err != nil {
			return nil, err
		}
		if wait == nil {
			return &turn{turns: t, of: of, ownership: ownership, number: p.Number}, nil
		}
		if patience == nil {
			patience = time.NewTimer(turnWait)
			defer patience.Stop()
		}
		select {
		case <-wait:
		case <-patience.C:
			return nil, errTurn
		case <-ctx.Done():
			return nil, ErrCallerLeft
		}
	}
}

func (t *turns) tryTake(p Place, ownership uint64) (of *stubTurns, wait <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of = t.stubLocked(stubKey{p.Start, p.Stub})
	if ownership < of.ownership {
		return nil, nil, ErrNotOwner
	}
	if ownership > of.ownership {
		of.ownership, of.next, of.taken = ownership, 0, false
	}
	if p.Base > of.next {
		of.next = p.Base
		of.change.broadcast()
	}
	switch {
	case p.Number < of.next:
		return nil, nil, errPassed
	case p.Number > of.next || of.taken:
		return nil, of.change.waitLocked(), nil
	}
	of.taken = true
	return of, nil, nil
}

func (t *turns) stubLocked(key stubKey) *stubTurns {
	of := t.byStub[key]
	switch {
	case of != nil:
		of.unlink()
	case len(t.byStub) >= maxTurns:
		oldest := t.used.after
		oldest.unlink()
		delete(t.byStub, oldest.key)
		fallthrough
	default:
		of = &stubTurns{key: key}
		t.byStub[key] = of
	}
	of.before, of.after = t.used.before, &t.used
	of.before.after, t.used.before = of, of
	return of
}

func (of *stubTurns) unlink() { of.before.after, of.after.before = of.after, of.before }

// pass lets the next call in. One that was refused because the ownership is over
// keeps its place: it will come again. nil is a call without a place.
func (tn *turn) pass(admitted bool) {
	if tn == nil {
		return
	}
	tn.turns.mu.Lock()
	defer tn.turns.mu.Unlock()
	if tn.of.ownership != tn.ownership {
		return
	}
	tn.of.taken = false
	if admitted {
		tn.of.next = max(tn.of.next, tn.number+1)
	}
	tn.of.change.broadcast()
}
