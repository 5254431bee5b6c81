package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// scratchBytes is the size up to which a message is read without growing a buffer.
const scratchBytes = 4096

// read is the socket's reader: it takes the client's messages until the
// connection ends. It is the only caller of Message and SocketClosed for its
// socket, which gives their order.
func (s *socket) read() {
	for {
		m, err := s.next()
		switch {
		case err == nil:
			s.take(m)
		case errors.Is(err, ErrMessageTooLarge):
			s.closeByGateway(websocket.CloseMessageTooBig, "message too large", err)
		case errors.Is(err, ErrNotText):
			s.closeByGateway(websocket.CloseInvalidFramePayloadData, "text is not UTF-8", err)
		default:
			s.stopped(err)
			s.report()
			s.drain()
			s.finish()
			return
		}
		s.reportEnding()
	}
}

// next reads a whole message. After ErrMessageTooLarge and ErrNotText reading
// can go on, which is how the peer's Close frame is found.
func (s *socket) next() (actor.Message, error) {
	opcode, r, err := s.ws.NextReader()
	if err != nil {
		return actor.Message{}, err
	}
	data, err := s.gateway.readMessage(r)
	if err != nil {
		return actor.Message{}, err
	}
	if opcode == websocket.TextMessage && !utf8.Valid(data) {
		return actor.Message{}, ErrNotText
	}
	return actor.Message{Kind: actor.MessageKind(opcode), Data: data}, nil
}

// readMessage reads r to its end into memory of its own, no more than the bound.
func (g *Gateway) readMessage(r io.Reader) ([]byte, error) {
	scratch, _ := g.scratch.Get().(*[]byte)
	defer g.scratch.Put(scratch)
	n, err := io.ReadFull(r, *scratch)
	if n > g.cfg.MessageBytes {
		return nil, ErrMessageTooLarge
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return append(make([]byte, 0, n), (*scratch)[:n]...), nil
	}
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	all.Write(*scratch)
	if _, err := all.ReadFrom(io.LimitReader(r, int64(g.cfg.MessageBytes-n)+1)); err != nil {
		return nil, err
	}
	if all.Len() > g.cfg.MessageBytes {
		return nil, ErrMessageTooLarge
	}
	return all.Bytes(), nil
}

// take hands a message to the object, or answers it here. A message that comes
// after the socket began to end is dropped: nobody was told that it arrived.
func (s *socket) take(m actor.Message) {
	g := s.gateway
	if auto := s.audience.auto.Load(); auto != nil && m.Kind == actor.Text && string(m.Data) == auto.Request {
		s.send(encodeFrame(websocket.TextMessage, []byte(auto.Reply)))
		g.events.autoReplied()
		return
	}

	s.busy.Store(true)
	defer func() {
		s.heard.Store(true) // before busy, so that the pinger does not count the wait as silence
		s.busy.Store(false)
	}()
	number, ok := s.reserve(len(m.Data))
	if !ok {
		return
	}
	g.events.messageIn(len(m.Data))
	if err := g.dispatcher.Message(g.ctx, s.object, s.id, number, m); err != nil {
		code, reason := websocket.CloseInternalServerErr, "the message could not be taken"
		if certainlyLater(err) {
			code, reason = websocket.CloseTryAgainLater, "try again later"
		}
		s.closeByGateway(code, reason, nil)
		g.log.Debug("socket message refused", "object", s.object.String(), "socket", s.id.String(), "error", err)
	}
}

func certainlyLater(err error) bool {
	return errors.Is(err, actor.ErrOverloaded) || errors.Is(err, actor.ErrNotOwner) ||
		errors.Is(err, actor.ErrClosing) || errors.Is(err, context.Canceled)
}

// reserve waits until the window has room and gives the message its number. It
// is false if the socket ends meanwhile.
func (s *socket) reserve(size int) (number uint64, ok bool) {
	cfg := &s.gateway.cfg
	for {
		s.mu.Lock()
		if s.ending != nil {
			s.mu.Unlock()
			return 0, false
		}
		if !s.window.full(size, cfg.WindowMessages, cfg.WindowBytes) {
			number = s.window.add(size)
			s.mu.Unlock()
			return number, true
		}
		room := make(chan struct{})
		s.room = room
		s.mu.Unlock()
		<-room
	}
}

// stopped finds out why nothing more can be parsed. Close frames and protocol
// errors have set the ending already; anything else is a lost link.
func (s *socket) stopped(err error) {
	if errors.Is(err, websocket.ErrReadLimit) {
		// gorilla's answer to a length with the highest bit set, the one breach
		// of the protocol for which it makes no Close frame.
		s.refuse(encodeClose(websocket.CloseProtocolError, "bad length"))
	}
	s.mu.Lock()
	explained := s.gotClose || (s.ending != nil && s.ending.deaf)
	s.mu.Unlock()
	if explained {
		return
	}
	s.lost("the link broke without a Close frame")
	s.gateway.log.Debug("socket lost", "object", s.object.String(), "socket", s.id.String(), "error", err)
}

// reportEnding reports an end that began while the reader was busy.
func (s *socket) reportEnding() {
	s.mu.Lock()
	ending := s.ending != nil
	s.mu.Unlock()
	if ending {
		s.report()
	}
}

// report tells the dispatcher of the end, once.
func (s *socket) report() {
	s.mu.Lock()
	if s.reported {
		s.mu.Unlock()
		return
	}
	s.reported = true
	e := *s.ending
	s.mu.Unlock()
	if !e.byObject {
		s.tell(e.info, e.cause, e.back)
	}
	s.gateway.events.socketClosed(s.class, e.info.Code)
}

// drain reads what is still coming until the connection is closed, by the peer
// or by the timer: a connection that is closed with unread bytes is reset, and
// the reset would overtake our Close frame.
func (s *socket) drain() {
	_ = s.conn.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, s.conn) // ends with an error or EOF, which is all that is awaited
}

// finish is the last act of the reader.
func (s *socket) finish() {
	s.mu.Lock()
	s.done = true
	s.queue, s.pong = nil, nil
	s.timer.Stop()
	s.mu.Unlock()
	_ = s.conn.Close() // closed before in most cases
	s.gateway.retire(s, true)
}

// refuse is what gorilla would have written to the peer after a protocol error:
// a Close frame. See wire.
func (s *socket) refuse(frame []byte) {
	code, reason, ok := closeOf(frame)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != nil {
		s.ending.deaf = true
		return
	}
	s.endLocked(&ending{
		info:  actor.CloseInfo{Code: code, Reason: reason},
		cause: fmt.Errorf("%w: %s", ErrProtocol, reason),
		deaf:  true,
	}, bytes.Clone(frame))
}

// peerPing is the peer's ping, seen by the reader. Only the last one needs an
// answer (RFC 6455 5.5.3), so a peer cannot fill a queue with pings.
func (s *socket) peerPing(payload string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pong = encodeFrame(websocket.PongMessage, []byte(payload))
	s.startWriterLocked()
	return nil
}
