package main

import (
	"errors"
	"strconv"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// actorEvents turns what the runtime tells into metrics.
func actorEvents(m *meters) actor.Events {
	e := actor.Events{}
	m.ofActivations(&e)
	m.ofEvents(&e)
	m.ofAlarms(&e)
	m.ofFrames(&e)
	m.ofHandlers(&e)
	return e
}

func (m *meters) ofActivations(e *actor.Events) {
	started := m.counters("activations_started_total", "Objects brought into memory.", "class", m.classes)
	evicted := m.counters2("activations_evicted_total", "Idle objects that left memory; hibernated ones have open sockets.", "class", m.classes, "hibernated", booleans())
	ended := m.counters2("activations_ended_total", "Objects that left memory before they were idle, by cause.", "class", m.classes, "cause", endCauses())

	e.Activated = func(class string) { started.of(class).Inc() }
	e.Evicted = func(class string, hibernated bool) { evicted.of(class).of(strconv.FormatBool(hibernated)).Inc() }
	e.Ended = func(class string, cause error) { ended.of(class).of(endCause(cause)).Inc() }
}

func (m *meters) ofEvents(e *actor.Events) {
	kinds := words(actor.EventKinds())
	waited := m.histograms("event_wait_seconds", "How long events waited for their object's gate.", latencyBuckets(), "kind", kinds)
	ran := m.histograms("event_duration_seconds", "How long events ran, outside waits included.", latencyBuckets(), "kind", kinds)
	refused := m.counters("events_refused_total", "Calls refused before they ran, by reason.", "reason", refusals())
	keyed := m.counters("idempotent_requests_total", "Calls with an Idempotency-Key, by what became of them.", "outcome", words(actor.KeyedVerdicts()))
	batchBytes := m.histogram("batch_bytes", "Encoded size of write batches.", sizeBuckets())
	commit := m.histograms("commit_duration_seconds", "From sealing a batch to knowing its outcome.", latencyBuckets(), "outcome", commitOutcomes())

	e.EventDone = func(kind actor.EventKind, inQueue, running time.Duration) {
		waited.of(kind.String()).Observe(inQueue.Seconds())
		ran.of(kind.String()).Observe(running.Seconds())
	}
	e.Refused = func(err error) { refused.of(refusal(err)).Inc() }
	e.Keyed = func(verdict actor.KeyedVerdict) { keyed.of(verdict.String()).Inc() }
	e.BatchDone = func(bytes int, took time.Duration, err error) {
		batchBytes.Observe(float64(bytes))
		commit.of(commitOutcome(err)).Observe(took.Seconds())
	}
}

func (m *meters) ofAlarms(e *actor.Events) {
	runs := m.counters2("alarm_runs_total", "Runs of Alarm, by whether one before had failed and how they ended.", "retry", booleans(), "outcome", words(actor.AlarmEnds()))
	late := m.histogram("alarm_late_seconds", "How long after their due time runs of Alarm began.", lateBuckets())
	deferred := m.counter("alarms_deferred_total", "Runs of Alarm that the platform refused or broke; they come again.")

	e.AlarmRun = func(after time.Duration, retry bool, end actor.AlarmEnd) {
		runs.of(strconv.FormatBool(retry)).of(end.String()).Inc()
		late.Observe(after.Seconds())
	}
	e.AlarmDeferred = deferred.Inc
}

func (m *meters) ofFrames(e *actor.Events) {
	frames := m.counters("frames_total", "Frames that objects handed to gateways; a broadcast is one for each.", "kind", frameNames())
	broadcasts := m.counters("broadcasts_total", "Messages that objects sent to all or many of their sockets.", "class", m.classes)
	overruns := m.counters("outbox_overruns_total", "Gateways that were too far behind an object, whose sockets there were closed.", "class", m.classes)
	resumed := m.counters("sockets_resumed_total", "Clients that came back to their WebSocket by another connection, with its session key.", "class", m.classes)

	e.Frames = func(kind actor.FrameKind) { frames.of(frameName(kind)).Inc() }
	e.Broadcast = func(class string) { broadcasts.of(class).Inc() }
	e.OutboxOverrun = func(class string, _ int) { overruns.of(class).Inc() }
	e.Resumed = func(class string) { resumed.of(class).Inc() }
}

func (m *meters) ofHandlers(e *actor.Events) {
	timeouts := m.counters("handler_timeouts_total", "Handlers that held the gate for longer than their class allows.", "class", m.classes)
	marked := m.counters("handlers_marked_total", "Handlers that ran for 250 ms, so that a crash now would count against their object.", "class", m.classes)
	reported := m.counters("handlers_reported_total", "Reports of handlers that run for too long; the log has their stacks.", "class", m.classes)
	struck := m.counters2("strikes_total", "Strikes of objects that may harm their node, and whether they are quarantined by it.", "class", m.classes, "quarantined", booleans())

	e.GateTimeout = func(class string) { timeouts.of(class).Inc() }
	e.Marked = func(class string) { marked.of(class).Inc() }
	e.Reported = func(class string) { reported.of(class).Inc() }
	e.Struck = func(class string, quarantined bool) { struck.of(class).of(strconv.FormatBool(quarantined)).Inc() }
}

func commitOutcomes() []string { return []string{"committed", "refused", "unknown"} }

func commitOutcome(err error) string {
	switch {
	case err == nil:
		return "committed"
	case refusal(err) != "other":
		return "refused"
	default:
		return "unknown"
	}
}

// refusals gives the values of refusal.
func refusals() []string {
	return []string{"quarantined", "mailbox_full", "stuck", "not_owner", "overloaded", "storage_full", "closing", "refused", "other"}
}

// refusal gives the reason why something certainly did not run; "other" is as a rule
// the caller's own fault.
func refusal(err error) string {
	if _, ok := errors.AsType[*actor.QuarantineError](err); ok {
		return "quarantined"
	}
	for _, r := range [...]struct {
		is   error
		name string
	}{
		{actor.ErrMailboxFull, "mailbox_full"},
		{actor.ErrStuck, "stuck"},
		{actor.ErrNotOwner, "not_owner"},
		{actor.ErrOverloaded, "overloaded"},
		{actor.ErrStorageFull, "storage_full"},
		{actor.ErrClosing, "closing"},
		{actor.ErrRefused, "refused"},
	} {
		if errors.Is(err, r.is) {
			return r.name
		}
	}
	return "other"
}

// endCauses gives the values of endCause.
func endCauses() []string {
	return []string{
		"fault", "handler_timeout", "aborted", "answer_too_large", "outcome_unknown",
		"quarantined", "not_owner", "overloaded", "storage_full", "closing", "refused", "other",
	}
}

func endCause(err error) string {
	_, fault := errors.AsType[*actor.FaultError](err)
	switch {
	case fault:
		return "fault"
	case errors.Is(err, actor.ErrHandlerTimeout):
		return "handler_timeout"
	case errors.Is(err, actor.ErrAborted):
		return "aborted"
	case errors.Is(err, actor.ErrAnswerTooLarge):
		return "answer_too_large"
	case errors.Is(err, actor.ErrOutcomeUnknown):
		return "outcome_unknown"
	default:
		return refusal(err)
	}
}

// frameNames gives the values of frameName.
func frameNames() []string { return []string{"open", "message", "close", "auto_reply", "ack", "other"} }

func frameName(kind actor.FrameKind) string {
	switch kind {
	case actor.FrameOpen:
		return "open"
	case actor.FrameMessage:
		return "message"
	case actor.FrameClose:
		return "close"
	case actor.FrameAutoReply:
		return "auto_reply"
	case actor.FrameAck:
		return "ack"
	default:
		return "other"
	}
}
