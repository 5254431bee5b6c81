package actor

import (
	"errors"
	"slices"
	"time"
)

// attachment asks for the sockets that a gateway holds of an object.
type attachment struct {
	gateway uint64
	sockets []SocketID
	last    uint64
}

// Attach connects a gateway to an object of which it holds sockets: after the
// object got a new owner, or the way to it broke. It does not block. Once it is
// proven that this node owns the object the gateway gets FrameAttached, which
// names those of the sockets that the object does not have, then the kept frames
// after number last, and then whatever the object makes. Without a proof it gets
// nothing. The error means that this node does not own the object.
func (h *Host) Attach(object ID, gateway uint64, sockets []SocketID, last uint64) error {
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
		if act.attach(attachment{gateway: gateway, sockets: sockets, last: last}) {
			return nil
		}
	}
}

// Acknowledge tells that a gateway has put the object's kept frames up to that
// number into its sockets' queues. It does not block.
func (h *Host) Acknowledge(object ID, gateway, number uint64) {
	h.mu.Lock()
	act := h.table[object]
	h.mu.Unlock()
	if act == nil {
		return // it left memory; a later acknowledgement says the same
	}
	act.mu.Lock()
	defer act.mu.Unlock()
	act.acknowledgedLocked(gateway, number)
}

func (act *activation) acknowledgedLocked(gateway, number uint64) {
	if !act.ended {
		act.changeOutboxLocked(func(o *outbox) { o.acknowledge(gateway, number) })
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

// attachLocked puts the answer into the object's stream. When it leaves, all
// frames before it have been sent, to whoever was the gateway then, so that what
// the gateway missed is known exactly.
func (act *activation) attachLocked(a attachment) {
	act.emitLocked(&event{kind: EventTask, act: act, posted: time.Now()}, func(err error) {
		if err != nil {
			return
		}
		act.mu.Lock()
		act.acknowledgedLocked(a.gateway, a.last)
		missed := act.withoutEndedLocked(act.outbox.after(a.gateway, a.last))
		gone := act.goneLocked(a.sockets, missed)
		act.mu.Unlock()
		deliver := func(f Frame) { act.host.gateways.deliver(a.gateway, act.target.ID, f) }
		deliver(Frame{Kind: FrameAttached, Except: gone})
		for _, f := range missed {
			deliver(f)
		}
	})
}

// withoutEndedLocked leaves out the openings of sockets whose gateway has ended
// them. It has no use for them and would end them again, for which it has to
// attach: both would be at it for ever.
func (act *activation) withoutEndedLocked(missed []Frame) []Frame {
	var opened []SocketID
	for _, f := range missed {
		if f.Kind == FrameOpen {
			opened = append(opened, f.Socket)
		}
	}
	ended := act.goneLocked(opened, missed)
	return slices.DeleteFunc(missed, func(f Frame) bool { return f.Kind == FrameOpen && slices.Contains(ended, f.Socket) })
}

// goneLocked gives the sockets that the object does not have, but for those whose
// close is among the frames that follow, or may still be lost.
func (act *activation) goneLocked(sockets []SocketID, missed []Frame) (gone []SocketID) {
	for _, id := range sockets {
		closes := func(f Frame) bool { return f.Kind == FrameClose && f.Socket == id }
		if act.sockets.byConn[id] == nil && !slices.ContainsFunc(missed, closes) && !act.sockets.isDeparting(id, act.view.committed) {
			gone = append(gone, id)
		}
	}
	return gone
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
