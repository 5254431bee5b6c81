package actor

import (
	"fmt"
	"maps"
	"net/http"
)

// routedAnswer is the ResponseWriter of a call that went by way of the router:
// what it is written becomes the parts of an answer, as if the object were here.
type routedAnswer struct {
	// Fixed.
	answer *answer
	left   <-chan struct{} // nobody waits for the answer any more

	// Touched only by the goroutine of the call.
	header   http.Header
	status   int         // 0 = WriteHeader was not called
	sent     http.Header // the header as it was when WriteHeader was called
	buffer   []byte
	headSent bool
}

// Header implements http.ResponseWriter.
func (w *routedAnswer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *routedAnswer) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write implements http.ResponseWriter. It waits while the caller is behind.
func (w *routedAnswer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.buffer = append(w.buffer, p...)
	if len(w.buffer) >= answerBufferBytes {
		return len(p), w.FlushError()
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *routedAnswer) Flush() { _ = w.FlushError() }

// FlushError passes on what was written so far.
func (w *routedAnswer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	for full := w.answer.reserve(len(w.buffer)); full != nil; full = w.answer.reserve(len(w.buffer)) {
		select {
		case <-full:
		case <-w.left:
			return ErrCallerLeft
		}
	}
	w.push(part{body: w.buffer})
	return nil
}

func (w *routedAnswer) push(p part) {
	if !w.headSent {
		w.headSent = true
		p.status = w.status
		header := w.sent.Clone()
		maps.Copy(header, p.header)
		p.header = header
	}
	w.buffer = nil
	w.answer.push(p)
}

// run calls dispatch and turns the panic of an answer that broke off into an error.
func (w *routedAnswer) run(dispatch func() error) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = fmt.Errorf("%w: the answer broke off", ErrOutcomeUnknown)
		default:
			panic(p)
		}
	}()
	return dispatch()
}

// finish ends the answer with what the router's Dispatch returned.
func (w *routedAnswer) finish(err error) {
	if err != nil {
		w.answer.fail(err)
		return
	}
	w.WriteHeader(http.StatusOK)
	w.push(part{body: w.buffer, header: trailerOf(w.sent, w.header), end: true, upgrade: w.status == http.StatusSwitchingProtocols})
}
