package transport

import (
	"errors"
	"sync"
	"time"

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
// when somebody has proven to be the owner, by FrameAttached; until then the room
// keeps the old one, or none if that is known to be over, and is parked: its
// sockets stay open, and what they say is kept.
type room struct {
	// Fixed after Relay.newRoom.
	relay   *Relay
	id      streamID
	gateway actor.Gateway

	// order is held while a frame is given to the gateway, so that the frames of one
	// way come after those of the way before.
	order sync.Mutex

	mu       sync.Mutex // guards the following fields
	dead     bool       // not in the table any more
	seats    map[actor.SocketID]*seat
	way      way             // nil: nobody is known to be the owner
	last     way             // the one before way became nil
	asked    way             // who was asked to attach
	answer   chan struct{}   // of asked; closed when it has answered
	search   bool            // a search is under way
	watched  <-chan struct{} // what the room is registered under in Relay.watched; guarded by Relay.mu
	ready    []*seat         // those that have something to send
	settled  time.Time       // when way was found
	frame    uint64          // number of the last kept frame that the gateway got
	due      int             // kept frames that came since the owner was last told
	dueBytes int             // of those
	acked    uint64          // number of the frame that it was told

	// Of clients with sessions, see lingering.go.
	sessions  bool        // there may be some
	held      []heldFrame // kept frames that not all of them have confirmed, ascending
	heldBytes int         // of those
	probed    uint64      // number of the last frame of which they were asked
	probedAt  time.Time
	silent    bool // nothing is acknowledged any more
	// Nothing is sent while a way is being asked to attach: a message would come
	// under the attachment, ahead of those that the attachment has sent again.
	attaching bool
	pumping   bool
	rested    sync.Cond // pumping has become false
}

// messageLocked takes a message to be sent, and keeps it until it is acknowledged.
func (r *room) messageLocked(socket actor.SocketID, number uint64, m actor.Message) error {
	s := r.seats[socket]
	if s == nil || s.gone {
		return nil // its end is on its way to the gateway
	}
	if s.full(len(m.Data)) {
		return actor.ErrOverloaded
	}
	s.unacked = append(s.unacked, pending{number, m})
	s.bytes += len(m.Data)
	r.ready = append(r.ready, s)
	return nil
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

// pump sends what waits, in the order of each socket. Only one goroutine does so
// at a time, and looks anew before each message whether it is still wanted.
func (r *room) pump() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pumping {
		return
	}
	r.pumping = true
	for !r.attaching && r.way != nil && len(r.ready) > 0 {
		send := r.nextLocked()
		if send == nil {
			continue
		}
		r.mu.Unlock()
		send()
		r.mu.Lock()
	}
	r.pumping = false
	r.rested.Broadcast()
}

// nextLocked gives what is to be sent next for the first of those that are ready;
// nil if that one has nothing more.
func (r *room) nextLocked() func() {
	s, to := r.ready[0], r.way
	if s.sent < len(s.unacked) {
		p := s.unacked[s.sent]
		s.sent++
		return func() { to.message(r.id, s.id, p.number, p.message) }
	}
	r.ready[0], r.ready = nil, r.ready[1:]
	if s.closing == nil || s.told {
		return nil
	}
	s.told = true
	c := *s.closing
	return func() { to.closed(r.id, s.id, c) }
}

// attach asks a way to attach the room, if that is still to be asked.
func (r *room) attach(to way, a attach) {
	r.mu.Lock()
	r.attaching = true
	for r.pumping {
		r.rested.Wait()
	}
	wanted := r.asked == to
	r.mu.Unlock()
	if wanted {
		to.attach(r.id, a)
	}
	r.mu.Lock()
	r.attaching = false
	r.mu.Unlock()
	r.pump()
}

// take gives a frame to the gateway if it comes from the owner.
func (r *room) take(from way, f actor.Frame) {
	if ack := r.pass(from, f); ack {
		r.acknowledge()
	}
}

// pass is take but for the acknowledgement.
func (r *room) pass(from way, f actor.Frame) (ack bool) {
	r.order.Lock()
	defer r.order.Unlock()
	v := r.admit(from, f)
	for _, socket := range v.ended {
		r.gateway.Deliver(r.id.object, actor.Frame{
			Kind: actor.FrameClose, Socket: socket, Code: websocket.CloseTryAgainLater, Reason: "the object does not know this socket",
		})
	}
	if v.wanted {
		r.gateway.Deliver(r.id.object, f)
	}
	if v.opened != nil {
		v.opened.finish(nil)
	}
	return v.ack
}

// verdict is what becomes of a frame.
type verdict struct {
	wanted bool             // the gateway gets it
	ended  []actor.SocketID // have ended because of it
	opened *opening         // is over with it
	ack    bool             // the owner shall know at once
}

// admit says what becomes of a frame. The caller holds order.
func (r *room) admit(from way, f actor.Frame) (v verdict) {
	r.withLock(func() {
		if f.Kind == actor.FrameAttached {
			if r.asked == from {
				v.ended = r.attachedLocked(from, f.Except)
			}
			return
		}
		s := r.seats[f.Socket]
		if f.Kind == actor.FrameOpen && from != r.way && !r.beginLocked(from) {
			return
		}
		if from != r.way && r.relay.cfg.fault != FaultAnyWay || r.seenLocked(f, &v) {
			return
		}
		if f.Kind == actor.FrameAck && s != nil {
			s.acknowledge(f.Number) // here, so that the gateway's window gets it too, or neither does
		}
		switch {
		case f.Kind == actor.FrameOpen:
			v.wanted, v.opened = r.openLocked(s, f)
		case f.Kind == actor.FrameClose && s != nil:
			v.wanted = r.endLocked(s, f)
		default:
			v.wanted = f.Socket == (actor.SocketID{}) || s != nil && !s.gone
		}
	})
	return v
}

// beginLocked takes FrameOpen, which only an owner sends, from another than the
// room's way. The first socket of a room makes it the way. Where others may have
// missed frames they are attached first, and the frame comes again then.
func (r *room) beginLocked(from way) bool {
	if r.way == nil && r.last == nil && !r.wantedLocked() {
		r.settleLocked(from)
		return true
	}
	r.searchLocked()
	return false
}

// seenLocked says whether a kept frame has come before, from this way or one
// before it, and counts those that have not.
func (r *room) seenLocked(f actor.Frame, v *verdict) bool {
	if f.Number == 0 || f.Kind == actor.FrameAck {
		return false
	}
	if f.Number <= r.frame {
		return r.relay.cfg.fault != FaultNoFilter
	}
	r.frame = f.Number
	r.due++
	r.dueBytes += len(f.Data)
	if r.sessions {
		r.held = append(r.held, heldFrame{f.Number, len(f.Data)})
		r.heldBytes += len(f.Data)
	}
	if v.ack = r.due >= ackFrames || r.dueBytes >= ackBytes; !v.ack && r.due == 1 {
		r.relay.acks.later(r)
	}
	return false
}

// acknowledge tells the owner up to which kept frame the gateway has all for good.
func (r *room) acknowledge() {
	var to way
	var frame uint64
	var ended []actor.SocketID
	ask := false
	r.withLock(func() {
		r.due, r.dueBytes = 0, 0
		if frame = r.settledLocked(); frame > r.acked && !r.silent && r.way != nil {
			to, r.acked = r.way, frame
		}
		ended, ask = r.tooFarLocked(), r.probeDueLocked()
	})
	if to != nil {
		to.acknowledge(r.id, frame)
	}
	if ask {
		r.probe()
	}
	r.end(ended, reasonBehind)
}

// end closes the clients' sides of sockets that cannot go on.
func (r *room) end(sockets []actor.SocketID, reason string) {
	if len(sockets) == 0 {
		return
	}
	r.order.Lock()
	defer r.order.Unlock()
	for _, socket := range sockets {
		r.gateway.Deliver(r.id.object, actor.Frame{Kind: actor.FrameClose, Socket: socket, Code: websocket.CloseTryAgainLater, Reason: reason})
	}
}

// openLocked is the acceptance of a socket by its object.
func (r *room) openLocked(s *seat, f actor.Frame) (wanted bool, opened *opening) {
	if s == nil {
		// Whoever asked for the socket is gone, and the object must hear it.
		r.closeLocked(f.Socket, closing{info: lostInfo("the client left during the handshake")})
		return false, nil
	}
	opened, s.opening = s.opening, nil
	if s.session && opened != nil {
		s.confirmed, r.sessions = r.frame, true
	}
	return opened != nil, opened
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
	r.settleLocked(from)
	return ended
}

// settleLocked makes from the way, on which everything is sent again that was not
// acknowledged.
func (r *room) settleLocked(from way) {
	r.way, r.last, r.settled = from, nil, time.Now()
	r.acked = 0 // whatever the one before was told
	r.relay.acks.later(r)
	r.answeredLocked()
	r.ready = nil
	for _, s := range r.seats {
		s.told = false
		if r.relay.cfg.fault != FaultNoResend {
			s.sent = 0
		}
		if s.closing != nil || len(s.unacked) > 0 {
			r.ready = append(r.ready, s)
		}
	}
	r.relay.spawn(func() {
		r.pump()
		r.relay.watch(r)
	})
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
