package transport

import (
	"context"
	"net/http"

	"github.com/holdfast-dev/holdfast/actor"
)

// Dispatcher runs events on objects. All methods may be called from any goroutine.
type Dispatcher interface {
	// IDs gives what makes and checks the IDs of a class; false if there is no such class.
	IDs(class string) (actor.IDSource, bool)

	// Dispatch runs one HTTP-shaped call on the object and writes its answer to
	// w, on the caller's goroutine. If it returns an error nothing was written to
	// w and the error is for writeError to map. A failure after the head was
	// written aborts the answer by panicking with http.ErrAbortHandler. It
	// returns soon after r's context has ended.
	//
	// If socket is not zero the request asks for a WebSocket. An object that
	// accepts it makes Dispatch call w.WriteHeader(101), after the gateway was
	// given the socket's FrameOpen.
	Dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error

	// Message hands over message number number (1, 2, 3... for each socket) of a
	// socket, in order. It does not wait for the event: a FrameAck comes back
	// through Gateway.Deliver. It blocks only while the object's queue is full;
	// ctx ends that wait. After an error the message is not taken and no later
	// one of the same socket follows.
	Message(ctx context.Context, object actor.ID, socket actor.SocketID, number uint64, m actor.Message) error

	// SocketClosed tells that the client's side of an accepted socket is gone:
	// once, after the last Message, and not for a socket that the object closed
	// itself. cause is the protocol error that ended it, or nil.
	SocketClosed(object actor.ID, socket actor.SocketID, info actor.CloseInfo, cause error)
}
