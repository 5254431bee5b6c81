package actor

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// responseWriter is what a handler writes its answer to. What it writes is
// gathered, and leaves through the output gate: at the end of the event, or in
// pieces when the handler flushes or the buffer would run over.
type responseWriter struct {
	// Fixed.
	act     *activation
	ev      *event
	ctx     context.Context
	answer  *answer
	upgrade SocketID // of the connection that the request asks for a socket on; zero = none
	session Session  // of its client; zero = none
	head    bool     // the request's method is HEAD

	// Touched only by the event.
	header   http.Header
	status   int         // 0 = WriteHeader was not called
	sent     http.Header // the header as it was when WriteHeader was called
	buffer   []byte
	headSent bool
	accepted bool // AcceptSocket has answered
}

func (w *responseWriter) Header() http.Header { return w.header }

// began says whether the handler has begun to answer.
func (w *responseWriter) began() bool { return w.status != 0 }

// WriteHeader fixes status and header. Informational statuses are ignored.
func (w *responseWriter) WriteHeader(status int) {
	if w.status != 0 || w.accepted || (status >= 100 && status < 200) {
		return
	}
	if status < 200 || status > 999 {
		status = http.StatusInternalServerError
	}
	w.status, w.sent = status, w.header.Clone()
}

// Write gathers a piece of the body. When the buffer would run over, what it holds
// is flushed, which is an outside wait if the caller is slow. An answer that is
// written at once leaves at once, however large it is: who wants a piece to leave
// before the next one calls Flush.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.act.mu.Lock()
	ev, err := w.act.enterLocked(w.ctx)
	w.act.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case w.accepted:
		return 0, http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if ev.key != nil && len(w.buffer)+len(p) > MaxKeyedAnswerBytes {
		return 0, w.tooLarge()
	}
	over := len(w.buffer) > 0 && len(w.buffer)+len(p) > answerBufferBytes
	if over && ev.key == nil && ev.tx == 0 { // a transaction keeps its batch open
		if err := w.FlushError(); err != nil {
			return 0, err
		}
	}
	w.buffer = append(w.buffer, p...)
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError seals the event's writes and lets what was written so far leave.
func (w *responseWriter) FlushError() error {
	w.act.mu.Lock()
	ev, err := w.act.enterLocked(w.ctx)
	if err == nil && ev.tx > 0 {
		err = ErrInTransaction
	}
	w.act.mu.Unlock()
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	if ev.key != nil {
		return nil // it leaves with its end, or not at all
	}
	if err := w.room(len(w.buffer)); err != nil {
		return err
	}
	w.emit(false)
	w.act.seal(w.ev)
	return nil
}

// room waits, with the gate open, until the caller has taken enough.
func (w *responseWriter) room(n int) error {
	full := w.answer.reserve(n)
	if full == nil {
		return nil
	}
	ev, err := w.act.leave(w.ctx, false)
	if err != nil {
		return err
	}
	for full != nil {
		select {
		case <-full:
		case <-w.act.done:
			return ErrEnded
		}
		full = w.answer.reserve(n)
	}
	return w.act.comeBack(ev)
}

// finish emits what remains. The handler has returned.
func (w *responseWriter) finish() {
	if w.accepted {
		return
	}
	w.WriteHeader(http.StatusOK)
	if !w.headSent && !w.head && bodyAllowed(w.status) && w.sent.Get("Content-Length") == "" && w.sent.Get("Transfer-Encoding") == "" && len(w.trailer()) == 0 {
		w.sent.Set("Content-Length", strconv.Itoa(len(w.buffer)))
	}
	if w.ev.key != nil && headerBytes(w.header)+headerBytes(w.sent) > maxKeyedHeaderBytes {
		_ = w.tooLarge() // tells the caller
		return
	}
	w.emit(true)
}

func (w *responseWriter) emit(end bool) {
	p := part{body: w.buffer, end: end}
	if !w.headSent {
		p.status, p.header = w.status, w.sent
		w.headSent = true
		if end {
			maps.Copy(p.header, w.trailer())
		}
	} else if end {
		p.header = w.trailer()
	}
	w.buffer = nil
	w.act.mu.Lock()
	defer w.act.unlock()
	if w.act.ended {
		return // the event was told
	}
	if end {
		w.act.answeredLocked(w.ev, p)
	}
	w.act.emitLocked(w.ev, func(err error) { w.release(p, err) })
}

func (w *responseWriter) release(p part, err error) {
	if err != nil {
		w.answer.fail(err)
		return
	}
	w.answer.push(p)
}

// acceptLocked answers a request for a WebSocket: 101 leaves in its place among
// the object's outputs.
func (w *responseWriter) acceptLocked(protocol string) {
	w.accepted, w.status = true, http.StatusSwitchingProtocols
	header := w.header.Clone()
	if protocol != "" {
		header.Set("Sec-Websocket-Protocol", protocol)
	}
	p := part{status: w.status, header: header, end: true, upgrade: true}
	w.act.emitLocked(w.ev, func(err error) { w.release(p, err) })
}

func (w *responseWriter) trailer() http.Header { return trailerOf(w.sent, w.header) }

// trailerOf gives the fields of a header that were declared as trailers in the
// header that was sent, or are marked with http.TrailerPrefix.
func trailerOf(sent, header http.Header) http.Header {
	trailer := make(http.Header)
	for _, declared := range sent.Values("Trailer") {
		for key := range strings.SplitSeq(declared, ",") {
			key = http.CanonicalHeaderKey(strings.TrimSpace(key))
			if values, ok := header[key]; ok {
				trailer[key] = values
			}
		}
	}
	for key, values := range header {
		if strings.HasPrefix(key, http.TrailerPrefix) {
			trailer[key] = values
		}
	}
	return trailer
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
