package transport

import (
	"encoding/binary"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// Sessions is what a Dispatcher is, too, if clients may come back to their sockets
// by another connection. Without it every end is told by SocketClosed.
type Sessions interface {
	// SocketLeft tells that the connection of a socket with a session is gone, but
	// that its client may come back: once, in place of SocketClosed.
	SocketLeft(object actor.ID, socket actor.SocketID, info actor.CloseInfo)
	// Confirmed tells that the client has got every kept frame up to that number.
	Confirmed(object actor.ID, socket actor.SocketID, number uint64)
}

// probe asks the clients with sessions of an object to confirm what they got: by a
// ping behind the frames, which every browser answers by itself when it has read
// what came before. The number comes back in the pong.
func (g *Gateway) probe(object actor.ID, number uint64) {
	if a := g.audiences.get(object); a != nil {
		a.probe(encodeFrame(websocket.PingMessage, binary.BigEndian.AppendUint64(nil, number)))
	}
}

func (a *audience) probe(ping []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for s := range a.sessions {
		s.send(ping)
	}
}

// peerPong is the peer's pong, seen by the reader.
func (s *socket) peerPong(payload string) error {
	if s.session && s.gateway.sessions != nil && len(payload) == 8 {
		s.gateway.sessions.Confirmed(s.object, s.id, binary.BigEndian.Uint64([]byte(payload)))
	}
	return nil
}

// tell lets the object know of the end of the socket, unless its client may come
// back: its connection broke, or this node stops.
func (s *socket) tell(info actor.CloseInfo, cause error, back bool) {
	if s.session && back && s.gateway.sessions != nil {
		s.gateway.sessions.SocketLeft(s.object, s.id, info)
		return
	}
	s.gateway.dispatcher.SocketClosed(s.object, s.id, info, cause)
}
