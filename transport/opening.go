package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// openWait bounds how long FrameOpen may take after the answer 101: they come on
// different connections.
const openWait = 5 * time.Second

// opening is the time of a socket from the request that asks for it until its
// object's FrameOpen.
type opening struct {
	// Of the last way that the request went; guarded by room.mu, and result fixed
	// when the request has been answered.
	by     way
	result chan error // one slot
}

// finish says how the opening ended; only the first counts.
func (o *opening) finish(err error) {
	select {
	case o.result <- err:
	default:
	}
}

// prepare makes ready to send a request for a socket to that owner: the owner's
// runtime knows the socket's gateway when it returns nil. An error means that
// certainly nothing ran.
func (rl *Relay) prepare(ctx context.Context, object actor.ID, socket actor.SocketID, session bool, owner Owner) error {
	to, err := rl.wayTo(ctx, owner)
	if err != nil {
		return fmt.Errorf("%w: %w", actor.ErrNotOwner, err)
	}
	rl.rooms.with(streamID{socket.Gateway(), object}, rl.newRoom, func(r *room) {
		s := r.seats[socket]
		if s == nil {
			s = &seat{id: socket, opening: new(opening), session: session}
			r.seats[socket] = s
		}
		if s.opening != nil {
			s.opening.by, s.opening.result = to, make(chan error, 1) // the way before did not own the object
		}
		if to.broken() {
			err = fmt.Errorf("%w: the socket link broke", actor.ErrNotOwner)
		}
	})
	return err
}

// open runs a request for a socket by dispatch, which calls prepare before it sends
// the request anywhere. The 101 is passed on when FrameOpen has come.
func (rl *Relay) open(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID, dispatch func(w http.ResponseWriter) error) error {
	id := streamID{socket.Gateway(), target.ID}
	held := &heldSwitch{ResponseWriter: w}
	answered := false
	defer func() {
		if !answered { // the answer broke off with a panic, and it was none that opens a socket
			rl.rooms.with(id, nil, func(r *room) { delete(r.seats, socket) })
		}
	}()
	err := dispatch(held)
	answered = true
	if err != nil && certainlyNotRun(err) || err == nil && !held.switched {
		rl.rooms.with(id, nil, func(r *room) { delete(r.seats, socket) })
		return err
	}
	if err == nil {
		err = rl.awaitOpen(r.Context(), id, socket)
	}
	if err != nil {
		// Nobody knows whether the object has accepted it, or will.
		rl.SocketLeft(target.ID, socket, lostInfo("the handshake could not be completed"))
		return err
	}
	w.WriteHeader(http.StatusSwitchingProtocols)
	return nil
}

// awaitOpen waits until the object's FrameOpen was given to the gateway.
func (rl *Relay) awaitOpen(ctx context.Context, id streamID, socket actor.SocketID) error {
	var o *opening
	r := rl.rooms.with(id, nil, func(r *room) {
		if s := r.seats[socket]; s != nil {
			o = s.opening
		}
	})
	if r == nil {
		return nil
	}
	if o == nil { // it is open, or has ended; at the latest when the frame in hand is with the gateway
		r.order.Lock()
		defer r.order.Unlock()
		return nil
	}
	timer := time.NewTimer(openWait)
	defer timer.Stop()
	select {
	case err := <-o.result:
		if err != nil {
			return fmt.Errorf("%w: %w", actor.ErrOutcomeUnknown, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%w: %w", actor.ErrOutcomeUnknown, errNotOpened)
	case <-ctx.Done():
		return actor.ErrCallerLeft
	}
}

func certainlyNotRun(err error) bool {
	for _, refusal := range []error{actor.ErrRefused, actor.ErrNotOwner, actor.ErrOverloaded, actor.ErrStorageFull, actor.ErrClosing, actor.ErrUnknownClass} {
		if errors.Is(err, refusal) && !errors.Is(err, actor.ErrOutcomeUnknown) {
			return true
		}
	}
	return false
}

// heldSwitch holds back a 101.
type heldSwitch struct {
	http.ResponseWriter

	switched bool
}

// WriteHeader implements http.ResponseWriter.
func (h *heldSwitch) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		h.switched = true
		return
	}
	h.ResponseWriter.WriteHeader(status)
}

// Flush implements http.Flusher.
func (h *heldSwitch) Flush() { _ = http.NewResponseController(h.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController reach the connection.
func (h *heldSwitch) Unwrap() http.ResponseWriter { return h.ResponseWriter }
