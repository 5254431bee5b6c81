package transport

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// Causes that SocketClosed may carry.
var (
	// ErrMessageTooLarge means that a client sent more than GatewayConfig.MessageBytes at once.
	ErrMessageTooLarge = errors.New("transport: message larger than this node takes")
	// ErrNotText means that a client sent a text message that is not UTF-8.
	ErrNotText = errors.New("transport: text message is not valid UTF-8")
	// ErrProtocol means that a client broke the rules of RFC 6455.
	ErrProtocol = errors.New("transport: malformed WebSocket frame")
)

// socket is one client's WebSocket. It is pending from register until connect
// or abandon; then its reader runs until the connection ends. An idle socket has
// that one goroutine and no timer. A writer runs only while there is something to write.
//
// It ends in steps: ending says why, and no message or frame is taken from then
// on. What was queued, then the Close frame, still leaves. When both sides have
// sent theirs, or CloseWait is over, the connection is closed, and its reader,
// which has reported the end, is the last to go.
type socket struct {
	// Fixed after register.
	gateway *Gateway
	id      actor.SocketID
	object  actor.ID
	class   string
	session bool // the client may come back to it by another connection

	// Set by open, which comes before everything that reads them.
	audience *audience
	tags     []string
	protocol string

	seat int // guarded by audience.mu

	// Owned by the reader.
	ws *websocket.Conn

	// Owned by the pinger.
	pinged bool

	heard atomic.Bool // something came from the peer since the last look
	busy  atomic.Bool // the reader waits for the object, not for the peer

	mu        sync.Mutex  // guards the following fields
	conn      net.Conn    // nil while pending
	timer     *time.Timer // closes conn; nil until the socket is ending and has a conn
	opened    bool        // the object accepted the socket
	writing   bool        // a writer runs
	gotClose  bool        // the peer's Close frame came
	sentClose bool        // ours has left
	reported  bool        // the dispatcher knows of the end, or does not want to
	done      bool        // the reader has ended, or there will be none
	ping      bool        // a ping is due
	pong      []byte      // the frame that answers the peer's last ping
	queue     [][]byte    // encoded frames, shared with other sockets
	queued    int         // bytes of queue and of what the writer is writing
	last      []byte      // our Close frame
	ending    *ending     // nil while the socket is open
	window    window
	room      chan struct{} // not nil: the reader waits for room in the window; closed to wake it
}

// ending says why a socket ends.
type ending struct {
	info     actor.CloseInfo
	cause    error
	byObject bool // the object closed it and hears no more of it
	back     bool // its client may come back: the connection broke, or this node stops
	deaf     bool // the reader cannot or need not find the peer's Close frame
}

// lostInfo is what an object learns of a client that went without a Close frame.
func lostInfo(reason string) actor.CloseInfo {
	return actor.CloseInfo{Code: websocket.CloseAbnormalClosure, Reason: reason}
}

// open marks a pending socket as accepted. It is false if the socket has ended.
func (s *socket) open(a *audience, frame actor.Frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || s.opened {
		return false
	}
	s.opened, s.audience, s.tags, s.protocol = true, a, frame.Tags, frame.Protocol
	return true
}

// connect gives a pending socket its connection and starts its reader.
func (s *socket) connect(ws *websocket.Conn, conn net.Conn) {
	s.mu.Lock()
	s.ws, s.conn = ws, conn
	if s.ending != nil {
		s.startEndingLocked()
	} else if len(s.queue) > 0 {
		s.startWriterLocked()
	}
	s.mu.Unlock()
	s.gateway.events.socketOpened(s.class)
	go s.read() // counted in gateway.running since register
}

// abandon ends a pending socket that gets no connection.
func (s *socket) abandon() {
	s.mu.Lock()
	s.done = true
	opened := s.opened
	report := opened && (s.ending == nil || !s.ending.byObject)
	s.mu.Unlock()
	if report {
		s.tell(lostInfo("the handshake could not be completed"), nil, true)
	}
	s.gateway.retire(s, opened)
}

// send queues one frame. A client that is too far behind is closed with 1013: it
// gets a clear end and may come back, never a silent gap.
func (s *socket) send(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != nil || s.done {
		return
	}
	cfg := &s.gateway.cfg
	if len(s.queue) >= cfg.QueueFrames || (len(s.queue) > 0 && s.queued+len(frame) > cfg.QueueBytes) {
		const reason = "the client reads too slowly"
		s.gateway.events.socketOverrun()
		s.queue = nil
		s.endLocked(&ending{
			info: actor.CloseInfo{Code: websocket.CloseTryAgainLater, Reason: reason}, deaf: true,
		}, encodeClose(websocket.CloseTryAgainLater, reason))
		return
	}
	s.queue = append(s.queue, frame)
	s.queued += len(frame)
	s.startWriterLocked()
}

// ack frees room in the window.
func (s *socket) ack(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window.ack(number)
	s.wakeReaderLocked()
}

// closeByObject ends the socket as its object wants.
func (s *socket) closeByObject(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != nil {
		s.ending.byObject = true
		return
	}
	if !s.done {
		s.endLocked(&ending{info: actor.CloseInfo{Code: code, Reason: reason}, byObject: true}, encodeClose(code, reason))
	}
}

// closeByGateway ends the socket for a reason of this node or for the client's mistake.
func (s *socket) closeByGateway(code int, reason string, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil && !s.done {
		e := &ending{info: actor.CloseInfo{Code: code, Reason: reason}, cause: cause, back: code == websocket.CloseServiceRestart}
		s.endLocked(e, encodeClose(code, reason))
	}
}

// isOpen says whether nothing has ended the socket yet.
func (s *socket) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending == nil && !s.done
}

// peerClosed is the peer's Close frame, seen by the reader.
func (s *socket) peerClosed(code int, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gotClose = true
	if s.ending == nil {
		s.endLocked(&ending{info: actor.CloseInfo{Code: code, Reason: reason, Clean: true}}, encodeClose(code, ""))
		return nil
	}
	s.ending.info.Clean = true
	if s.sentClose {
		s.timer.Reset(0)
	}
	return nil
}

// lost is the end of the link: nothing more can be sent, or come.
func (s *socket) lost(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.done:
	case s.ending == nil:
		s.endLocked(&ending{info: lostInfo(reason), back: true}, nil)
	default:
		s.queue, s.last = nil, nil
		s.timer.Reset(0)
	}
}

// endLocked begins the end. last is our Close frame; without one the connection
// is closed at once.
func (s *socket) endLocked(e *ending, last []byte) {
	s.ending, s.last = e, last
	if last == nil {
		s.queue = nil
	}
	s.wakeReaderLocked()
	if s.conn != nil {
		s.startEndingLocked()
	}
}

func (s *socket) startEndingLocked() {
	limit := s.gateway.cfg.CloseWait
	if s.last == nil {
		limit = 0
	}
	conn := s.conn
	s.timer = time.AfterFunc(limit, func() { _ = conn.Close() }) // it is over either way
	if s.last != nil {
		s.startWriterLocked()
	}
	if s.ending.deaf {
		_ = s.conn.SetReadDeadline(time.Now()) // lets the reader report at once
	}
}

func (s *socket) wakeReaderLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}
