package transport

import (
	"encoding/binary"
	"sync"

	"github.com/holdfast-dev/holdfast/actor"
)

// tableSlots is how many parts a socketTable has.
const tableSlots = 32

// socketTable finds sockets by their numbers. Its parts have locks of their own,
// and are what the pinger and Close take one at a time.
type socketTable struct {
	slots [tableSlots]socketSlot
}

type socketSlot struct {
	mu      sync.Mutex // guards sockets
	sockets map[uint64]*socket
}

func (t *socketTable) slot(id actor.SocketID) (*socketSlot, uint64) {
	number := binary.BigEndian.Uint64(id[8:])
	return &t.slots[number%tableSlots], number
}

func (t *socketTable) add(s *socket) {
	slot, number := t.slot(s.id)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.sockets == nil {
		slot.sockets = make(map[uint64]*socket)
	}
	slot.sockets[number] = s
}

func (t *socketTable) remove(s *socket) {
	slot, number := t.slot(s.id)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	delete(slot.sockets, number)
}

func (t *socketTable) get(id actor.SocketID) *socket {
	slot, number := t.slot(id)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	return slot.sockets[number]
}

// list gives the sockets of a slot at this moment.
func (slot *socketSlot) list() []*socket {
	slot.mu.Lock()
	defer slot.mu.Unlock()
	list := make([]*socket, 0, len(slot.sockets))
	for _, s := range slot.sockets {
		list = append(list, s)
	}
	return list
}
