package actor

import (
	"context"
	"runtime"
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
	act.watch.Stop()
	return act.grantLocked()
}

// watchLocked starts the clock of a handler that now holds the gate. A run of
// Alarm is bounded as a whole by runAlarm.
func (act *activation) watchLocked(ev *event) {
	limit := act.class.HandlerTimeout
	switch {
	case ev.block > 0:
		limit = blockTimeout
	case ev.kind == EventAlarm:
		limit = act.class.AlarmTimeout
	}
	act.watchUntil = time.Now().Add(limit)
	if act.watch == nil {
		act.watch = time.AfterFunc(limit, act.overrun)
		return
	}
	act.watch.Reset(limit)
}

// overrun ends the activation of a handler that held the gate for too long.
func (act *activation) overrun() {
	act.mu.Lock()
	ev := act.holder
	// The timer may have been started anew, for another event, while this call was on its way.
	early := time.Now().Before(act.watchUntil)
	act.mu.Unlock()
	if ev != nil && !early {
		act.expire(ev)
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
	if act.holder == ev && !ev.outside {
		act.stuck = ev
	}
	act.mu.Unlock()
	act.end(ErrHandlerTimeout, ev)
	act.host.events.gateTimeout(act.target.Class)
	stacks := make([]byte, 64<<10)
	stacks = stacks[:runtime.Stack(stacks, true)]
	act.log().Error("a handler did not end in time", "kind", ev.kind.String(), "goroutines", string(stacks))
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
