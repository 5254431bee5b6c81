package actor

import "context"

// The output gate: whatever could reveal a write waits in one queue, in the
// order in which the object made it, until every batch that its activation had
// begun before it is committed. It waits for no later one.

// output is something that may leave when batch dep is committed.
type output struct {
	dep    uint64
	ev     *event
	proved bool            // that dep commits proves the ownership, or a proof has come
	acts   bool            // leaving, it does something that no refusal can take back
	send   func(err error) // must not block; err says that the output is dropped, and why
}

// emitLocked adds an output of ev; it may leave as soon as unlock releases the
// lock. Its writes that are not sealed yet bind it to their batch; without such
// writes it waits for what was sealed before. The activation has not ended.
func (act *activation) emitLocked(ev *event, send func(err error)) {
	o := output{dep: act.view.current - 1, ev: ev, send: send}
	if act.hasWritesLocked() {
		o.dep, o.proved = act.view.current, true
	}
	act.outputs.push(o)
}

// emitActLocked is emitLocked for an output that is an effect in itself.
func (act *activation) emitActLocked(ev *event, send func(err error)) {
	act.emitLocked(ev, send)
	act.outputs.items[len(act.outputs.items)-1].acts = true
}

// pumpLocked releases what may leave, in order. Only one goroutine does so at a
// time; the lock is not held while an output is sent or a proof is asked for.
func (act *activation) pumpLocked() {
	if act.pumping {
		return
	}
	act.pumping = true
	for {
		o := act.outputs.peek()
		if o == nil || act.lostLocked(o.dep) || (o.dep > act.view.committed && act.host.fault != FaultUngated) {
			break
		}
		if !o.proved && act.host.fault != FaultUnproved {
			if act.proving > 0 {
				break
			}
			act.proveLocked()
			continue
		}
		out := act.outputs.pop()
		out.ev.effect = out.ev.effect || out.acts
		act.mu.Unlock()
		out.send(nil)
		act.mu.Lock()
	}
	act.pumping = false
}

// proveLocked asks for a proof that this node still owned the object after the
// outputs that wait now were made; it serves all of them. The commit of an
// event's own writes is such a proof, that of writes before it is none: they may
// have been committed, and the ownership lost, before the event began.
func (act *activation) proveLocked() {
	act.proving = act.outputs.len()
	if act.host.fault == FaultReordered {
		act.outputs.push(act.outputs.pop())
	}
	if act.proven == nil {
		act.proven = act.proofOver
	}
	act.mu.Unlock()
	act.host.committer.Prove(act.target.ID, act.ownership, act.proven)
	act.mu.Lock()
}

// proofOver takes the answer to a proof: on the goroutine that asked, as a rule.
// Without a proof nothing more leaves. While it was on its way the queue has only
// grown at its end, or was emptied for good.
func (act *activation) proofOver(err error) {
	act.mu.Lock()
	served := act.outputs.items[act.outputs.head:]
	served = served[:min(act.proving, len(served))]
	act.proving = 0
	if err == nil {
		for i := range served {
			served[i].proved = true
		}
	}
	act.unlock()
	if err != nil {
		act.lose(err, 0)
	}
}

// fate says what the caller of an event learns when the cause keeps the event's
// output from leaving.
func (act *activation) fate(ev *event, cause error) error {
	act.mu.Lock()
	defer act.mu.Unlock()
	return ev.fateLocked(cause)
}

// drop answers outputs that will never leave.
func (act *activation) drop(outputs []output, cause error) {
	for _, o := range outputs {
		o.send(act.fate(o.ev, cause))
	}
}

// emitSealed seals the event's writes and adds an output that waits for them
// and for nothing later.
func (act *activation) emitSealed(ctx context.Context, acts bool, send func(ev *event, err error)) error {
	act.mu.Lock()
	ev, err := act.enterLocked(ctx)
	if err == nil && ev.tx > 0 {
		err = ErrInTransaction
	}
	act.mu.Unlock()
	if err != nil {
		return err
	}
	act.seal(ev)
	act.mu.Lock()
	defer act.unlock()
	if act.ended {
		return ErrEnded
	}
	if acts {
		act.emitActLocked(ev, func(err error) { send(ev, err) })
	} else {
		act.emitLocked(ev, func(err error) { send(ev, err) })
	}
	return nil
}
