package actor

import (
	"errors"
	"time"
)

// attachment asks for the sockets that a gateway holds of an object.
type attachment struct {
	gateway uint64
	sockets []SocketID
}

// Attach connects a gateway to an object of which it holds sockets: after the
// object got a new owner, or the way to it broke. It does not block. Once it is
// proven that this node owns the object the gateway gets FrameAttached, which
// names those of the sockets that the object does not have; without a proof it
// gets nothing. The error means that this node does not own the object.
func (h *Host) Attach(object ID, gateway uint64, sockets []SocketID) error {
	ownership, err := h.committer.Ownership(object)
	if err != nil {
		return err
	}
	target, err := h.target(object)
	if errors.Is(err, ErrUnknownClass) { // an object without a record has no socket
		h.committer.Prove(object, ownership, func(err error) {
			if err == nil {
				h.gateways.deliver(gateway, object, Frame{Kind: FrameAttached, Except: sockets})
			}
		})
		return nil
	}
	if err != nil {
		return err
	}
	for {
		act, _, err := h.activation(target, nil)
		if err != nil {
			return err
		}
		if act.attach(attachment{gateway: gateway, sockets: sockets}) {
			return nil
		}
	}
}

// attach answers when the object's sockets are loaded. It is false if the
// activation has ended.
func (act *activation) attach(a attachment) bool {
	act.mu.Lock()
	defer act.unlock()
	if act.ended {
		return false
	}
	if act.loaded {
		act.attachLocked(a)
	} else {
		act.attaching = append(act.attaching, a)
	}
	return true
}

// attachLocked puts the answer into the object's stream: no frame that was made
// before comes after it.
func (act *activation) attachLocked(a attachment) {
	var gone []SocketID
	for _, id := range a.sockets {
		if act.sockets.byID[id] == nil {
			gone = append(gone, id)
		}
	}
	frame := Frame{Kind: FrameAttached, Except: gone}
	object := act.target.ID
	act.emitLocked(&event{kind: EventTask, act: act, posted: time.Now()}, func(err error) {
		if err == nil {
			act.host.gateways.deliver(a.gateway, object, frame)
		}
	})
}

// loadedLocked answers those who have waited for the object's sockets.
func (act *activation) loadedLocked() {
	act.loaded = true
	waiting := act.attaching
	act.attaching = nil
	if act.ended {
		return // they get no answer, and ask again
	}
	for _, a := range waiting {
		act.attachLocked(a)
	}
}
