package transport

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// Bounds of what a gateway holds open for clients that have not confirmed it.
const (
	// lingerTime is how long a client whose connection is gone may stay away.
	lingerTime = 30 * time.Second
	// maxLingering is how many of them there may be; beyond it the first that left is given up.
	maxLingering = 65_536
	// heldFrames and heldBytes are how much a client may not have confirmed: some of
	// what an object keeps for all its gateways.
	heldFrames = 2048
	heldBytes  = 2 << 20
	// probePause is the time between two questions to the same clients, unless
	// probeFrames have come since.
	probePause  = 250 * time.Millisecond
	probeFrames = 256
)

// SocketLeft tells that a client has left that may come back, see Sessions. Its
// object hears nothing for lingerTime; until then, or until the client has come back
// here or elsewhere, frames that it has not confirmed are not acknowledged.
func (rl *Relay) SocketLeft(object actor.ID, socket actor.SocketID, info actor.CloseInfo) {
	id := streamID{socket.Gateway(), object}
	lingers := false
	rl.rooms.with(id, rl.newRoom, func(r *room) { lingers = r.leaveLocked(socket, info) })
	if lingers {
		rl.lingering.add(id, socket)
	}
}

// Confirmed takes a client's confirmation, see Sessions.
func (rl *Relay) Confirmed(object actor.ID, socket actor.SocketID, number uint64) {
	rl.rooms.with(streamID{socket.Gateway(), object}, nil, func(r *room) {
		if s := r.seats[socket]; s != nil && number > s.confirmed {
			s.confirmed = min(number, r.frame)
			rl.acks.later(r)
		}
	})
}

// leaveLocked is false for a socket that has no session, or none any more.
func (r *room) leaveLocked(socket actor.SocketID, info actor.CloseInfo) bool {
	s := r.seats[socket]
	if s == nil || !s.session || s.closing != nil {
		r.closeLocked(socket, closing{info: info})
		return false
	}
	if s.opening != nil { // it may have been accepted, or will be
		s.opening, s.confirmed, r.sessions = nil, r.frame, true
	}
	s.gone, s.left = true, &closing{info: info}
	return true
}

// settledLocked gives the number up to which the gateway has all kept frames for
// good: it has put them into its sockets' queues, and clients with a session have
// confirmed them.
func (r *room) settledLocked() uint64 {
	settled := r.frame
	if !r.sessions || r.relay.cfg.fault == FaultUnconfirmed {
		r.held, r.heldBytes = nil, 0
		return settled
	}
	r.sessions = false
	for _, s := range r.seats {
		if s.session && s.opening == nil && s.closing == nil {
			r.sessions = true
			settled = min(settled, s.confirmed)
		}
	}
	n := 0
	for n < len(r.held) && r.held[n].number <= settled {
		r.heldBytes -= r.held[n].bytes
		n++
	}
	r.held = r.held[n:]
	return settled
}

// reasonBehind is what a client hears that does not confirm what it got.
const reasonBehind = "the client is too far behind"

// heldFrame is a kept frame that a client with a session has not confirmed.
type heldFrame struct {
	number uint64
	bytes  int
}

// tooFarLocked takes the sockets that have confirmed too little, and ends them:
// nobody may go on with a gap.
func (r *room) tooFarLocked() (ended []actor.SocketID) {
	if len(r.held) <= heldFrames && r.heldBytes <= heldBytes {
		return nil
	}
	half := r.held[len(r.held)/2].number
	for id, s := range r.seats {
		if !s.session || s.opening != nil || s.closing != nil || s.confirmed >= half {
			continue
		}
		end := closing{info: actor.CloseInfo{Code: websocket.CloseTryAgainLater, Reason: reasonBehind}}
		if s.left != nil {
			end = *s.left
		} else {
			ended = append(ended, id)
		}
		r.closeLocked(id, end)
	}
	return ended
}

// probeDueLocked says whether clients are to be asked now what they have got.
func (r *room) probeDueLocked() bool {
	if !r.sessions || r.probed >= r.frame {
		return false
	}
	if now := time.Now(); now.Sub(r.probedAt) >= probePause || r.frame-r.probed >= probeFrames {
		r.probed, r.probedAt = r.frame, now
		return true
	}
	r.relay.acks.later(r)
	return false
}

// probe asks the clients with sessions how far they are.
func (r *room) probe() {
	p, ok := r.gateway.(interface {
		probe(object actor.ID, number uint64)
	})
	if !ok {
		return
	}
	r.order.Lock()
	defer r.order.Unlock()
	r.mu.Lock()
	number := r.frame
	r.mu.Unlock()
	p.probe(r.id.object, number)
}

// retire forgets those who linger, because this node stops: their owners find that
// the gateway is over. What they have not confirmed is never acknowledged.
func (r *room) retire() {
	r.withLock(func() {
		for id, s := range r.seats {
			if s.left != nil && s.closing == nil {
				r.silent = true
				delete(r.seats, id)
			}
		}
	})
}

// lingering ends, in time, the sockets of clients that do not come back.
type lingering struct {
	relay *Relay

	mu    sync.Mutex // guards the following fields
	queue []absent   // in the order in which their time is up
	runs  bool
}

// absent is a client that has left.
type absent struct {
	id     streamID
	socket actor.SocketID
	until  time.Time
}

func (l *lingering) add(id streamID, socket actor.SocketID) {
	var first *absent
	l.mu.Lock()
	if len(l.queue) >= maxLingering {
		first = &l.queue[0]
		l.queue = l.queue[1:]
	}
	l.queue = append(l.queue, absent{id, socket, time.Now().Add(lingerTime)})
	if !l.runs {
		l.runs = l.relay.spawn(l.run)
	}
	l.mu.Unlock()
	if first != nil {
		l.relay.giveUpOn(*first)
	}
}

// run waits for one after the other until nobody is away.
func (l *lingering) run() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.runs, l.queue = false, nil
			l.mu.Unlock()
			return
		}
		first := l.queue[0]
		l.mu.Unlock()
		wait(l.relay.ctx, time.Until(first.until))
		if l.relay.ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		mine := len(l.queue) > 0 && l.queue[0] == first
		if mine {
			l.queue = l.queue[1:]
		}
		l.mu.Unlock()
		if mine {
			l.relay.giveUpOn(first)
		}
	}
}

// giveUpOn tells the object that a client has left for good.
func (rl *Relay) giveUpOn(a absent) {
	rl.rooms.with(a.id, nil, func(r *room) {
		if s := r.seats[a.socket]; s != nil && s.left != nil && s.closing == nil {
			r.closeLocked(a.socket, *s.left)
		}
	})
}
