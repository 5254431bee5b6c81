package main

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/holdfast-dev/holdfast/actor"
)

// actorEvents turns what the runtime tells into metrics.
func actorEvents(f promauto.Factory) actor.Events {
	activated := f.NewCounterVec(prometheus.CounterOpts{Name: "activations_started_total", Help: "Objects brought into memory."}, []string{"class"})
	evicted := f.NewCounterVec(prometheus.CounterOpts{Name: "activations_evicted_total", Help: "Idle objects that left memory; hibernated ones have open sockets."}, []string{"class", "hibernated"})
	ended := f.NewCounterVec(prometheus.CounterOpts{Name: "activations_ended_total", Help: "Objects that left memory before they were idle: a fault, a lost shard, an abort."}, []string{"class", "cause"})
	waited := f.NewHistogramVec(prometheus.HistogramOpts{Name: "event_wait_seconds", Help: "How long events waited for their object's gate.", Buckets: latencyBuckets()}, []string{"kind"})
	ran := f.NewHistogramVec(prometheus.HistogramOpts{Name: "event_run_seconds", Help: "How long events ran, outside waits included.", Buckets: latencyBuckets()}, []string{"kind"})
	batchBytes := f.NewHistogram(prometheus.HistogramOpts{Name: "batch_bytes", Help: "Encoded size of write batches.", Buckets: sizeBuckets()})
	commit := f.NewHistogramVec(prometheus.HistogramOpts{Name: "commit_seconds", Help: "From sealing a batch to knowing its outcome.", Buckets: latencyBuckets()}, []string{"outcome"})
	alarms := f.NewCounterVec(prometheus.CounterOpts{Name: "alarm_runs_total", Help: "Runs of Alarm."}, []string{"retry", "result"})
	late := f.NewHistogram(prometheus.HistogramOpts{Name: "alarm_late_seconds", Help: "How long after their due time alarms began.", Buckets: latencyBuckets()})
	timeouts := f.NewCounterVec(prometheus.CounterOpts{Name: "gate_timeouts_total", Help: "Handlers that held the gate for longer than their class allows."}, []string{"class"})
	frames := f.NewCounterVec(prometheus.CounterOpts{Name: "frames_total", Help: "Frames handed to gateways; a broadcast is one."}, []string{"kind"})
	marked := f.NewCounterVec(prometheus.CounterOpts{Name: "handlers_marked_total", Help: "Handlers that ran for 250 ms, so that a crash now would count against their object."}, []string{"class"})
	reported := f.NewCounterVec(prometheus.CounterOpts{Name: "handlers_reported_total", Help: "Reports of handlers that run for too long; the log has their stacks."}, []string{"class"})
	struck := f.NewCounterVec(prometheus.CounterOpts{Name: "strikes_total", Help: "Strikes of objects that may harm their node, and whether they are quarantined by it."}, []string{"class", "quarantined"})
	refused := f.NewCounterVec(prometheus.CounterOpts{Name: "events_refused_total", Help: "Events refused before they ran."}, []string{"reason"})

	return actor.Events{
		Activated: func(class string) { activated.WithLabelValues(class).Inc() },
		Evicted: func(class string, hibernated bool) {
			evicted.WithLabelValues(class, strconv.FormatBool(hibernated)).Inc()
		},
		Ended: func(class string, cause error) {
			ended.WithLabelValues(class, endCause(cause)).Inc()
		},
		EventDone: func(kind actor.EventKind, inQueue, running time.Duration) {
			waited.WithLabelValues(kind.String()).Observe(inQueue.Seconds())
			ran.WithLabelValues(kind.String()).Observe(running.Seconds())
		},
		BatchDone: func(bytes int, took time.Duration, err error) {
			batchBytes.Observe(float64(bytes))
			commit.WithLabelValues(commitOutcome(err)).Observe(took.Seconds())
		},
		AlarmRun: func(after time.Duration, retry bool, err error) {
			alarms.WithLabelValues(strconv.FormatBool(retry), result(err)).Inc()
			late.Observe(after.Seconds())
		},
		GateTimeout: func(class string) { timeouts.WithLabelValues(class).Inc() },
		Frames:      func(kind actor.FrameKind) { frames.WithLabelValues(frameName(kind)).Inc() },
		Refused:     func(err error) { refused.WithLabelValues(refusal(err)).Inc() },
		Marked:      func(class string) { marked.WithLabelValues(class).Inc() },
		Reported:    func(class string) { reported.WithLabelValues(class).Inc() },
		Struck: func(class string, quarantined bool) {
			struck.WithLabelValues(class, strconv.FormatBool(quarantined)).Inc()
		},
	}
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

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

// refusal gives the reason why something certainly did not run.
func refusal(err error) string {
	if errors.As(err, new(*actor.QuarantineError)) {
		return "quarantined"
	}
	for _, r := range []struct {
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

func endCause(err error) string {
	var fault *actor.FaultError
	switch {
	case errors.As(err, &fault):
		return "fault"
	case errors.Is(err, actor.ErrHandlerTimeout):
		return "timeout"
	case errors.Is(err, actor.ErrAborted):
		return "aborted"
	case errors.Is(err, actor.ErrOutcomeUnknown):
		return "outcome_unknown"
	default:
		return refusal(err)
	}
}

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
