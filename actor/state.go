package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
)

// State is what an object has besides its own fields: identity, storage,
// sockets and the gate. There is one for each activation.
type State struct {
	act *activation
}

// ID gives the object's ID.
func (s *State) ID() ID { return s.act.target.ID }

// Class gives the name of the object's class.
func (s *State) Class() string { return s.act.target.Class }

// Name gives the object's name. It is "" for an object with a unique ID, and for
// a named one that was only ever reached by its ID and has stored nothing.
func (s *State) Name() string {
	s.act.mu.Lock()
	defer s.act.mu.Unlock()
	return s.act.name
}

// Storage gives the object's private storage.
func (s *State) Storage() *Storage { return &Storage{act: s.act} }

// Log gives a logger whose lines name the object.
func (s *State) Log() *slog.Logger { return s.act.log() }

// Outside runs f with the gate open: other events of the object run meanwhile,
// and everything that the event wrote so far becomes durable on its own. In f
// the methods of storage, sockets and stubs return ErrNoGate. Outside returns f's
// error, or ErrEnded if the activation ended meanwhile. In a call with an
// Idempotency-Key f runs only when it is durable that the call has started, so
// that no retry runs it again.
func (s *State) Outside(ctx context.Context, f func(ctx context.Context) error) error {
	if ev := eventOf(ctx); ev != nil && ev.key != nil {
		if err := s.Storage().Sync(ctx); err != nil {
			return err
		}
	}
	ev, err := s.act.leave(ctx, true)
	if err != nil {
		return err
	}
	err = f(ctx)
	if back := s.act.comeBack(ev); back != nil {
		return errors.Join(err, back)
	}
	return err
}

// BlockConcurrencyWhile runs f while no other event of the object runs, not even
// during outside waits. If f returns an error, panics, or takes more than 30 s, the
// activation ends and the next event starts a new one. It may be nested.
func (s *State) BlockConcurrencyWhile(ctx context.Context, f func(ctx context.Context) error) error {
	act := s.act
	act.mu.Lock()
	ev, err := act.enterLocked(ctx)
	if err != nil {
		act.mu.Unlock()
		return err
	}
	if ev.block++; ev.block == 1 {
		act.watchLocked(ev)
	}
	act.mu.Unlock()
	err = f(ctx)
	if err != nil {
		act.end(act.fault("BlockConcurrencyWhile failed", err.Error(), ""), ev)
		return err
	}
	act.mu.Lock()
	defer act.mu.Unlock()
	if act.ended {
		return ErrEnded
	}
	if ev.block--; ev.block == 0 {
		act.watchLocked(ev)
	}
	return nil
}

// WaitUntil runs f as an event of its own, after the events that wait already.
// The answer of this event does not wait for it. It keeps the object in memory
// for up to 15 min. It is lost with the activation: what must happen needs an
// alarm. The error may be ErrMailboxFull.
func (s *State) WaitUntil(ctx context.Context, f func(ctx context.Context)) error {
	act := s.act
	act.mu.Lock()
	by, err := act.enterLocked(ctx)
	if err == nil {
		by.effect = true
	}
	act.mu.Unlock()
	if err != nil {
		return err
	}
	ev := &event{kind: EventTask, body: func(ctx context.Context, _ *event) { f(ctx) }}
	if _, err = act.post(ev); errors.Is(err, errPostEnded) {
		return ErrEnded
	}
	return err
}

// AbortOptions say how Abort ends the activation.
type AbortOptions struct {
	Reason    error // for the log
	DropAlarm bool  // do not retry the alarm whose run is aborted
}

// Abort ends the activation at once: what the event wrote since its last outside
// wait is dropped, callers get an error, the next event starts a new activation.
// It does not return; deferred functions run, and cannot stop it. Sockets stay open.
func (s *State) Abort(ctx context.Context, opt AbortOptions) {
	act := s.act
	ev := eventOf(ctx)
	act.mu.Lock()
	foreign := ev == nil || ev.act != act || ev.over
	act.mu.Unlock()
	if foreign {
		act.log().Error("Abort was called without the context of an event of the object")
		runtime.Goexit()
	}
	act.log().Warn("an object aborted its activation", "reason", fmt.Sprint(opt.Reason))
	if opt.DropAlarm {
		act.mu.Lock()
		if act.alarm.run != nil {
			act.alarm.run.record.Retries = maxAlarmRetries
		}
		act.mu.Unlock()
	}
	act.end(ErrAborted, ev)
	runtime.Goexit()
}
