package actor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Call is a call under way.
type Call struct {
	// Fixed.
	act      *activation
	target   Target
	sequence *sequence // of its stub
	socket   SocketID  // that it asks for; zero = none
	request  *http.Request
	whole    []byte    // the body, if it was read before
	pump     *bodyPump // the body, if it is read while it is sent; else nil
	answer   *answer   // as the caller sees it

	number uint64 // in its sequence, from the moment on when it is sent
}

// send runs in the output gate, so the calls of a stub are sent in the order in
// which they were started. An object of this node gets the call at once; another
// is reached by way of the router, whose goroutine it is then.
func (c *Call) send(err error) {
	if err == nil {
		err = c.dispatch()
	}
	if err != nil {
		c.answer.fail(err)
		c.stopBody()
	}
}

func (c *Call) dispatch() error {
	h := c.act.host
	ownership, err := h.admit(c.target)
	alone := h.router == Router(h)
	if err != nil && (alone || !errors.Is(err, ErrNotOwner)) {
		return err
	}
	number, direct, err := c.sequence.next(ownership)
	if err != nil {
		return err
	}
	c.number = number
	c.answer.onSettle(c, direct && !alone && c.pump == nil) // of a streamed body a part may be gone
	switch {
	case alone:
		return h.call(c.request, c.target, 0, c.socket, c.whole, c.pump, c.answer)
	case direct:
		err := h.call(c.request, c.target, ownership, c.socket, c.whole, c.pump, c.answer)
		if !errors.Is(err, ErrNotOwner) {
			return err
		}
		c.sequence.detour()
		c.answer.onSettle(c, false)
	}
	return h.errand(func() { c.route(c.answer) })
}

// sendAgain sends a call that was posted here and has lost its owner by way of
// the router.
func (c *Call) sendAgain(next *answer) {
	c.sequence.detour()
	next.onSettle(c, false)
	if err := c.act.host.errand(func() { c.route(next) }); err != nil {
		next.fail(err)
	}
}

// route makes the call by way of the router. It ends with the answer, with the
// activation that made the call, or when nobody takes the answer any more.
func (c *Call) route(a *answer) {
	h := c.act.host
	h.bytes.Add(int64(len(c.whole)))
	defer h.bytes.Add(-int64(len(c.whole)))
	ctx, cancel := context.WithCancel(&eventContext{done: c.act.done})
	defer cancel()
	a.onLeave(cancel)
	if h.fault != FaultUnordered {
		ctx = WithPlace(ctx, func() Place { return c.sequence.place(c.number) })
	}
	r := c.request.WithContext(ctx)
	r.Body, r.ContentLength = wholeBody(c.whole), int64(len(c.whole))
	if c.pump != nil {
		defer c.pump.stop()
		r.Body, r.ContentLength = &pumpReader{c.pump}, -1
	}
	w := &routedAnswer{answer: a, left: ctx.Done(), header: make(http.Header)}
	w.finish(w.run(func() error { return h.router.Dispatch(w, r, c.target, c.socket) }))
}

// Response waits for the response's head; it is an outside wait. The body is
// there already if it was short; otherwise reading it is an outside wait too. It
// must be closed. The error says what is known of the call, as for any caller:
// a refusal means that it certainly did not run, ErrOutcomeUnknown that nobody can
// tell, which is also what a deadline of ctx gives.
func (c *Call) Response(ctx context.Context) (*http.Response, error) {
	var head part
	var failure error
	err := c.outside(ctx, func() { head, failure = c.answer.take(ctx.Done()) })
	if err == nil {
		err = failure
	}
	if errors.Is(err, ErrCallerLeft) {
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, context.Cause(ctx))
	}
	if err != nil {
		c.close()
		return nil, err
	}
	resp := &http.Response{
		Status: http.StatusText(head.status), StatusCode: head.status, Header: head.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Trailer: make(http.Header),
	}
	if head.end {
		c.close()
		resp.ContentLength = int64(len(head.body))
		resp.Body = io.NopCloser(bytes.NewReader(head.body))
		return resp, nil
	}
	resp.Body = &callBodyReader{call: c, answerBody: answerBody{
		answer: c.answer, left: ctx.Done(), current: head.body, trailer: resp.Trailer,
		wait: func(f func()) error { return c.outside(ctx, f) },
	}}
	return resp, nil
}

// outside runs f with the gate open.
func (c *Call) outside(ctx context.Context, f func()) error {
	ev, err := c.act.leave(ctx, false)
	if err != nil {
		return err
	}
	f()
	return c.act.comeBack(ev)
}

func (c *Call) close() {
	c.answer.leave()
	c.stopBody()
}

func (c *Call) stopBody() {
	if c.pump != nil {
		c.pump.stop()
	}
}

type callBodyReader struct {
	answerBody
	call *Call
}

func (b *callBodyReader) Close() error {
	b.call.close()
	return nil
}

// pumpReader is what a pump has read, for a reader that holds no gate.
type pumpReader struct {
	pump *bodyPump
}

// Read implements io.Reader.
func (b *pumpReader) Read(p []byte) (int, error) {
	for {
		n, more, err := b.pump.take(p)
		if more == nil {
			return n, err
		}
		<-more
	}
}

// Close implements io.Closer. The call stops the pump at its end.
func (b *pumpReader) Close() error { return nil }
