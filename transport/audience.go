package transport

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-dev/holdfast/actor"
)

// audienceTable finds the audience of an object.
type audienceTable struct {
	slots [tableSlots]audienceSlot
}

type audienceSlot struct {
	mu        sync.RWMutex // guards audiences, and which of them may be joined
	audiences map[actor.ID]*audience
}

// slot takes a byte of the ID, which is random in every one.
func (t *audienceTable) slot(object actor.ID) *audienceSlot {
	return &t.slots[object[0]%tableSlots]
}

func (t *audienceTable) get(object actor.ID) *audience {
	slot := t.slot(object)
	slot.mu.RLock()
	defer slot.mu.RUnlock()
	return slot.audiences[object]
}

// join opens a pending socket and puts it into its object's audience. It is
// false if the socket has ended.
func (t *audienceTable) join(s *socket, frame actor.Frame) bool {
	slot := t.slot(s.object)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	a := slot.audiences[s.object]
	if a == nil {
		a = new(audience)
	}
	if !s.open(a, frame) {
		return false
	}
	if slot.audiences == nil {
		slot.audiences = make(map[actor.ID]*audience)
	}
	slot.audiences[s.object] = a
	a.auto.Store(frame.Auto)
	a.join(s)
	return true
}

// leave removes a socket that has joined, and its audience if it was the last.
func (t *audienceTable) leave(s *socket) {
	slot := t.slot(s.object)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if s.audience.leave(s) {
		delete(slot.audiences, s.object)
	}
}

// audience is the sockets of one object at this gateway. It exists while there
// is one.
type audience struct {
	auto atomic.Pointer[actor.AutoReply] // nil: none

	mu       sync.Mutex // guards the following fields
	sockets  []*socket  // socket.seat is the index here
	tagged   map[string]map[*socket]struct{}
	sessions map[*socket]struct{} // those with a session
}

// join adds a socket with its tags.
func (a *audience) join(s *socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.seat = len(a.sockets)
	a.sockets = append(a.sockets, s)
	if s.session {
		if a.sessions == nil {
			a.sessions = make(map[*socket]struct{})
		}
		a.sessions[s] = struct{}{}
	}
	for _, tag := range s.tags {
		if a.tagged == nil {
			a.tagged = make(map[string]map[*socket]struct{})
		}
		if a.tagged[tag] == nil {
			a.tagged[tag] = make(map[*socket]struct{})
		}
		a.tagged[tag][s] = struct{}{}
	}
}

// leave removes a socket and says whether it was the last.
func (a *audience) leave(s *socket) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := len(a.sockets) - 1
	a.sockets[s.seat] = a.sockets[last]
	a.sockets[s.seat].seat = s.seat
	a.sockets[last] = nil
	a.sockets = a.sockets[:last]
	delete(a.sessions, s)
	for _, tag := range s.tags {
		delete(a.tagged[tag], s)
		if len(a.tagged[tag]) == 0 {
			delete(a.tagged, tag)
		}
	}
	return last == 0
}

// broadcast queues one frame, shared, on every socket that the filter takes.
func (a *audience) broadcast(frame []byte, tag string, except []actor.SocketID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if tag != "" {
		for s := range a.tagged[tag] {
			if !slices.Contains(except, s.id) {
				s.send(frame)
			}
		}
		return
	}
	if len(except) == 0 {
		for _, s := range a.sockets {
			s.send(frame)
		}
		return
	}
	skip := make(map[actor.SocketID]struct{}, len(except))
	for _, id := range except {
		skip[id] = struct{}{}
	}
	for _, s := range a.sockets {
		if _, ok := skip[s.id]; !ok {
			s.send(frame)
		}
	}
}
