package actor

import "time"

// EventKind says what an event is.
type EventKind uint8

// Kinds of events.
const (
	EventStart EventKind = iota
	EventRequest
	EventMessage
	EventClose
	EventAlarm
	EventTask
	EventPardon
)

// String gives the kind's name as it stands in metrics.
func (k EventKind) String() string {
	return [...]string{"start", "request", "message", "close", "alarm", "task", "pardon"}[k]
}

// EventKinds gives all of them.
func EventKinds() []EventKind {
	return []EventKind{EventStart, EventRequest, EventMessage, EventClose, EventAlarm, EventTask, EventPardon}
}

// bounded says whether events of the kind count against the mailbox. Closes are
// bounded by the sockets, and there is at most one alarm and one start.
func (k EventKind) bounded() bool {
	return k == EventRequest || k == EventMessage || k == EventTask
}

// AlarmEnd says how a run of an alarm ended.
type AlarmEnd uint8

// Ends of a run.
const (
	AlarmDone    AlarmEnd = iota
	AlarmFailed           // it is tried again
	AlarmDropped          // it failed for the last time
)

// String gives the end's name as it stands in metrics.
func (e AlarmEnd) String() string { return [...]string{"done", "failed", "dropped"}[e] }

// AlarmEnds gives all of them.
func AlarmEnds() []AlarmEnd { return []AlarmEnd{AlarmDone, AlarmFailed, AlarmDropped} }

// KeyedVerdict says what became of a call with an Idempotency-Key.
type KeyedVerdict uint8

// Verdicts on a call with a key.
const (
	KeyedRuns       KeyedVerdict = iota // the key was not used before
	KeyedReplayed                       // it got the first answer
	KeyedInProgress                     // the call with its key runs
	KeyedPartial                        // the call with its key broke off after it had begun
	KeyedReused                         // the key belongs to another request
	KeyedNoRoom                         // the object keeps as many answers as it may
	KeyedUnknown                        // the record of the key could not be read
)

// String gives the verdict's name as it stands in metrics.
func (v KeyedVerdict) String() string {
	return [...]string{"run", "replayed", "in_progress", "partially_applied", "key_reused", "no_room", "failed"}[v]
}

// KeyedVerdicts gives all of them.
func KeyedVerdicts() []KeyedVerdict {
	return []KeyedVerdict{KeyedRuns, KeyedReplayed, KeyedInProgress, KeyedPartial, KeyedReused, KeyedNoRoom, KeyedUnknown}
}

// Events are optional functions that the runtime calls as things happen: the
// seam for metrics. They must not block.
type Events struct {
	Activated func(class string)                              // an activation has started
	Evicted   func(class string, hibernated bool)             // idle, left memory; hibernated: with sockets open
	Ended     func(class string, cause error)                 // an activation ended before it was idle
	EventDone func(kind EventKind, waited, ran time.Duration) // waited for the gate, ran until its end
	BatchDone func(bytes int, took time.Duration, err error)
	// AlarmRun tells of a run of an alarm that its object's code ended, or failed in.
	// Runs that the platform broke are told by AlarmDeferred: they come again.
	AlarmRun      func(late time.Duration, retry bool, end AlarmEnd)
	AlarmDeferred func()
	GateTimeout   func(class string)
	Frames        func(kind FrameKind)                 // a frame was handed to a gateway
	Broadcast     func(class string)                   // an object sent a message to all or many of its sockets
	OutboxOverrun func(class string, sockets int)      // a gateway was too far behind: its sockets of an object are closed
	Keyed         func(verdict KeyedVerdict)           // a call with an Idempotency-Key
	Refused       func(err error)                      // an event was refused at the door
	Marked        func(class string)                   // a handler has run for long enough to be suspect
	Reported      func(class string)                   // and for so long that its stack was logged
	Struck        func(class string, quarantined bool) // an object got a strike
	Resumed       func(class string)                   // a client came back to its socket by another connection
}

// eventSink calls those of Events that are set.
type eventSink struct {
	f Events
}

func (s *eventSink) activated(class string) {
	if s.f.Activated != nil {
		s.f.Activated(class)
	}
}

func (s *eventSink) evicted(class string, hibernated bool) {
	if s.f.Evicted != nil {
		s.f.Evicted(class, hibernated)
	}
}

func (s *eventSink) ended(class string, cause error) {
	if s.f.Ended != nil {
		s.f.Ended(class, cause)
	}
}

func (s *eventSink) eventDone(kind EventKind, waited, ran time.Duration) {
	if s.f.EventDone != nil {
		s.f.EventDone(kind, waited, ran)
	}
}

func (s *eventSink) batchDone(bytes int, took time.Duration, err error) {
	if s.f.BatchDone != nil {
		s.f.BatchDone(bytes, took, err)
	}
}

func (s *eventSink) alarmRun(late time.Duration, retry bool, end AlarmEnd) {
	if s.f.AlarmRun != nil {
		s.f.AlarmRun(late, retry, end)
	}
}

func (s *eventSink) alarmDeferred() {
	if s.f.AlarmDeferred != nil {
		s.f.AlarmDeferred()
	}
}

func (s *eventSink) gateTimeout(class string) {
	if s.f.GateTimeout != nil {
		s.f.GateTimeout(class)
	}
}

func (s *eventSink) frame(kind FrameKind) {
	if s.f.Frames != nil {
		s.f.Frames(kind)
	}
}

func (s *eventSink) broadcast(class string) {
	if s.f.Broadcast != nil {
		s.f.Broadcast(class)
	}
}

func (s *eventSink) outboxOverrun(class string, sockets int) {
	if s.f.OutboxOverrun != nil {
		s.f.OutboxOverrun(class, sockets)
	}
}

func (s *eventSink) keyed(verdict KeyedVerdict) {
	if s.f.Keyed != nil {
		s.f.Keyed(verdict)
	}
}

func (s *eventSink) refused(err error) {
	if s.f.Refused != nil {
		s.f.Refused(err)
	}
}

func (s *eventSink) marked(class string) {
	if s.f.Marked != nil {
		s.f.Marked(class)
	}
}

func (s *eventSink) reported(class string) {
	if s.f.Reported != nil {
		s.f.Reported(class)
	}
}

func (s *eventSink) resumed(class string) {
	if s.f.Resumed != nil {
		s.f.Resumed(class)
	}
}

func (s *eventSink) struck(class string, quarantined bool) {
	if s.f.Struck != nil {
		s.f.Struck(class, quarantined)
	}
}
