package transport

import (
	"errors"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// errMoved ends openings whose way to the owner is gone.
var errMoved = errors.New("transport: the object has moved")

// room is what this node knows of an object whose sockets one of its gateways
// holds: the sockets, and the way to the owner.
//
// A room has at most one way, and frames from any other are dropped: one that
// does not own the object any more has nothing to say. The way changes only
// when somebody has proven to be the owner, by FrameAttached or FrameOpen; until
// then the room keeps the old one, or none if that is known to be over.
type room struct {
	// Fixed after Relay.newRoom.
	relay   *Relay
	id      streamID
	gateway actor.Gateway

	// order is held while a frame is given to the gateway, so that the frames of one
	// way come after those of the way before.
	order sync.Mutex

	mu      sync.Mutex // guards the following fields
	dead    bool       // not in the table any more
	seats   map[actor.SocketID]*seat
	way     way             // nil: nobody is known to be the owner
	last    way             // the one before way became nil
	asked   way             // who was asked to attach
	answer  chan struct{}   // of asked; closed when it has answered
	search  bool            // a search is under way
	watched <-chan struct{} // what the room is registered under in Relay.watched; guarded by Relay.mu
	ready   []*seat         // those that have something to send
	pumping bool
}

// messageLocked takes a message to be sent.
func (r *room) messageLocked(socket actor.SocketID, number uint64, m actor.Message) {
	s := r.seats[socket]
	if s == nil || s.gone {
		return // its end is on its way to the gateway
	}
	s.waiting = append(s.waiting, pending{number, m})
	r.ready = append(r.ready, s)
}

// closeLocked notes that the client's side of a socket has ended.
func (r *room) closeLocked(socket actor.SocketID, c closing) {
	s := r.seats[socket]
	if s == nil {
		s = &seat{id: socket}
		r.seats[socket] = s
	}
	if s.closing != nil {
		return
	}
	s.closing, s.gone, s.told, s.opening = &c, true, false, nil
	if r.way == nil {
		r.searchLocked()
		return
	}
	r.ready = append(r.ready, s)
	r.relay.spawn(r.pump) // the caller may be in the middle of a frame
}

// dropLocked forgets a socket of whose end the object knows.
func (r *room) dropLocked(socket actor.SocketID) { delete(r.seats, socket) }

// pump sends what waits, in the order of each socket. Only one goroutine does so
// at a time.
func (r *room) pump() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pumping {
		return
	}
	r.pumping = true
	for r.way != nil && len(r.ready) > 0 {
		s, to := r.ready[0], r.way
		r.ready[0], r.ready = nil, r.ready[1:]
		waiting := s.waiting
		s.waiting = nil
		var c *closing
		if s.closing != nil && !s.told {
			c, s.told = s.closing, true
		}
		r.mu.Unlock()
		for _, p := range waiting {
			to.message(r.id, s.id, p.number, p.message)
		}
		if c != nil {
			to.closed(r.id, s.id, *c)
		}
		r.mu.Lock()
	}
	r.pumping = false
}

// take gives a frame to the gateway if it comes from the owner.
func (r *room) take(from way, f actor.Frame) {
	r.order.Lock()
	defer r.order.Unlock()
	v := r.admit(from, f)
	for _, socket := range v.ended {
		r.gateway.Deliver(r.id.object, actor.Frame{
			Kind: actor.FrameClose, Socket: socket, Code: websocket.CloseServiceRestart, Reason: "the object has moved",
		})
	}
	if v.wanted {
		r.gateway.Deliver(r.id.object, f)
	}
	if v.opened != nil {
		v.opened.finish(nil)
	}
}

// verdict is what becomes of a frame.
type verdict struct {
	wanted bool             // the gateway gets it
	ended  []actor.SocketID // have ended because of it
	opened *opening         // is over with it
}

// admit says what becomes of a frame. The caller holds order.
func (r *room) admit(from way, f actor.Frame) (v verdict) {
	r.withLock(func() {
		s := r.seats[f.Socket]
		switch {
		case f.Kind == actor.FrameAttached:
			if r.asked == from {
				v.ended = r.attachedLocked(from, f.Except)
			}
		case f.Kind == actor.FrameOpen:
			v = r.openLocked(from, s, f)
		case from != r.way:
		case f.Kind == actor.FrameClose && s != nil:
			v.wanted = r.endLocked(s, f)
		default:
			v.wanted = f.Socket == (actor.SocketID{}) || s != nil && !s.gone
		}
	})
	return v
}

// openLocked is the acceptance of a socket, which only an owner can send.
func (r *room) openLocked(from way, s *seat, f actor.Frame) (v verdict) {
	if s == nil {
		// Whoever asked for the socket is gone, and the object must hear it.
		r.closeLocked(f.Socket, closing{info: lostInfo("the client left during the handshake")})
		return v
	}
	if from != r.way {
		v.ended = r.settleLocked(from)
	}
	v.wanted, v.opened = s.opening != nil, s.opening
	s.opening = nil
	return v
}

// endLocked ends a socket by the will of its object, which knows it then, or of
// the runtime, and then the object has to be told.
func (r *room) endLocked(s *seat, f actor.Frame) (ok bool) {
	ok = !s.gone
	if f.Number > 0 {
		delete(r.seats, s.id)
		return ok
	}
	r.closeLocked(s.id, closing{info: actor.CloseInfo{Code: f.Code, Reason: f.Reason}})
	return ok
}

// attachedLocked is the answer of an owner: it knows all sockets but those that are gone.
func (r *room) attachedLocked(from way, gone []actor.SocketID) (ended []actor.SocketID) {
	for _, id := range gone {
		s := r.seats[id]
		if s == nil || s.opening != nil {
			continue
		}
		if !s.gone {
			ended = append(ended, id)
		}
		delete(r.seats, id)
	}
	return append(ended, r.settleLocked(from)...)
}

// settleLocked makes from the way. What another way had not delivered is lost, so
// the sockets that were open end.
func (r *room) settleLocked(from way) (ended []actor.SocketID) {
	before := r.way
	if before == nil {
		before = r.last
	}
	r.way, r.last = from, nil
	r.answeredLocked()
	r.ready = nil
	for id, s := range r.seats {
		if before != nil && before != from && s.opening == nil && !s.gone {
			ended = append(ended, id)
			s.gone, s.waiting = true, nil
			s.closing = &closing{info: actor.CloseInfo{Code: websocket.CloseServiceRestart, Reason: "the object has moved"}}
		}
		s.told = false
		if s.closing != nil || len(s.waiting) > 0 {
			r.ready = append(r.ready, s)
		}
	}
	r.relay.spawn(func() {
		r.pump()
		r.relay.watch(r)
	})
	return ended
}

// lostLocked notes that from does not lead to the owner any more.
func (r *room) lostLocked(from way) {
	if r.asked == from {
		r.answeredLocked()
	}
	for _, s := range r.seats {
		if s.opening != nil && s.opening.by == from {
			s.opening.finish(errMoved)
		}
	}
	if r.way == from {
		r.way, r.last = nil, from
		r.searchLocked()
	}
}

func (r *room) answeredLocked() {
	if r.asked != nil {
		r.asked = nil
		close(r.answer)
	}
}
