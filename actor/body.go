package actor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// A request body of up to bodyBytes is read before its event starts, so that
// ordinary handlers never open the gate by reading. What is longer, or comes
// slowly, is streamed by a pump that the caller's goroutine owns.

// prepareBody reads the body as far as the rules go. What it holds meanwhile
// counts against the host's MaxBytes. The returned pump, if not nil, must be
// stopped by the caller before it returns from its own handler.
func (h *Host) prepareBody(w http.ResponseWriter, r *http.Request) (whole []byte, pump *bodyPump, err error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0:
		return nil, nil, nil
	case hasRequestKey(r, SocketID{}):
		whole, err = h.readKeyedBody(w, r)
		return whole, nil, err
	case r.ContentLength > 0 && r.ContentLength <= bodyBytes:
		h.bytes.Add(r.ContentLength)
		defer h.bytes.Add(-r.ContentLength)
		whole, err = readWhole(w, r)
		return whole, nil, err
	default:
		h.bytes.Add(bodyBytes)
		defer h.bytes.Add(-bodyBytes)
		pump = startPump(r.Body, http.NewResponseController(w))
		whole, done, err := pump.prefill(r.Context().Done())
		if err != nil {
			pump.stop()
			return nil, nil, err
		}
		if done {
			pump.stop()
			return whole, nil, nil
		}
		return nil, pump, nil
	}
}

// prepareCallBody is prepareBody for the call of a stub: it is ready at once, or
// streamed, since the next calls of the stub wait for this one to be admitted.
func (h *Host) prepareCallBody(w http.ResponseWriter, r *http.Request) (whole []byte, pump *bodyPump, err error) {
	if r.Body != nil && r.Body != http.NoBody && (r.ContentLength < 0 || r.ContentLength > bodyBytes) {
		return nil, startPump(r.Body, http.NewResponseController(w)), nil
	}
	return h.prepareBody(w, r)
}

// readWhole reads a body whose length is known. The deadline needs a
// ResponseWriter that can set one; a body in memory needs none. A deadline that
// struck stays, so that nobody waits for the rest of the body after the answer.
func readWhole(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(w)
	timed := rc.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	whole := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, whole)
	if timed && err == nil {
		_ = rc.SetReadDeadline(time.Time{})
	}
	return whole, bodyError(err)
}

func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrBodyTimeout
	case errors.As(err, &tooLarge):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
}

// bodyPump reads a body into a bounded buffer on a goroutine of its own.
type bodyPump struct {
	// Fixed.
	body io.ReadCloser
	conn *http.ResponseController // of the client's connection; nil for a body that an object made
	over chan struct{}            // closed when the goroutine has ended

	mu     sync.Mutex // guards the following fields
	data   []byte     // read and not taken
	err    error      // after data; io.EOF at the end
	closed bool       // nobody takes any more
	change signal
}

func startPump(body io.ReadCloser, conn *http.ResponseController) *bodyPump {
	p := &bodyPump{body: body, conn: conn, over: make(chan struct{})}
	go p.run()
	return p
}

func (p *bodyPump) run() {
	defer close(p.over)
	buf := make([]byte, 32<<10)
	for {
		n, err := p.body.Read(buf)
		p.mu.Lock()
		p.data = append(p.data, buf[:n]...)
		if err != nil {
			p.err = err
		}
		p.change.broadcast()
		for len(p.data) >= bodyBytes && !p.closed {
			wait := p.change.waitLocked()
			p.mu.Unlock()
			<-wait
			p.mu.Lock()
		}
		stop := p.closed || p.err != nil
		p.mu.Unlock()
		if stop {
			return
		}
	}
}

// stop ends the pump and waits for it. A Read that waits for a client is ended
// by a deadline: the connection cannot be used again then, which is right, since
// the rest of the body would come first. A body that an object made is closed,
// and its Read is the object's affair.
func (p *bodyPump) stop() {
	p.mu.Lock()
	p.closed, p.data = true, nil
	p.change.broadcast()
	ended := p.err != nil
	p.mu.Unlock()
	if ended {
		return
	}
	if p.conn != nil && p.conn.SetReadDeadline(time.Now()) == nil {
		<-p.over
		return
	}
	_ = p.body.Close()
}

// prefill waits until the body has ended (done), is longer than bodyBytes, or
// comes too slowly.
func (p *bodyPump) prefill(left <-chan struct{}) (whole []byte, done bool, err error) {
	silence := time.NewTimer(bodySilence)
	defer silence.Stop()
	patience := time.NewTimer(bodyTimeout)
	defer patience.Stop()
	for {
		p.mu.Lock()
		switch {
		case errors.Is(p.err, io.EOF):
			defer p.mu.Unlock()
			return p.data, true, nil
		case p.err != nil:
			defer p.mu.Unlock()
			return nil, false, bodyError(p.err)
		case len(p.data) >= bodyBytes:
			defer p.mu.Unlock()
			return nil, false, nil
		}
		change := p.change.waitLocked()
		p.mu.Unlock()
		select {
		case <-change:
			silence.Reset(bodySilence)
		case <-silence.C:
			return nil, false, nil
		case <-patience.C:
			return nil, false, nil
		case <-left:
			return nil, false, ErrCallerLeft
		}
	}
}

// take gives what was read, or a channel that is closed when there is more.
func (p *bodyPump) take(buf []byte) (n int, more <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, nil, ErrCallerLeft
	case len(p.data) > 0:
		n = copy(buf, p.data)
		p.data = p.data[n:]
		p.change.broadcast()
		return n, nil, nil
	case p.err != nil:
		return 0, nil, p.err
	}
	return 0, p.change.waitLocked(), nil
}

// streamedBody is a body that a handler reads while it arrives.
type streamedBody struct {
	act  *activation
	ctx  context.Context
	pump *bodyPump
}

// Read opens the gate while it waits for the client.
func (b *streamedBody) Read(p []byte) (int, error) {
	n, more, err := b.pump.take(p)
	if more == nil {
		return n, err
	}
	ev, err := b.act.leave(b.ctx, false)
	if err != nil {
		return 0, err
	}
	for more != nil {
		select {
		case <-more:
		case <-b.act.done:
			return 0, ErrEnded
		}
		n, more, err = b.pump.take(p)
	}
	if back := b.act.comeBack(ev); back != nil {
		return 0, back
	}
	return n, err
}

// Close implements io.Closer. What was not read is dropped at the end of the call.
func (b *streamedBody) Close() error { return nil }

func wholeBody(whole []byte) io.ReadCloser {
	if len(whole) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(whole))
}
