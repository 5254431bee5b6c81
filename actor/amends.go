package actor

import (
	"errors"
	"slices"
	"time"
)

// amendsLocked gives the batch that must be written although the activation has
// ended by the fault of the event's own code: what keeps the event from coming
// back as if it had never run. Without it an alarm would be retried for ever (also
// by an object that does not even start), and
// a message or a close that panics would end each new activation again. It is
// written outside of the activation's view, which is gone; the next activation
// reads state after it, since it counts as in flight.
func (act *activation) amendsLocked(cause error, culprit *event, unstarted []*event) *Batch {
	if culprit == nil || culprit.acked || isRefusal(cause) || errors.Is(cause, ErrOutcomeUnknown) || !act.recorded {
		return nil
	}
	b := &Batch{Object: act.target.ID}
	switch culprit.kind {
	case EventStart:
		alarm := func(ev *event) bool { return ev.kind == EventAlarm }
		if !slices.ContainsFunc(unstarted, alarm) {
			return nil
		}
		record, ok, err := act.host.store.Alarm(act.target.ID)
		if err != nil || !ok {
			return nil
		}
		run := &alarmRun{record: record, retry: record.Retries > 0, late: time.Since(time.UnixMilli(record.Due))}
		b.Alarm = run.failure()
		act.alarmRan(run, run.failed(b.Alarm))
	case EventAlarm:
		if act.alarm.run == nil {
			return nil
		}
		b.Alarm = act.alarm.run.failure()
		act.alarmRan(act.alarm.run, act.alarm.run.failed(b.Alarm))
	case EventClose:
		if culprit.subject == nil {
			return nil // it had not come to the object's code
		}
		b.Sockets = []SocketChange{{Op: SocketClosed, Socket: culprit.subject.id}}
	case EventMessage:
		if culprit.subject == nil {
			return nil // likewise
		}
		b.Sockets = []SocketChange{{Op: SocketMessage, Socket: culprit.subject.id, Number: culprit.number}}
	default:
		return nil
	}
	act.inflight++
	return b
}

func (act *activation) commitAmends(b *Batch, culprit *event) {
	if b == nil {
		return
	}
	act.host.committer.Commit(act.target.ID, act.ownership, b.Append(nil), func(err error) {
		if err != nil {
			act.tell(culprit, err)
		} else if culprit.kind == EventMessage {
			act.host.gateways.deliver(culprit.socket.Gateway(), act.target.ID, Frame{Kind: FrameAck, Socket: culprit.socket, Number: culprit.number})
		} else if culprit.kind == EventClose {
			id := culprit.closes()
			act.host.gateways.deliver(id.Gateway(), act.target.ID, Frame{Kind: FrameGone, Socket: id})
		}
		act.mu.Lock()
		act.inflight--
		act.unlock()
	})
}

// tellCulprit says whether the culprit's caller must be told of the end. A
// message or a close that failed by its own fault is over, not lost, unless the
// amends are.
func (ev *event) tellCulprit() bool { return ev.kind != EventMessage && ev.kind != EventClose }
