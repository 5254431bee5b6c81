package actor

import (
	"errors"
	"time"
)

// suspect is what an activation knows of its object's record of poison, and
// brings into the Store: one change at a time, in batches of their own that no
// output waits for. An activation has none as long as there is nothing to know.
// Guarded by the activation's mutex.
type suspect struct {
	want    PoisonRecord // what the Store shall have
	have    PoisonRecord // what it has
	asked   PoisonRecord // what the batch under way writes
	saving  bool         // a batch is under way
	failure error        // of the last batch; a batch that is not applied ends the ownership, one without room does not
	over    bool         // nothing can be saved any more
	saved   signal       // saving ended
	running *event       // the event that want is marked for
}

func (act *activation) suspectLocked() *suspect {
	if act.suspect == nil {
		act.suspect = new(suspect)
	}
	return act.suspect
}

// markLocked wants the mark of an event that has run for long. What is judged
// only later has nothing to be compared with, so it is not marked.
func (act *activation) markLocked(ev *event) {
	if !act.judged || act.yielded {
		return
	}
	s := act.suspectLocked()
	if s.running != nil {
		return
	}
	s.running = ev
	s.want.Class, s.want.Name = act.target.Class, act.name
	s.want.Marked, s.want.Since = act.ownership, act.host.began.Add(act.heldSince).UnixMilli()
	if act.host.fault == FaultUnmarked {
		s.have = s.want
	}
	act.host.events.marked(act.target.Class)
}

// unmarkLocked ends the mark of an event that ended or waits outside. The
// caller saves.
func (act *activation) unmarkLocked(ev *event) {
	if s := act.suspect; s != nil && s.running == ev {
		s.running, s.want = nil, s.want.unmarked()
	}
}

// dirty says whether something can and has to be saved.
func (s *suspect) dirty() bool { return s != nil && !s.saving && !s.over && s.want != s.have }

// saveLocked begins to bring want into the Store if it is not there; commit is
// called without the lock. The activation is not settled before the answer, so
// the next one reads what this one wrote.
func (act *activation) saveLocked() (commit func()) {
	s := act.suspect
	if !s.dirty() {
		return func() {}
	}
	s.saving, s.asked = true, s.want
	act.inflight++
	record := s.want
	data := (&Batch{Object: act.target.ID, Poison: &record}).Append(nil)
	return func() { act.host.committer.Commit(act.target.ID, act.ownership, data, act.saved) }
}

// saveSoonLocked is saveLocked for an event's own goroutine.
func (act *activation) saveSoonLocked() {
	if act.suspect.dirty() {
		act.host.wg.Go(act.saveLocked()) // an event is running, so Close still waits
	}
}

// saved takes the answer of a batch. One that had no room is tried again at the
// next opportunity: the end of the event, or of another one.
func (act *activation) saved(err error) {
	act.mu.Lock()
	s := act.suspect
	s.saving, s.failure = false, err
	noRoom := errors.Is(err, ErrOverloaded) || errors.Is(err, ErrStorageFull)
	switch {
	case err == nil:
		s.have = s.asked
	case !noRoom:
		s.over = true
	}
	s.saved.broadcast()
	commit := func() {}
	if !noRoom {
		commit = act.saveLocked()
	}
	act.inflight--
	act.unlock()
	commit()
}

// judge looks at what earlier owners left behind, before any code of the object
// runs. A strike is durable before it returns. An error means that the
// activation must not go on.
func (act *activation) judge(ev *event) error {
	found, err := act.host.store.Poison(act.target.ID)
	if err != nil {
		return act.fault("could not read an object's state", err.Error(), "")
	}
	now := time.Now()
	act.mu.Lock()
	act.judged = true
	pardoned := act.pardons
	if found == (PoisonRecord{}) && !pardoned {
		act.mu.Unlock()
		return nil
	}
	s := act.suspectLocked()
	s.have = found
	var struck bool
	if s.want, struck = found.judged(act.ownership, now); act.host.fault == FaultUncounted {
		s.want, struck = found.unmarked(), false
	}
	if struck {
		act.struckLocked("a handler was running when the last owner was lost", found.Since)
	}
	if pardoned {
		s.want = PoisonRecord{}
	}
	judged := s.want
	act.pauseWatchLocked()
	commit := act.saveLocked()
	act.mu.Unlock()
	commit()
	if err := act.awaitSaved(); err != nil {
		return err
	}
	if pardoned {
		return errPardoned
	}
	if wait, refused := judged.refuses(now); refused {
		act.host.quarantines.add(act.target.ID, now.Add(wait))
		return &QuarantineError{Wait: wait}
	}
	act.mu.Lock()
	act.watchLocked(ev)
	act.mu.Unlock()
	return nil
}

// awaitSaved returns when the Store has what the activation wants, or says why it has not.
func (act *activation) awaitSaved() error {
	act.mu.Lock()
	s := act.suspectLocked()
	for s.saving {
		saved := s.saved.waitLocked()
		act.mu.Unlock()
		select {
		case <-saved:
		case <-act.done:
			return ErrRefused // whoever ended the activation knows more, and has told
		}
		act.mu.Lock()
	}
	defer act.mu.Unlock()
	if s.want == s.have {
		return nil
	}
	if isRefusal(s.failure) {
		return s.failure
	}
	return ErrRefused // nothing of what waits for it ran
}

// failed counts a panic or a time-out of an event. Those of alarms do not count:
// they are tried again by themselves, at a pace of their own.
func (act *activation) failed(ev *event) {
	now := time.Now()
	strike := ev.kind != EventAlarm && act.host.quarantines.failed(act.target.ID, now)
	if !strike && act.host.fault != FaultHasty {
		return
	}
	act.mu.Lock()
	s := act.suspectLocked()
	if !act.judged || s.over {
		act.mu.Unlock()
		return
	}
	s.want.Class, s.want.Name = act.target.Class, act.name
	s.want = s.want.struck(now)
	act.struckLocked("it panicked or ran into its time limit again and again", now.UnixMilli())
	if wait, refused := s.want.refuses(now); refused {
		act.host.quarantines.add(act.target.ID, now.Add(wait))
	}
	commit := act.saveLocked()
	act.mu.Unlock()
	commit()
}

func (act *activation) struckLocked(reason string, since int64) {
	s := act.suspect
	wait, refused := s.want.refuses(time.Now())
	act.log().Warn("the object may harm its node: a strike", "name", act.name, "reason", reason, "since", time.UnixMilli(since).UTC(),
		"strikes", s.want.Strikes, "quarantined", refused, "quarantine", wait)
	act.host.events.struck(act.target.Class, refused)
}
