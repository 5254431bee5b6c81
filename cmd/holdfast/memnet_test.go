package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memNetwork is a network in memory with one listener for each address, for
// bubbles of synctest: a real socket would never count as blocked. Unlike
// net.Pipe its connections buffer, as TCP does.
type memNetwork struct {
	mu        sync.Mutex // guards the following field
	listeners map[string]*memListener
}

func newMemNetwork() *memNetwork {
	return &memNetwork{listeners: make(map[string]*memListener)}
}

type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }

// listen begins to listen; an address is free again once its listener is closed.
func (n *memNetwork) listen(address string) *memListener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil {
		panic("memnet: address in use: " + address)
	}
	l := &memListener{network: n, address: memAddr(address), waiting: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l
}

// dial connects to whoever listens there now.
func (n *memNetwork) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: memAddr(address), Err: errors.New("connection refused")}
	}
	there, back := newMemStream(), newMemStream()
	client := &memConn{in: back, out: there, local: "client", remote: l.address}
	server := &memConn{in: there, out: back, local: l.address, remote: "client"}
	select {
	case l.waiting <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: l.address, Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memListener struct {
	network *memNetwork
	address memAddr
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.address))
		l.network.mu.Unlock()
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return l.address }

// memConn is one end of a connection.
type memConn struct {
	in, out       *memStream
	local, remote memAddr
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memConn) LocalAddr() net.Addr         { return c.local }
func (c *memConn) RemoteAddr() net.Addr        { return c.remote }

func (c *memConn) Close() error {
	c.in.change(func(s *memStream) { s.readerGone = true })
	c.out.change(func(s *memStream) { s.writerGone = true })
	return nil
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
	mu         sync.Mutex // guards the following fields
	data       []byte
	readerGone bool
	writerGone bool
	readBy     time.Time
	writeBy    time.Time
	changed    chan struct{} // closed, and made anew, at each change
}

func newMemStream() *memStream { return &memStream{changed: make(chan struct{})} }

func (s *memStream) change(f func(*memStream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	s.changedLocked()
}

func (s *memStream) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *memStream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerGone:
			return 0, net.ErrClosed
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			s.changedLocked()
			return n, nil
		case s.writerGone:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		if err := s.waitLocked(s.readBy); err != nil {
			return 0, err
		}
	}
}

func (s *memStream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.writerGone:
			return written, net.ErrClosed
		case s.readerGone:
			return written, io.ErrClosedPipe
		}
		if room := memBufferBytes - len(s.data); room > 0 {
			n := min(room, len(p)-written)
			s.data = append(s.data, p[written:written+n]...)
			written += n
			s.changedLocked()
		}
		if written == len(p) {
			return written, nil
		}
		if err := s.waitLocked(s.writeBy); err != nil {
			return written, err
		}
	}
}

// waitLocked lets go of the lock until something has changed or the deadline,
// as it was at the call, has passed.
func (s *memStream) waitLocked(deadline time.Time) error {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		expired = timer.C
	}
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-expired:
		return os.ErrDeadlineExceeded
	}
}

func TestMemNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemNetwork()
		if _, err := network.dial(t.Context(), "tcp", "node:1"); err == nil {
			t.Error("dial(nobody) = nil, want an error")
		}
		l := network.listen("node:1")
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Errorf("Accept() = %v, want a connection", err)
				return
			}
			io.Copy(c, c)
			c.Close()
		}()
		c, err := network.dial(t.Context(), "tcp", "node:1")
		if err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 3*memBufferBytes)
		for i := range message {
			message[i] = byte(i)
		}
		go c.Write(message)
		got := make([]byte, len(message))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != string(message) {
			t.Errorf("echo of %d bytes: error %v, equal %v", len(message), err, string(got) == string(message))
		}
		c.SetReadDeadline(time.Now().Add(time.Hour))
		started := time.Now()
		if _, err := c.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(started) != time.Hour {
			t.Errorf("Read with a deadline = %v after %v, want %v after an hour", err, time.Since(started), os.ErrDeadlineExceeded)
		}
		c.Close()
		l.Close()
		if _, err := network.dial(t.Context(), "tcp", "node:1"); err == nil {
			t.Error("dial(closed listener) = nil, want an error")
		}
	})
}
