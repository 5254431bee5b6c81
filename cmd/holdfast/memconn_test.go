package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memConn is one end of a connection. Unlike net.Pipe it buffers, as TCP does.
type memConn struct {
	// Fixed after newMemPair.
	host          *memHost
	peer          *memConn
	in, out       *memStream
	local, remote memAddr
}

// newMemPair makes both ends of a connection to a listener.
func newMemPair(from *memHost, to *memListener) (mine, theirs *memConn) {
	n := from.network
	there := &memStream{network: n, link: n.link(from.name, to.host.name), back: n.link(to.host.name, from.name)}
	back := &memStream{network: n, link: there.back, back: there.link}
	mine = &memConn{host: from, in: back, out: there, local: memAddr(from.name), remote: to.address}
	theirs = &memConn{host: to.host, in: there, out: back, local: to.address, remote: memAddr(from.name)}
	mine.peer, theirs.peer = theirs, mine
	return mine, theirs
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memConn) LocalAddr() net.Addr         { return c.local }
func (c *memConn) RemoteAddr() net.Addr        { return c.remote }

// Close lets what was written arrive.
func (c *memConn) Close() error {
	c.host.forget(c)
	c.in.change(func(s *memStream) { s.readerGone = true })
	c.out.change(func(s *memStream) { s.writerGone = true })
	return nil
}

// reset breaks this end; the other one has to find out.
func (c *memConn) reset() {
	c.in.change(func(s *memStream) { s.readErr = errConnectionReset })
	c.out.change(func(s *memStream) { s.writeErr = errConnectionReset })
}

func (c *memConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.change(func(s *memStream) { s.readBy = t })
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func(s *memStream) { s.writeBy = t })
	return nil
}

// memBufferBytes is what a direction holds before its writer waits.
const memBufferBytes = 256 << 10

// memStream is one direction of a connection.
type memStream struct {
	// Fixed.
	network *memNetwork
	link    *memLink // on which the bytes travel
	back    *memLink // on which the writer hears that nobody reads

	mu         sync.Mutex // guards the following fields
	segments   []memSegment
	bytes      int
	last       time.Time // when the newest segment arrives
	readErr    error     // the connection broke at the reader's end
	writeErr   error     // or at the writer's
	readerGone bool
	writerGone bool
	readBy     time.Time
	writeBy    time.Time
	changed    chan struct{} // closed, and nil again, at each change; nil if nobody waits
}

// memSegment is what was written at once.
type memSegment struct {
	at   time.Time // of arrival; zero: at once
	data []byte
}

func (s *memStream) change(f func(*memStream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	s.changedLocked()
}

func (s *memStream) changedLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *memStream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerGone:
			return 0, net.ErrClosed
		case s.readErr != nil:
			return 0, s.readErr
		case len(p) == 0:
			return 0, nil
		}
		cut, weather := s.link.cut()
		var arrives time.Time
		if !cut && (len(s.segments) > 0 || s.writerGone) {
			if arrives = s.arrivalLocked(); arrives.IsZero() {
				return s.takeLocked(p)
			}
		}
		if err := s.waitLocked(weather, arrives, s.readBy); err != nil {
			return 0, err
		}
	}
}

// arrivalLocked says when the first segment, or the end, arrives; zero: it is there.
func (s *memStream) arrivalLocked() time.Time {
	at := s.last
	if len(s.segments) > 0 {
		at = s.segments[0].at
	}
	if at.IsZero() || !time.Now().Before(at) {
		return time.Time{}
	}
	return at
}

func (s *memStream) takeLocked(p []byte) (int, error) {
	if len(s.segments) == 0 {
		return 0, io.EOF
	}
	first := &s.segments[0]
	n := copy(p, first.data)
	if first.data = first.data[n:]; len(first.data) == 0 {
		s.segments = s.segments[1:]
	}
	s.bytes -= n
	s.changedLocked()
	return n, nil
}

func (s *memStream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.writerGone:
			return written, net.ErrClosed
		case s.writeErr != nil:
			return written, s.writeErr
		}
		unheard, weather := s.back.cut()
		if s.readerGone && !unheard {
			return written, io.ErrClosedPipe
		}
		if room := memBufferBytes - s.bytes; room > 0 {
			n := min(room, len(p)-written)
			s.sendLocked(p[written : written+n])
			written += n
		}
		if written == len(p) {
			return written, nil
		}
		if err := s.waitLocked(weather, time.Time{}, s.writeBy); err != nil {
			return written, err
		}
	}
}

// sendLocked puts a segment on its way. It never overtakes another.
func (s *memStream) sendLocked(p []byte) {
	segment := memSegment{data: append([]byte(nil), p...)}
	if late, _ := s.network.late(s.link); late > 0 || !s.last.IsZero() {
		segment.at = time.Now().Add(late)
		if segment.at.Before(s.last) {
			segment.at = s.last
		}
		s.last = segment.at
	}
	s.segments = append(s.segments, segment)
	s.bytes += len(p)
	s.changedLocked()
}

// waitLocked lets go of the lock until something has changed, the time has come
// or the deadline, as it was at the call, has passed.
func (s *memStream) waitLocked(weather <-chan struct{}, until, deadline time.Time) error {
	var ripe, expired <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		ripe = timer.C
	}
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		expired = timer.C
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-weather:
		return nil
	case <-ripe:
		return nil
	case <-expired:
		return os.ErrDeadlineExceeded
	}
}
