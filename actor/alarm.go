package actor

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// alarmView is the alarm as the object sees it: with the writes that are not
// committed yet. It is guarded by the activation's mutex and changed only under the gate.
type alarmView struct {
	loaded bool
	record AlarmRecord // Due 0 = no alarm
	run    *alarmRun   // while Alarm runs
}

// alarmRun is a run of Alarm under way.
type alarmRun struct {
	record  AlarmRecord
	retry   bool
	late    time.Duration // after its due time it began
	touched bool          // the alarm was set or deleted since the run began: that stands, whatever the run's end
}

// failed says what becomes of the alarm after the run has failed with that change.
func (r *alarmRun) failed(change AlarmChange) AlarmEnd {
	if change.Op == AlarmDelete && !r.touched {
		return AlarmDropped
	}
	return AlarmFailed
}

func (act *activation) alarmRan(run *alarmRun, end AlarmEnd) {
	act.host.events.alarmRun(run.late, run.retry, end)
}

// failure gives the change that a failed run makes, if the alarm is still the one that fired.
func (r *alarmRun) failure() AlarmChange {
	if int(r.record.Retries) >= maxAlarmRetries {
		return AlarmChange{Op: AlarmDelete, If: r.record.Due}
	}
	next := r.record
	wait := alarmBackoff << r.record.Retries
	wait += rand.N(wait / alarmJitter) //nolint:gosec // jitter needs no secret
	next.Retries++
	next.Due = time.Now().Add(wait).UnixMilli()
	return AlarmChange{Op: AlarmSet, Record: next, If: r.record.Due}
}

// Alarm gives the time at which the object's alarm fires next. While Alarm runs
// there is none, unless it was set again meanwhile.
func (s *Storage) Alarm(ctx context.Context) (at time.Time, ok bool, err error) {
	act := s.act
	act.mu.Lock()
	defer act.mu.Unlock()
	if _, err := act.enterLocked(ctx); err != nil {
		return time.Time{}, false, err
	}
	if err := act.loadAlarmLocked(); err != nil {
		return time.Time{}, false, err
	}
	running := act.alarm.run != nil && !act.alarm.run.touched
	if act.alarm.record.Due == 0 || running {
		return time.Time{}, false, nil
	}
	return time.UnixMilli(act.alarm.record.Due), true, nil
}

// SetAlarm sets the object's alarm in place of the one before. It fires at that
// time or later, never earlier, by the owner's clock; at once if the time has
// passed. Set while Alarm runs, it fires after the run, and stands in place of a retry.
func (s *Storage) SetAlarm(ctx context.Context, at time.Time) error {
	due := at.UnixMilli()
	if at.After(time.UnixMilli(due)) {
		due++ // never early
	}
	if due <= 0 {
		return ErrAlarmTime
	}
	act := s.act
	act.mu.Lock()
	defer act.mu.Unlock()
	if _, err := act.enterLocked(ctx); err != nil {
		return err
	}
	if _, ok := act.object.(Alarmer); !ok && act.object != nil {
		return ErrNoAlarm
	}
	act.changeAlarmLocked(AlarmChange{Op: AlarmSet, Record: AlarmRecord{Due: due, Scheduled: due}})
	return nil
}

// DeleteAlarm removes the object's alarm. A run under way goes on, but is not retried.
func (s *Storage) DeleteAlarm(ctx context.Context) error {
	act := s.act
	act.mu.Lock()
	defer act.mu.Unlock()
	if _, err := act.enterLocked(ctx); err != nil {
		return err
	}
	act.changeAlarmLocked(AlarmChange{Op: AlarmDelete})
	return nil
}

func (act *activation) loadAlarmLocked() error {
	if act.alarm.loaded {
		return nil
	}
	record, ok, err := act.host.store.Alarm(act.target.ID)
	if err != nil {
		return err
	}
	if !ok {
		record = AlarmRecord{}
	}
	act.alarm.loaded, act.alarm.record = true, record
	return nil
}

func (act *activation) changeAlarmLocked(change AlarmChange) {
	act.changes.alarm = change
	act.alarm.loaded, act.alarm.record = true, change.Record
	if change.Op == AlarmDelete {
		act.alarm.record, act.emptied = AlarmRecord{}, true
	}
	if act.alarm.run != nil {
		act.alarm.run.touched = true
	}
}

// runAlarm is the body of an alarm event. done is called when the outcome of
// the run is committed, or the run was cancelled because the alarm is not due any more.
func (act *activation) runAlarm(ctx context.Context, ev *event, done func(err error)) {
	act.mu.Lock()
	if act.ended {
		act.mu.Unlock()
		return // the event was told
	}
	err := act.loadAlarmLocked()
	record := act.alarm.record
	late := time.Since(time.UnixMilli(record.Due))
	if err != nil || record.Due == 0 || late < 0 {
		// Whatever moved the alarm may not be committed yet; before that the clock must not look again.
		act.emitLocked(ev, func(lost error) { done(errors.Join(err, lost)) })
		act.unlock()
		return
	}
	run := &alarmRun{record: record, retry: record.Retries > 0, late: late}
	act.alarm.run = run
	object, ok := act.object.(Alarmer)
	act.mu.Unlock()
	if ok {
		limit := time.AfterFunc(act.class.AlarmTimeout, func() { act.expire(ev) })
		defer limit.Stop()
		err = object.Alarm(ctx, AlarmInfo{Scheduled: time.UnixMilli(record.Scheduled), RetryCount: int(record.Retries)})
	} else {
		act.log().Error("dropped an alarm: the class has no Alarm method")
	}
	act.endAlarm(ev, run, err, done)
}

// endAlarm writes the end of a run into the event's last batch, so that the
// alarm is gone exactly if the run's writes are there.
func (act *activation) endAlarm(ev *event, run *alarmRun, err error, done func(err error)) {
	act.mu.Lock()
	defer act.unlock()
	act.alarm.run = nil
	if act.ended {
		return // the event was told
	}
	change, end := AlarmChange{Op: AlarmDelete}, AlarmDone
	if err != nil {
		change = run.failure()
		end = run.failed(change)
		change.If = 0 // the view knows the alarm; nobody else changes it
		act.log().Warn("an alarm handler returned an error", "error", err, "retries", run.record.Retries, "dropped", change.Op == AlarmDelete)
	}
	if !run.touched {
		act.changeAlarmLocked(change)
	}
	act.alarmRan(run, end)
	act.emitLocked(ev, done)
}
