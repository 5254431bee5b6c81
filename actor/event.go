package actor

import (
	"context"
	"sync/atomic"
	"time"
)

// event is what a mailbox holds: one run of the object's code. Its goroutine
// holds the object's gate, except in outside waits.
type event struct {
	// Fixed before the event is posted.
	kind   EventKind
	body   func(ctx context.Context, ev *event)
	fail   func(err error) // tells whoever waits that no answer will come; may be nil
	skip   func() bool     // nobody waits for it any more; may be nil
	size   int64           // bytes counted against the mailbox
	name   string          // of the object, if the caller knows it
	under  uint64          // the ownership under which it must be posted; 0 = any
	socket SocketID        // of a message or close; zero otherwise
	number uint64          // of a message within its socket
	key    *requestKey     // of a request; nil = it has none

	// subject is the socket of a message or close: nil until the event has found it,
	// but set from the beginning if it was lost before this activation.
	subject *Socket

	// Fixed when the event is posted; set anew if it moves to the next activation before it began.
	act    *activation
	posted time.Time

	resume chan struct{} // one slot: the gate was given back to the event

	runner atomic.Pointer[runner] // of the goroutine that runs it; nil before

	// Guarded by act.mu.
	began   time.Time // zero until the event first holds the gate
	outside bool      // in an outside wait
	block   int       // nested BlockConcurrencyWhile
	tx      int       // nested transactions
	batch   uint64    // number of the first batch that it has sealed; 0 = none
	effect  bool      // something left that no refusal can take back: a call, an outside function
	acked   bool      // its message was acknowledged
	failed  bool      // fail was called
	over    bool

	reported bool // its stack was logged because it runs for long
}

// fateLocked says what an event's caller learns when the cause keeps the
// event's output from leaving: a refusal only if certainly nothing of the event
// took effect. The caller holds act.mu.
func (ev *event) fateLocked(cause error) error {
	lost := ev.act.lostBatch
	switch {
	case ev.effect:
		return ErrOutcomeUnknown
	case ev.batch == 0 && isRefusal(cause):
		return cause
	case ev.batch == 0:
		return ErrRefused
	case lost != 0 && ev.batch >= lost:
		return ev.act.lost // of this batch or one before it: no later one is applied
	default:
		return ErrOutcomeUnknown
	}
}

// fromClient says whether the event is a client's call: those of other objects are
// posted under an ownership, unless the node is a cluster by itself.
func (ev *event) fromClient() bool { return ev.kind == EventRequest && ev.under == 0 }

type eventKey struct{}

// eventContext names its event. It ends with the activation, not with the
// client's request, and has no deadline.
type eventContext struct {
	ev   *event
	done <-chan struct{}
}

// Deadline implements context.Context.
func (c *eventContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (c *eventContext) Done() <-chan struct{} { return c.done }

// Err implements context.Context.
func (c *eventContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// Value implements context.Context.
func (c *eventContext) Value(key any) any {
	if _, ok := key.(eventKey); ok {
		return c.ev
	}
	return nil
}

func eventOf(ctx context.Context) *event {
	ev, _ := ctx.Value(eventKey{}).(*event)
	return ev
}
