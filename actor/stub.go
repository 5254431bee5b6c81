package actor

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Namespace holds the objects of one class, as another object reaches them.
type Namespace struct {
	act   *activation
	class string
	ids   IDSource
}

// Namespace gives the namespace of a class. The error is ErrUnknownClass.
func (s *State) Namespace(class string) (*Namespace, error) {
	ids, ok := s.act.host.IDs(class)
	if !ok {
		return nil, ErrUnknownClass
	}
	return &Namespace{act: s.act, class: class, ids: ids}, nil
}

// Named gives a stub of the object with that name. It reaches nothing yet.
func (n *Namespace) Named(name string) (*Stub, error) {
	id, err := n.ids.Named(name)
	if err != nil {
		return nil, err
	}
	return &Stub{act: n.act, target: Target{Class: n.class, ID: id, Name: name}}, nil
}

// ByID gives a stub of the object with that ID, 64 hex digits. The error is ErrBadID.
func (n *Namespace) ByID(id string) (*Stub, error) {
	parsed, err := n.ids.Parse(id)
	if err != nil {
		return nil, err
	}
	return &Stub{act: n.act, target: Target{Class: n.class, ID: parsed}}, nil
}

// Unique gives a stub of an object that never was.
func (n *Namespace) Unique() *Stub {
	return &Stub{act: n.act, target: Target{Class: n.class, ID: n.ids.Unique()}}
}

// Stub reaches another object, wherever it is. It belongs to the activation
// that made it. Its calls are admitted in the order in which they were started;
// there is no order between stubs.
type Stub struct {
	act    *activation
	target Target
}

// ID gives the ID of the object.
func (s *Stub) ID() ID { return s.target.ID }

// Do starts a call and waits for its response: Start, then Call.Response.
func (s *Stub) Do(ctx context.Context, r *http.Request) (*http.Response, error) {
	call, err := s.Start(ctx, r)
	if err != nil {
		return nil, err
	}
	return call.Response(ctx)
}

// Start starts a call. It seals the event's writes; the call leaves when they
// are durable. The URL's host means nothing; path, query, header and body reach
// the object. A body whose length is known, up to 1 MiB, is read now; another one
// is read while the object reads it, on another goroutine.
func (s *Stub) Start(ctx context.Context, r *http.Request) (*Call, error) {
	return s.start(ctx, r, SocketID{})
}

func (s *Stub) start(ctx context.Context, r *http.Request, socket SocketID) (*Call, error) {
	whole, pump, err := callBody(r)
	if err != nil {
		return nil, err
	}
	inner := r.Clone(context.Background())
	inner.RequestURI = r.URL.RequestURI()
	if inner.Host == "" {
		inner.Host = r.URL.Host
	}
	c := &Call{act: s.act, answer: newAnswer(), pump: pump}
	err = s.act.emitSealed(ctx, true, func(_ *event, err error) {
		if err == nil {
			if err = s.act.host.admit(s.target); err == nil {
				err = s.act.host.call(inner, s.target, socket, whole, pump, c.answer)
			}
		}
		if err != nil {
			c.answer.fail(err)
			c.stopBody()
		}
	})
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func callBody(r *http.Request) (whole []byte, pump *bodyPump, err error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return nil, nil, nil
	case r.GetBody != nil && r.ContentLength >= 0 && r.ContentLength <= bodyBytes:
		whole, err = io.ReadAll(r.Body)
		return whole, nil, err
	default:
		return nil, startPump(r.Body, nil), nil
	}
}

// Call is a call under way.
type Call struct {
	act    *activation
	answer *answer
	pump   *bodyPump
}

// Response waits for the response's head; it is an outside wait. The body is
// there already if it was short; otherwise reading it is an outside wait too. It
// must be closed. The error says what is known of the call, as for any caller:
// a refusal means that it certainly did not run, ErrOutcomeUnknown that nobody can tell.
func (c *Call) Response(ctx context.Context) (*http.Response, error) {
	var head part
	var failure error
	err := c.outside(ctx, func() { head, failure = c.answer.take(c.act.done) })
	if err == nil {
		err = failure
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
		answer: c.answer, left: c.act.done, current: head.body, trailer: resp.Trailer,
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
