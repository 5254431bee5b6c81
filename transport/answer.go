package transport

import (
	"net/http"
	"time"
)

// answer is the ResponseWriter that a Dispatcher writes to. It remembers the
// status, and keeps a 101 to itself: the handshake of a WebSocket is written by
// the gateway once the dispatcher has returned.
type answer struct {
	http.ResponseWriter

	body     *stallBody  // nil: the request has none
	last     func() bool // whether the connection ends with this answer; nil: no
	status   int         // of the final head; 0 until it is written
	switched bool        // 101 was asked for
	problem  string      // code of the error that the runtime answered with; "": it did not
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		a.switched = true
		return
	}
	if a.switched {
		return
	}
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
		// The rest of a body would come before the next request, and who reads it is
		// not settled.
		if a.last != nil && a.last() || a.body != nil && !a.body.complete() {
			a.Header().Set("Connection", "close")
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.switched {
		return 0, errHandedOver
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// FlushError sends what was written so far to the client.
func (a *answer) FlushError() error {
	if a.switched {
		return errHandedOver
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Flush implements http.Flusher. An error comes back with the next Write.
func (a *answer) Flush() { _ = a.FlushError() }

// SetReadDeadline bounds the reading of the request's body. It is found by
// http.ResponseController, and goes through the body because that has a deadline
// of its own.
func (a *answer) SetReadDeadline(t time.Time) error {
	if a.body == nil {
		return http.ErrNotSupported
	}
	a.body.setLimit(t)
	return nil
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
