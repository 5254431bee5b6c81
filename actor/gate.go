package actor

import (
	"context"
	"time"
)

// The input gate: exactly one event holds it (activation.holder). Events that
// wait for it, new ones and those that come back from an outside wait, stand in
// one queue in the order in which they came.

// enterLocked checks that ctx names the event that holds the gate. It is the
// first thing that every method of storage, sockets and stubs does.
func (act *activation) enterLocked(ctx context.Context) (*event, error) {
	ev := eventOf(ctx)
	if ev == nil || ev.act != act || ev.over {
		return nil, ErrNoGate
	}
	if act.ended {
		return nil, ErrEnded
	}
	if act.holder != ev || ev.outside {
		return nil, ErrNoGate
	}
	return ev, nil
}

// grantLocked gives the free gate to the first that waits for it. If that one
// is new it is returned and the caller runs it, on this goroutine or another.
func (act *activation) grantLocked() (start *event) {
	if act.holder != nil || act.ended {
		return nil
	}
	ev := act.waiting.pop()
	if ev == nil {
		return nil
	}
	act.holder = ev
	if !ev.began.IsZero() {
		act.watchLocked(ev)
		ev.resume <- struct{}{}
		return nil
	}
	act.beginLocked(ev)
	return ev
}

// beginLocked notes that ev holds the gate for the first time.
func (act *activation) beginLocked(ev *event) {
	ev.began = time.Now()
	act.host.begun(ev, 1)
	act.open = append(act.open, ev)
	act.mailbox--
	act.mailboxBytes -= ev.size
	act.space.broadcast()
	act.watchLocked(ev)
}

// releaseLocked takes the gate from ev.
func (act *activation) releaseLocked(ev *event) (start *event) {
	if act.holder != ev {
		return nil
	}
	act.holder = nil
	act.pauseWatchLocked()
	return act.grantLocked()
}

// watchLocked starts the clock of a handler that now holds the gate. A run of
// Alarm is bounded as a whole by runAlarm. There is one timer for all that may
// have to be done about it, so a handler that is quick pays for nothing but that.
func (act *activation) watchLocked(ev *event) {
	limit := act.class.HandlerTimeout
	switch {
	case ev.block > 0:
		limit = blockTimeout
	case ev.kind == EventAlarm:
		limit = act.class.AlarmTimeout
	}
	act.heldSince = act.host.age()
	act.watchUntil = act.heldSince + limit
	act.nextWatchLocked(act.heldSince)
}

// nextWatchLocked starts the timer for the next of: mark, report, limit.
func (act *activation) nextWatchLocked(now time.Duration) {
	act.watching = true
	next := act.watchUntil
	for _, after := range [...]time.Duration{markAfter, reportAfter} {
		if at := act.heldSince + after; at > now {
			next = min(next, at)
		}
	}
	if act.watch == nil {
		act.watch = time.AfterFunc(next-now, act.overrun)
		return
	}
	act.watch.Reset(next - now)
}

// pauseWatchLocked stops the clock: what takes time is not the object's fault.
func (act *activation) pauseWatchLocked() {
	act.watching = false
	act.watch.Stop()
}

// overrun marks and reports a handler that has run for long, and ends the
// activation of one that held the gate for too long. The timer may have been
// stopped, or started anew for another event, while this call was on its way.
func (act *activation) overrun() {
	act.mu.Lock()
	ev, now := act.holder, act.host.age()
	if ev == nil || act.ended || !act.watching {
		act.mu.Unlock()
		return
	}
	if now >= act.watchUntil {
		act.mu.Unlock()
		act.expire(ev)
		return
	}
	ran, report := now-act.heldSince, false
	if ran >= markAfter && !ev.outside {
		act.markLocked(ev)
		report = ran >= reportAfter && !ev.reported
		ev.reported = ev.reported || report
	}
	act.nextWatchLocked(now)
	commit := act.saveLocked()
	act.mu.Unlock()
	commit()
	if report {
		act.report(ev, ran, false)
	}
}

// expire ends the activation because ev is not over in time. Its goroutine
// cannot be ended; if it runs code of the object, the object is refused here
// until it returns.
func (act *activation) expire(ev *event) {
	act.mu.Lock()
	if act.ended || ev.over {
		act.mu.Unlock()
		return
	}
	stuck := act.holder == ev && !ev.outside
	if stuck {
		act.stuck = ev
	}
	ran := time.Since(ev.began)
	act.mu.Unlock()
	act.failed(ev)
	act.end(ErrHandlerTimeout, ev)
	act.host.events.gateTimeout(act.target.Class)
	act.report(ev, ran, true)
	if stuck {
		act.host.ailment.begin()
	}
}

// leave opens the gate for an outside wait: the batch is sealed, and others run
// until comeBack. In BlockConcurrencyWhile the gate stays closed. effect says
// that the wait does something that no refusal can take back.
func (act *activation) leave(ctx context.Context, effect bool) (*event, error) {
	act.mu.Lock()
	ev, err := act.enterLocked(ctx)
	if err == nil && ev.tx > 0 {
		err = ErrInTransaction
	}
	act.mu.Unlock()
	if err != nil {
		return nil, err
	}
	act.seal(ev)
	act.mu.Lock()
	if act.ended {
		act.mu.Unlock()
		return nil, ErrEnded
	}
	ev.outside = true
	act.unmarkLocked(ev)
	act.saveSoonLocked()
	ev.effect = ev.effect || effect
	var start *event
	if ev.block == 0 {
		start = act.releaseLocked(ev)
	}
	act.mu.Unlock()
	if start != nil {
		act.host.run(act, start)
	}
	return ev, nil
}

// comeBack takes the gate again after leave. ErrEnded means that the activation
// has ended meanwhile.
func (act *activation) comeBack(ev *event) error {
	act.mu.Lock()
	if act.ended {
		act.mu.Unlock()
		return ErrEnded
	}
	if ev.block > 0 {
		ev.outside = false
		act.heldSince = act.host.age() // but its limit goes on
		act.nextWatchLocked(act.heldSince)
		act.mu.Unlock()
		return nil
	}
	if ev.over {
		act.mu.Unlock()
		return ErrNoGate
	}
	act.waiting.push(ev)
	start := act.grantLocked()
	act.mu.Unlock()
	if start != nil {
		act.host.run(act, start)
	}
	select {
	case <-ev.resume:
	case <-act.done:
		return ErrEnded
	}
	act.mu.Lock()
	defer act.mu.Unlock()
	ev.outside = false
	return nil
}
