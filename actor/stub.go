package actor

import (
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
	return n.stub(Target{Class: n.class, ID: id, Name: name}), nil
}

// ByID gives a stub of the object with that ID, 64 hex digits. The error is ErrBadID.
func (n *Namespace) ByID(id string) (*Stub, error) {
	parsed, err := n.ids.Parse(id)
	if err != nil {
		return nil, err
	}
	return n.stub(Target{Class: n.class, ID: parsed}), nil
}

// Unique gives a stub of an object that never was.
func (n *Namespace) Unique() *Stub {
	return n.stub(Target{Class: n.class, ID: n.ids.Unique()})
}

func (n *Namespace) stub(target Target) *Stub {
	h := n.act.host
	return &Stub{act: n.act, target: target, sequence: &sequence{start: h.start, stub: h.stubs.Add(1)}}
}

// Stub reaches another object, wherever it is. It belongs to the activation
// that made it. Its calls are admitted in the order in which they were started;
// there is no order between stubs.
type Stub struct {
	act      *activation
	target   Target
	sequence *sequence
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
	inner.RequestURI, inner.GetBody = r.URL.RequestURI(), nil
	if inner.Host == "" {
		inner.Host = r.URL.Host
	}
	c := &Call{act: s.act, target: s.target, sequence: s.sequence, socket: socket, request: inner, whole: whole, pump: pump, answer: newAnswer()}
	err = s.act.emitSealed(ctx, true, func(_ *event, err error) { c.send(err) })
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
