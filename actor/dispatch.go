package actor

import (
	"context"
	"errors"
	"net/http"
)

// Dispatch runs one HTTP-shaped call on an object and writes its answer to w, on
// the caller's goroutine. An error means that nothing was written to w; it says
// what is known of the call: certainly not run, failed, or unknown. A failure
// after the head was written panics with http.ErrAbortHandler. If the client
// leaves, Dispatch returns ErrCallerLeft and the event goes on.
//
// A call with a place among those of its stub (PlaceOf) waits for its turn.
//
// A socket that is not zero is the one that the request asks for. If the object
// accepts it, Dispatch calls w.WriteHeader(101), after its gateway got FrameOpen.
func (h *Host) Dispatch(w http.ResponseWriter, r *http.Request, target Target, socket SocketID) error {
	if h.isClosing() {
		return h.refused(ErrClosing)
	}
	if _, fromObject := PlaceOf(r.Context()); !fromObject {
		if err := h.awaitLeave(r, target.ID); err != nil {
			return err
		}
	}
	ownership, err := h.admit(target)
	if err != nil {
		return h.refused(err)
	}
	a := newAnswer()
	pump, err := h.arrive(w, r, target, socket, ownership, a)
	if pump != nil {
		defer pump.stop()
	}
	if err != nil {
		return h.refused(err)
	}
	return a.copyTo(w, r)
}

// arrive delivers a call that came over the network, in its turn if it has a
// place. The caller stops the pump.
func (h *Host) arrive(w http.ResponseWriter, r *http.Request, target Target, socket SocketID, ownership uint64, a *answer) (pump *bodyPump, err error) {
	place, ordered := PlaceOf(r.Context())
	if !ordered {
		whole, pump, err := h.prepareBody(w, r)
		if err != nil {
			return pump, err
		}
		return pump, h.call(r, target, 0, socket, whole, pump, a)
	}
	turn, err := h.turns.take(r.Context(), place, ownership)
	if err != nil {
		return nil, err
	}
	defer func() { turn.pass(!errors.Is(err, ErrNotOwner)) }()
	whole, pump, err := h.prepareCallBody(w, r)
	if err != nil {
		return pump, err
	}
	return pump, h.call(r, target, ownership, socket, whole, pump, a)
}

// admit refuses a call before anything is done for it, and gives the ownership
// under which it may run.
func (h *Host) admit(target Target) (ownership uint64, err error) {
	if _, ok := h.classes[target.Class]; !ok {
		return 0, ErrUnknownClass
	}
	if h.full() {
		return 0, ErrOverloaded
	}
	return h.committer.Ownership(target.ID)
}

// call delivers a request event whose answer goes to a. It is refused with
// ErrNotOwner if it cannot be posted under that ownership; 0 is any.
func (h *Host) call(r *http.Request, target Target, ownership uint64, socket SocketID, whole []byte, pump *bodyPump, a *answer) error {
	key, err := requestKeyOf(r, socket, whole)
	if err == nil && key != nil && pump != nil {
		err = ErrKeyedBody
	}
	if err != nil {
		return err
	}
	session, r, err := sessionOf(r, socket)
	if err != nil {
		return err
	}
	ev := &event{kind: EventRequest, size: int64(len(whole)), name: target.Name, under: ownership, key: key, fail: a.fail, skip: a.abandoned}
	ev.body = func(ctx context.Context, ev *event) {
		w := &responseWriter{act: ev.act, ev: ev, ctx: ctx, answer: a, upgrade: socket, session: session, head: r.Method == http.MethodHead, header: make(http.Header)}
		ev.act.handle(w, r, whole, pump)
	}
	_, err = h.deliver(target, ev)
	return err
}

func (act *activation) handle(w *responseWriter, r *http.Request, whole []byte, pump *bodyPump) {
	if !act.claim(w.ev, w.answer) {
		return
	}
	r = r.WithContext(w.ctx)
	r.Body = wholeBody(whole)
	if pump != nil {
		if pump.conn == nil {
			defer pump.stop() // nobody else waits for what another object still sends
		}
		r.Body = &streamedBody{act: act, ctx: w.ctx, pump: pump}
	}
	if w.resume(r) {
		return
	}
	act.object.ServeHTTP(w, r)
	w.finish()
}
