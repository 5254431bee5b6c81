package actor

import (
	"math"
	"net/http"
	"slices"
)

// Close frame of a connection whose client has come back by another one. Who holds
// a session twice must not open it again and again in turns, so the code is one
// that asks for no new attempt (RFC 6455: the connection violates a policy).
const (
	closeResumed  = 1008
	reasonResumed = "the session goes on at another connection"
)

// resume answers a request for a socket whose client has one already, and comes
// back by another connection: the socket goes on there, with its ID, tags,
// attachment and subprotocol, and the object's code is not run. Everything that was
// kept for the old connection's gateway and this socket, and may not have arrived,
// is sent again, in order. If what is kept does not fit a batch, or the client
// does not offer the subprotocol any more, the session begins anew: resume is
// false, the object is asked, and the old socket ends like one without a session.
func (w *responseWriter) resume(r *http.Request) bool {
	act := w.act
	act.mu.Lock()
	defer act.unlock()
	s := act.sockets.bySession[w.session]
	if s == nil || act.ended || act.host.gateways.get(w.upgrade.Gateway()) == nil || !offered(r, s.protocol) {
		return false
	}
	old := s.conn
	missed := act.missedLocked(s)
	if !act.roomForResumeLocked(missed) {
		return false
	}
	act.sockets.depart(old, act.view.current, act.view.committed)
	act.holdSessionLocked(s, w.session, w.upgrade, 0)
	if act.host.gateways.get(old.Gateway()) != nil {
		act.frameLocked(w.ev, old.Gateway(), Frame{Kind: FrameClose, Socket: old, Code: closeResumed, Reason: reasonResumed})
	}
	act.frameLocked(w.ev, s.conn.Gateway(), Frame{Kind: FrameOpen, Socket: s.conn, Tags: s.tags, Protocol: s.protocol, Auto: act.auto})
	for _, f := range missed {
		act.frameLocked(w.ev, s.conn.Gateway(), Frame{Kind: FrameMessage, Socket: s.conn, Message: f.Message, Data: f.Data})
	}
	act.desertLocked(old.Gateway())
	w.header.Set(SessionHeader, "resumed")
	w.acceptLocked(s.protocol)
	act.host.events.resumed(act.target.Class)
	return true
}

// missedLocked gives the kept messages for a socket that its gateway has not
// acknowledged: those after its FrameOpen, if that is among them. What was
// acknowledged is known only to the owner who was told, as far as a part was not
// needed for other gateways: after another owner's death some of it is among them.
func (act *activation) missedLocked(s *Socket) (missed []*Frame) {
	if act.host.fault == FaultForgotten {
		return nil
	}
	for _, f := range act.outbox.unacknowledged(s.conn.Gateway()) {
		switch {
		case f.Kind == FrameOpen && f.Socket == s.conn:
			missed = nil
		case f.Kind == FrameMessage && f.reaches(s):
			missed = append(missed, f)
		}
	}
	return missed
}

// reaches says whether a message is for that socket.
func (f *Frame) reaches(s *Socket) bool {
	if f.Socket != (SocketID{}) {
		return f.Socket == s.conn
	}
	return (f.Tag == "" || slices.Contains(s.tags, f.Tag)) && !slices.Contains(f.Except, s.conn)
}

func (act *activation) roomForResumeLocked(missed []*Frame) bool {
	const handshake = sessionChangeBytes + 2*(maxResumeFrame+minKeptBytes)
	growth := handshake
	for _, f := range missed {
		growth += len(f.Data) + frameBytes(f) + minKeptBytes
	}
	return act.roomLocked(growth)
}

// maxResumeFrame bounds the frames that close the old connection and open the new one.
const maxResumeFrame = MaxTags*MaxTagBytes + MaxProtocolBytes + 2*MaxAutoReplyBytes + MaxReasonBytes + 256

// unacknowledged gives the frames that a gateway may not have got, in order.
func (o *outbox) unacknowledged(gateway uint64) (frames []*Frame) {
	for _, p := range o.parts {
		for i := range p.frames {
			if k := &p.frames[i]; k.gateway == gateway && !k.left {
				frames = append(frames, k.frame)
			}
		}
	}
	return frames
}

// desertLocked drops what is kept for a gateway that is over and holds no socket
// of the object any more: nobody will ask for it.
func (act *activation) desertLocked(gateway uint64) {
	if act.sockets.at[gateway] == 0 && act.host.gateways.isOver(gateway) {
		act.changeOutboxLocked(func(o *outbox) { o.acknowledge(gateway, math.MaxUint64) })
	}
}
