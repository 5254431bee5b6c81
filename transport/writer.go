package transport

import (
	"net"

	"github.com/gorilla/websocket"
)

// Bounds of one write.
const (
	coalesceFrames = 16
	coalesceBytes  = 32 << 10
)

// idleQueueFrames is the capacity that an empty queue may keep.
const idleQueueFrames = 4

// startWriterLocked starts the writer unless it runs. The reader has not ended,
// so gateway.running is not zero and may be added to.
func (s *socket) startWriterLocked() {
	if s.writing || s.conn == nil || s.done || s.sentClose {
		return
	}
	s.writing = true
	s.gateway.running.Go(s.write)
}

// write writes what is queued and ends. Only one writer of a socket runs at a
// time, and nobody else writes to the connection.
func (s *socket) write() {
	var batch [coalesceFrames][]byte
	written := 0
	for {
		frames, bytes, last := s.nextFrames(batch[:0], written)
		if len(frames) == 0 {
			return
		}
		if err := s.gateway.writeFrames(s.conn, frames); err != nil {
			s.writeFailed()
			return
		}
		s.gateway.events.framesOut(len(frames), bytes)
		written = bytes
		if last {
			s.closeSent()
		}
	}
}

// nextFrames takes the next frames from the queue: a pong and a ping before all
// others, our Close frame after all others. None means that the writer ends.
// written is what the last call gave and has now left.
func (s *socket) nextFrames(batch [][]byte, written int) (frames [][]byte, bytes int, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued -= written
	if s.done || s.sentClose {
		s.writing = false
		return nil, 0, false
	}
	if s.pong != nil {
		batch = append(batch, s.pong)
		s.pong = nil
	}
	if s.ping {
		batch = append(batch, encodeFrame(websocket.PingMessage, nil))
		s.ping = false
	}
	for _, frame := range batch {
		bytes += len(frame)
	}
	s.queued += bytes // counted like the rest, since they come back as written

	n := 0
	for n < len(s.queue) && len(batch) < cap(batch)-1 && (len(batch) == 0 || bytes+len(s.queue[n]) <= coalesceBytes) {
		bytes += len(s.queue[n])
		batch = append(batch, s.queue[n])
		n++
	}
	s.dropLocked(n)
	if len(s.queue) == 0 && s.last != nil {
		batch = append(batch, s.last)
		bytes += len(s.last)
		s.queued += len(s.last)
		s.last = nil
		last = true
	}
	s.writing = len(batch) > 0
	return batch, bytes, last
}

// dropLocked removes the first n frames of the queue.
func (s *socket) dropLocked(n int) {
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	if rest == 0 && cap(s.queue) > idleQueueFrames {
		s.queue = nil
	}
}

// writeFailed ends the socket: after part of a frame nothing else can follow.
func (s *socket) writeFailed() {
	s.lost("the client took nothing more")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
}

// closeSent is our Close frame on its way. If the peer's came before, both
// sides have said all and the server closes the connection first, RFC 6455 7.1.1.
func (s *socket) closeSent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sentClose = true
	if s.gotClose {
		s.timer.Reset(0)
	}
}

// writeFrames writes small frames together, so that a socket that is behind
// costs one system call for many of them.
func (g *Gateway) writeFrames(conn net.Conn, frames [][]byte) error {
	if len(frames) == 1 {
		_, err := conn.Write(frames[0])
		return err
	}
	pooled, _ := g.buffers.Get().(*[]byte)
	defer g.buffers.Put(pooled)
	buf := (*pooled)[:0]
	for _, frame := range frames {
		if len(buf)+len(frame) > cap(buf) {
			if _, err := conn.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if len(frame) > cap(buf) {
			if _, err := conn.Write(frame); err != nil {
				return err
			}
			continue
		}
		buf = append(buf, frame...)
	}
	_, err := conn.Write(buf)
	return err
}
