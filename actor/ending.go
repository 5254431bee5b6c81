package actor

import (
	"errors"
	"slices"
)

// How an activation ends. It ends softly when the object's own code is at fault
// or the node stops: what was sealed is still committed and its outputs leave. It
// is lost when a batch was not applied or the ownership is over: nothing leaves.

// end ends the activation. The culprit's caller gets the cause; the callers of
// other open events get what is known of them; events that did not begin move to
// the next activation, in order, or fail with the cause if the object did not start.
func (act *activation) end(cause error, culprit *event) {
	act.mu.Lock()
	if act.ended || (culprit != nil && culprit.over) {
		act.mu.Unlock()
		return
	}
	act.ended = true
	act.host.bytes.Add(-int64(act.outbox.bytes))
	act.inflight++ // until all are told: the next activation reads state after that
	close(act.done)
	if act.watch != nil {
		act.watch.Stop()
	}
	act.space.broadcast()
	queued := act.lanes.takeAll(act.waiting.takeAll())
	var unstarted, orphaned []*event
	if act.object == nil && !errors.Is(cause, ErrNotOwner) && !errors.Is(cause, ErrClosing) && !errors.Is(cause, errPardoned) {
		unstarted = queued
	} else {
		act.heirs = slices.DeleteFunc(queued, func(ev *event) bool {
			// The next activation makes the close of a lost socket anew; a pardon is done.
			over := ev.subject != nil || ev.kind == EventPardon && errors.Is(cause, errPardoned)
			if over {
				orphaned = append(orphaned, ev)
			}
			return ev.kind == EventTask || over
		})
	}
	dropped := act.dropLocked()
	failures := act.failuresLocked(cause, culprit)
	amends := act.amendsLocked(cause, culprit, unstarted)
	clients := act.clients
	act.clients = nil
	act.mu.Unlock()

	act.commitAmends(amends, culprit)
	act.host.events.ended(act.target.Class, cause)
	for _, fail := range failures {
		fail()
	}
	act.drop(dropped, cause)
	for _, client := range clients {
		client.lost()
	}
	for _, ev := range append(unstarted, orphaned...) {
		act.host.failed(ev, cause)
	}
	act.host.succeed(act)
	act.mu.Lock()
	act.inflight--
	act.unlock()
}

// dropLocked takes the outputs that will never leave: those of batches that are
// lost, and of writes that were not sealed.
func (act *activation) dropLocked() (dropped []output) {
	for _, o := range act.outputs.takeAll() {
		if act.lostLocked(o.dep) || o.dep >= act.view.current {
			dropped = append(dropped, o)
		} else {
			o.ev.effect = o.ev.effect || o.acts // it will leave
			act.outputs.push(o)
		}
	}
	return dropped
}

// failuresLocked tells the callers of open events that no answer will come.
func (act *activation) failuresLocked(cause error, culprit *event) (failures []func()) {
	for _, ev := range act.open {
		if ev.fail == nil || ev.failed || (ev == culprit && !ev.tellCulprit()) {
			continue
		}
		ev.failed = true
		err := cause
		if ev != culprit {
			err = ev.fateLocked(cause)
		}
		failures = append(failures, func() { ev.fail(err) })
	}
	return failures
}

// tell lets ev's caller know, once, that no answer will come.
func (act *activation) tell(ev *event, err error) {
	act.mu.Lock()
	told := ev.failed || ev.fail == nil
	ev.failed = true
	act.mu.Unlock()
	if !told {
		ev.fail(err)
	}
}

// lostLocked says whether that batch can have no effect here any more: the one
// that was lost takes all later ones with it, and none before it.
func (act *activation) lostLocked(batch uint64) bool {
	return act.lost != nil && batch >= act.lostBatch
}

// lose ends the activation because nothing that it still holds may leave. batch
// is the one that was not applied, 0 if the cause is another.
func (act *activation) lose(cause error, batch uint64) {
	act.mu.Lock()
	if act.lostLocked(batch) {
		act.unlock()
		return
	}
	act.lost, act.lostBatch = cause, batch
	act.inflight++ // as in end
	var dropped []output
	if act.ended {
		dropped = act.dropLocked()
	}
	act.mu.Unlock()
	act.end(cause, nil)
	act.drop(dropped, cause)
	act.mu.Lock()
	act.inflight--
	act.unlock()
}

// succeed makes sure that the events which an ended activation leaves behind
// have a next one, which takes them before any other.
func (h *Host) succeed(act *activation) {
	act.mu.Lock()
	heirs := len(act.heirs)
	act.mu.Unlock()
	if heirs == 0 {
		return
	}
	_, _, err := h.activation(act.target, nil)
	if err == nil {
		return
	}
	for _, ev := range act.bequeath() {
		h.failed(ev, err)
	}
}

func (act *activation) bequeath() []*event {
	act.mu.Lock()
	defer act.mu.Unlock()
	heirs := act.heirs
	act.heirs = nil
	return heirs
}
