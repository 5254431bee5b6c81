package actor

import (
	"context"
	"net/http"
	"time"
)

// Class is code: what the objects of one namespace run.
type Class struct {
	// New makes an object at the start of an activation. It runs before any
	// event of the activation, alone: this is the place to load state. ctx names
	// the start as an event, so storage works in it. An error, or more than 30 s,
	// fails the waiting events; the next event tries again.
	New func(ctx context.Context, state *State) (http.Handler, error)

	// KeepInMemory keeps an activation in memory while a socket is open; without
	// it an idle object hibernates: the sockets stay open, the memory goes.
	KeepInMemory bool

	// HandlerTimeout bounds how long a handler may hold the gate without an
	// outside wait. Zero means DefaultHandlerTimeout.
	HandlerTimeout time.Duration

	// AlarmTimeout bounds a run of Alarm. Zero means DefaultAlarmTimeout.
	AlarmTimeout time.Duration
}

// Alarmer is an object that an alarm can wake. Alarm runs at least once for
// each alarm that comes due. An error, a panic or a time-out makes it run again,
// at most 6 times, after 2 s, 4 s, ... 64 s with jitter; after that the alarm is dropped.
type Alarmer interface {
	Alarm(ctx context.Context, info AlarmInfo) error
}

// AlarmInfo tells a run of Alarm about its alarm.
type AlarmInfo struct {
	Scheduled  time.Time // the time that was asked for
	RetryCount int       // failed runs before this one
}

// SocketMessenger is an object that takes messages from its sockets. The
// messages of one socket come strictly one by one, in order; those of different
// sockets interleave at outside waits. An error is logged and changes nothing.
type SocketMessenger interface {
	SocketMessage(ctx context.Context, socket *Socket, message Message) error
}

// Message is one WebSocket message. Data belongs to the receiver.
type Message struct {
	Kind MessageKind
	Data []byte
}

// SocketCloser is an object that learns that a client closed a socket or was
// lost. It comes once for each socket that the object did not close itself.
// The socket is gone already: it is not in State.Sockets, and Send fails.
type SocketCloser interface {
	SocketClose(ctx context.Context, socket *Socket, info CloseInfo) error
}

// CloseInfo says how a socket ended. A client that was lost without a Close
// frame has Code 1006 and Clean false.
type CloseInfo struct {
	Code   int
	Reason string
	Clean  bool
}

// SocketErrorer is an object that learns of a protocol error of a socket (a
// message that is too large, text that is not UTF-8, a malformed frame). The
// close of the same socket follows in the same event.
type SocketErrorer interface {
	SocketError(ctx context.Context, socket *Socket, err error) error
}
