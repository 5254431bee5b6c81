package transport

import (
	"context"
	"sync"

	"github.com/holdfast-dev/holdfast/actor"
)

// roomTable finds rooms. A room is there as long as it has a seat.
type roomTable struct {
	slots [tableSlots]roomSlot
}

type roomSlot struct {
	mu    sync.Mutex // guards the following fields
	rooms map[streamID]*room
	empty chan struct{} // not nil: closed when the last room has gone
}

func (t *roomTable) slot(id streamID) *roomSlot { return &t.slots[id.object[0]%tableSlots] }

func (t *roomTable) get(id streamID) *room {
	slot := t.slot(id)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	return slot.rooms[id]
}

// with calls f with the room and its lock held, unless there is none and create
// is nil. A room that has no seat afterwards is forgotten.
func (t *roomTable) with(id streamID, create func(streamID) *room, f func(r *room)) *room {
	slot := t.slot(id)
	for {
		slot.mu.Lock()
		r := slot.rooms[id]
		if r == nil {
			if create == nil {
				slot.mu.Unlock()
				return nil
			}
			r = create(id)
			if slot.rooms == nil {
				slot.rooms = make(map[streamID]*room)
			}
			slot.rooms[id] = r
		}
		slot.mu.Unlock()
		r.mu.Lock()
		if r.dead {
			r.mu.Unlock()
			continue
		}
		f(r)
		empty := len(r.seats) == 0
		r.mu.Unlock()
		if empty {
			slot.forget(r)
		}
		return r
	}
}

func (slot *roomSlot) forget(r *room) {
	slot.mu.Lock()
	defer slot.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seats) > 0 || r.dead {
		return
	}
	r.dead = true
	delete(slot.rooms, r.id)
	r.relay.unwatch(r)
	if len(slot.rooms) == 0 && slot.empty != nil {
		close(slot.empty)
		slot.empty = nil
	}
}

// all gives the rooms of this moment.
func (t *roomTable) all() []*room {
	var all []*room
	for i := range t.slots {
		slot := &t.slots[i]
		slot.mu.Lock()
		for _, r := range slot.rooms {
			all = append(all, r)
		}
		slot.mu.Unlock()
	}
	return all
}

// drained waits until no room is left, or ctx has ended.
func (t *roomTable) drained(ctx context.Context) {
	for i := range t.slots {
		slot := &t.slots[i]
		slot.mu.Lock()
		if len(slot.rooms) == 0 {
			slot.mu.Unlock()
			continue
		}
		if slot.empty == nil {
			slot.empty = make(chan struct{})
		}
		empty := slot.empty
		slot.mu.Unlock()
		select {
		case <-empty:
		case <-ctx.Done():
			return
		}
	}
}

// Bounds of what is kept of one socket until it is acknowledged. Windows of
// clients are smaller; these are for the sockets that objects dial.
const (
	maxUnacked      = 1024
	maxUnackedBytes = 16 << 20
)

// seat is a socket of a room, from the request that asks for it until its object
// knows of its end.
type seat struct {
	id      actor.SocketID
	opening *opening  // not nil: the object has not accepted it yet
	gone    bool      // its gateway knows that it has ended
	unacked []pending // messages that the object has not acknowledged
	bytes   int       // of unacked
	sent    int       // of unacked, on the way that the room has now
	closing *closing  // the client's side is gone, which the object does not know yet
	told    bool      // closing is on its way

	session   bool     // the client may come back by another connection
	confirmed uint64   // number of the last kept frame that it has got for certain
	left      *closing // its connection is gone, and the object hears so if it does not come back in time
}

// pending is a message that may have to be sent again.
type pending struct {
	number  uint64
	message actor.Message
}

// acknowledge lets go the messages up to number: those of one socket take effect in order.
func (s *seat) acknowledge(number uint64) {
	n := 0
	for n < len(s.unacked) && s.unacked[n].number <= number {
		s.bytes -= len(s.unacked[n].message.Data)
		n++
	}
	if n == len(s.unacked) {
		s.unacked = nil
	} else {
		rest := copy(s.unacked, s.unacked[n:])
		clear(s.unacked[rest:])
		s.unacked = s.unacked[:rest]
	}
	s.sent = max(0, s.sent-n)
}

// full says whether one more message would be too much for a socket without a window.
func (s *seat) full(size int) bool {
	return len(s.unacked) >= maxUnacked || (len(s.unacked) > 0 && s.bytes+size > maxUnackedBytes)
}
