package actor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync"
	"time"
)

// activation is one life of an object in memory, under one ownership of its
// shard. Its life is a line:
//
//	starting ── constructor ──► running ──► ended ──► settled
//
// It ends softly (idle, panic, abort, time-out: what was sealed is still
// committed and released) or is lost (a batch was not applied, or the shard has
// another owner: nothing more leaves). It is settled when none of its batches is
// in flight; only then may the next activation of the object read state.
type activation struct {
	// Fixed after newActivation.
	host      *Host
	target    Target
	class     Class
	ownership uint64
	prev      *activation // the next to last; start waits until it is settled
	state     *State
	done      chan struct{} // closed when the activation ends
	settled   chan struct{} // closed when it has ended and no batch is in flight

	mu sync.Mutex // guards the following fields

	object       http.Handler // nil while starting
	name         string
	holder       *event        // holds the gate
	waiting      queue[*event] // for the gate
	open         []*event      // began, and not over
	mailbox      int           // events that did not begin
	mailboxBytes int64         // and their bytes
	space        signal        // mailboxBytes fell
	lanes        lanes
	sockets      socketTable     // those that are open
	loaded       bool            // sockets is what the Store knew
	attaching    []attachment    // wait for that
	clients      []*ClientSocket // open sockets to other objects
	watch        *time.Timer     // ends a handler that holds the gate for too long
	heldSince    time.Duration   // when holder got the gate, or came back to it: since the host's start
	watchUntil   time.Duration   // likewise

	watching bool // the timer means something
	judged   bool // what earlier owners left behind is known
	pardons  bool // forgive what is found, and do not run
	yielded  bool // no marks any more: the next owner shall find none
	removed  bool

	ended     bool
	lost      error    // why nothing may leave any more
	lostBatch uint64   // the batch whose loss is why; 0 = it is not the loss of a batch
	heirs     []*event // did not begin before the end; the next activation takes them
	stuck     *event   // ran into a time limit and has not returned

	suspect *suspect // nil: there was nothing yet

	view         view
	changes      changes // what the current batch does besides writing keys
	recorded     bool    // the object's record is in the Store or in a batch under way
	recordedName string  // of the object, as its record has it
	emptied      bool    // something was deleted: the object may have become empty
	frame        uint64  // number of the object's last kept frame
	outbox       outbox
	auto         *AutoReply
	alarm        alarmView
	keyed        keyedCalls
	inflight     int
	outputs      queue[output]
	pumping      bool
	proving      int         // outputs that the proof under way will serve; 0 = there is none
	proven       func(error) // proofOver; made when it is first needed

	// Guarded by host.mu.
	lru lruEntry
}

func newActivation(h *Host, t Target, class Class, ownership uint64, prev *activation) *activation {
	act := &activation{
		host: h, target: t, class: class, ownership: ownership, prev: prev, name: t.Name,
		done: make(chan struct{}), settled: make(chan struct{}), view: newView(),
	}
	act.state = &State{act: act}
	act.lru.act = act
	return act
}

func (act *activation) log() *slog.Logger {
	return act.host.log.With("class", act.target.Class, "object", act.target.ID.String())
}

// settleLocked says whether the activation is settled, and lets the next one begin then.
func (act *activation) settleLocked() bool {
	if !act.ended || act.inflight > 0 || act.outputs.len() > 0 || act.pumping {
		return false
	}
	select {
	case <-act.settled:
	default:
		close(act.settled)
	}
	return true
}

// unlock lets go what may leave, releases mu and takes a settled activation out
// of the host's table.
func (act *activation) unlock() {
	act.pumpLocked()
	remove := act.settleLocked() && act.stuck == nil && !act.removed
	act.removed = act.removed || remove
	act.mu.Unlock()
	if remove {
		act.host.remove(act)
	}
}

// post puts an event into the mailbox. It gives errPostEnded if the activation
// has ended, so that the caller looks for the next one. Calls, messages and tasks
// are bounded, but one that is alone passes: where there is no room it gives
// ErrMailboxFull and a channel that is closed when there may be room again.
func (act *activation) post(ev *event) (full <-chan struct{}, err error) {
	act.mu.Lock()
	if act.ended {
		act.mu.Unlock()
		return nil, errPostEnded
	}
	if ev.kind.bounded() && (act.mailbox >= maxMailboxEvents || act.mailboxBytes > 0 && act.mailboxBytes+ev.size > maxMailboxBytes) {
		full = act.space.waitLocked()
		act.mu.Unlock()
		return full, ErrMailboxFull
	}
	act.queueLocked(ev)
	start := act.grantLocked()
	act.mu.Unlock()
	if start != nil {
		act.host.run(act, start)
	}
	return nil, nil
}

// queueLocked lets an event that did not begin wait for the gate.
func (act *activation) queueLocked(ev *event) {
	ev.act, ev.posted, ev.resume = act, time.Now(), make(chan struct{}, 1)
	if act.name == "" {
		act.name = ev.name
	}
	act.mailbox++
	act.mailboxBytes += ev.size
	if act.lanes.admit(ev) {
		act.waiting.push(ev)
	}
}

var errPostEnded = errors.New("actor: the activation has ended before the event was posted")

// run runs events for as long as the gate falls to a new one at the end of the last.
func (act *activation) run(ev *event) {
	r := act.host.runners.take()
	defer act.host.runners.put(r)
	pprof.SetGoroutineLabels(r.labels)
	for ev != nil {
		ev.runner.Store(r)
		ev = act.runOne(ev)
	}
}

func (act *activation) runOne(ev *event) (next *event) {
	normal := false
	defer func() {
		if !normal {
			act.abnormal(ev, recover())
			next = nil
		}
	}()
	if ev.skip == nil || !ev.skip() {
		ev.body(&eventContext{ev: ev, done: act.done}, ev)
	}
	normal = true
	act.mu.Lock()
	away := ev.outside && !act.ended
	act.mu.Unlock()
	if away { // finish would seal, and free the gate of, another event
		act.end(act.fault("a handler returned during its own outside wait", "an outside wait on another goroutine", ""), ev)
	}
	return act.finish(ev)
}

// abnormal ends an event that panicked (p) or left its goroutine (p is nil): by
// Abort, which has ended the activation already, or on its own.
func (act *activation) abnormal(ev *event, p any) {
	act.mu.Lock()
	ended := act.ended
	act.mu.Unlock()
	switch {
	case ended && p != nil:
		// Its storage was taken from it, which is why it panicked, as a rule.
		act.log().Debug("panic in a handler of an ended activation", "detail", fmt.Sprint(p))
	case p != nil:
		act.failed(ev)
		act.end(act.fault("panic in a handler", fmt.Sprint(p), string(debug.Stack())), ev)
	case !ended:
		act.end(act.fault("a handler left its goroutine", "runtime.Goexit", ""), ev)
	}
	act.mu.Lock()
	act.overLocked(ev)
	act.unlock()
	act.host.eventDone(act, ev)
}

// fault logs a failure of the object's code and gives the error for its caller.
func (act *activation) fault(reason, detail, stack string) error {
	var id [8]byte
	rand.Read(id[:])
	fault := &FaultError{ID: hex.EncodeToString(id[:])}
	act.log().Error("the object failed", "fault", fault.ID, "reason", reason, "detail", detail, "stack", stack)
	return fault
}

// finish ends an event: its batch is sealed and the gate goes on.
func (act *activation) finish(ev *event) (next *event) {
	act.seal(ev)
	act.mu.Lock()
	act.concludeLocked(ev)
	act.overLocked(ev)
	next = act.releaseLocked(ev)
	act.unlock()
	act.host.eventDone(act, ev)
	return next
}

func (act *activation) overLocked(ev *event) {
	ev.over = true
	act.host.begun(ev, -1)
	act.open = slices.DeleteFunc(act.open, func(e *event) bool { return e == ev })
	if act.stuck == ev {
		act.stuck = nil
		act.host.ailment.end()
	}
	act.unmarkLocked(ev)
	act.saveSoonLocked()
	if follower := act.lanes.next(ev); follower != nil && !act.ended {
		act.waiting.push(follower)
	}
}

// start makes the object. It runs on a goroutine of its own while events queue
// behind the start event, which holds the gate.
func (act *activation) start(ev *event) {
	if act.prev != nil {
		act.mu.Lock()
		act.pauseWatchLocked()
		act.mu.Unlock()
		<-act.prev.settled
		act.prev = nil
		act.mu.Lock()
		ended := act.ended
		if !ended {
			act.watchLocked(ev)
		}
		act.mu.Unlock()
		if ended {
			act.overStart(ev)
			return
		}
	}
	if now, err := act.host.committer.Ownership(act.target.ID); err != nil || now != act.ownership {
		act.overStart(ev)
		act.lose(ErrNotOwner, 0)
		return
	}
	if err := act.judge(ev); err != nil {
		act.overStart(ev)
		act.end(err, nil)
		return
	}
	if err := act.load(); err != nil {
		act.overStart(ev)
		act.end(act.fault("could not read an object's state", err.Error(), ""), nil)
		return
	}
	act.run(ev)
}

func (act *activation) overStart(ev *event) {
	act.mu.Lock()
	act.overLocked(ev)
	act.mu.Unlock()
	act.host.eventDone(act, ev)
}

// load reads what the activation keeps in memory of the object.
func (act *activation) load() error {
	record, ok, err := act.host.store.Object(act.target.ID)
	if err != nil {
		return err
	}
	if !ok {
		act.mu.Lock()
		defer act.unlock()
		act.loadedLocked()
		return nil
	}
	sockets, err := act.host.store.Sockets(act.target.ID)
	if err != nil {
		return err
	}
	var parts []*outboxPart
	if record.Frame > 0 {
		if parts, err = act.host.store.outbox(act.target.ID); err != nil {
			return err
		}
	}
	// An activation before this one may have emptied the object and not got to forget it.
	empty, err := act.host.store.Empty(act.target.ID)
	if err != nil {
		return err
	}
	act.mu.Lock()
	defer act.unlock()
	act.recorded, act.recordedName, act.emptied = true, record.Name, empty
	act.frame, act.auto = record.Frame, record.Auto
	if act.name == "" {
		act.name = record.Name
	}
	act.outbox.released = record.Frame
	if !act.ended {
		act.changeOutboxLocked(func(o *outbox) {
			for _, part := range parts {
				o.put(part)
			}
		})
	}
	act.loadSocketsLocked(sockets)
	act.loadedLocked()
	return nil
}

func (act *activation) construct(ctx context.Context, ev *event) {
	object, err := act.class.New(ctx, act.state)
	if err == nil && object == nil {
		err = errors.New("the constructor gave no object")
	}
	if err != nil {
		act.end(act.fault("a constructor failed", err.Error(), ""), ev)
		return
	}
	act.mu.Lock()
	ended := act.ended
	act.object = object
	act.mu.Unlock()
	if ended {
		return
	}
	act.host.events.activated(act.target.Class)
}

// idleLocked says whether the activation could be evicted: nothing runs, waits,
// is under way or leaves. The caller holds host.mu too.
func (act *activation) idleLocked(now time.Time) bool {
	if act.ended || act.object == nil || act.holder != nil || act.waiting.len() > 0 || act.inflight > 0 || act.outputs.len() > 0 || act.pumping {
		return false
	}
	for _, ev := range act.open {
		if ev.kind != EventTask || now.Sub(ev.began) < taskTimeout {
			return false
		}
	}
	if len(act.clients) > 0 && now.Sub(act.lru.used) < taskTimeout {
		return false
	}
	return !act.class.KeepInMemory || act.sockets.len() == 0
}
