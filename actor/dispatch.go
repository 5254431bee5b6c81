package actor

import (
	"context"
	"net/http"
)

// Dispatch runs one HTTP-shaped call on an object and writes its answer to w, on
// the caller's goroutine. An error means that nothing was written to w; it says
// what is known of the call: certainly not run, failed, or unknown. A failure
// after the head was written panics with http.ErrAbortHandler. If the client
// leaves, Dispatch returns ErrCallerLeft and the event goes on.
//
// A socket that is not zero is the one that the request asks for. If the object
// accepts it, Dispatch calls w.WriteHeader(101), after its gateway got FrameOpen.
func (h *Host) Dispatch(w http.ResponseWriter, r *http.Request, target Target, socket SocketID) error {
	if h.isClosing() {
		return h.refused(ErrClosing)
	}
	if err := h.admit(target); err != nil {
		return h.refused(err)
	}
	whole, pump, err := h.prepareBody(w, r)
	if err != nil {
		return h.refused(err)
	}
	if pump != nil {
		defer pump.stop()
	}
	a := newAnswer()
	if err := h.call(r, target, socket, whole, pump, a); err != nil {
		return h.refused(err)
	}
	return a.copyTo(w, r)
}

// admit refuses a call before anything is done for it.
func (h *Host) admit(target Target) error {
	if _, ok := h.classes[target.Class]; !ok {
		return ErrUnknownClass
	}
	if h.full() {
		return ErrOverloaded
	}
	_, err := h.committer.Ownership(target.ID)
	return err
}

// call delivers a request event whose answer goes to a.
func (h *Host) call(r *http.Request, target Target, socket SocketID, whole []byte, pump *bodyPump, a *answer) error {
	ev := &event{kind: EventRequest, size: int64(len(whole)), name: target.Name, fail: a.fail, skip: a.abandoned}
	ev.body = func(ctx context.Context, ev *event) {
		ev.act.handle(ctx, ev, r, socket, whole, pump, a)
	}
	_, err := h.deliver(target, ev)
	return err
}

func (act *activation) handle(ctx context.Context, ev *event, r *http.Request, socket SocketID, whole []byte, pump *bodyPump, a *answer) {
	r = r.WithContext(ctx)
	r.Body = wholeBody(whole)
	if pump != nil {
		if pump.conn == nil {
			defer pump.stop() // nobody else waits for what another object still sends
		}
		r.Body = &streamedBody{act: act, ctx: ctx, pump: pump}
	}
	w := &responseWriter{act: act, ev: ev, ctx: ctx, answer: a, upgrade: socket, head: r.Method == http.MethodHead, header: make(http.Header)}
	act.object.ServeHTTP(w, r)
	w.finish()
}
