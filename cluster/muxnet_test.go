package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// muxNet is a network in memory between raftMux'es. Like TCP it delivers in
// order, and what was sent over a cut arrives when the cut is over, or, like with
// TCP, as long after that as it has waited; unlike TCP it can be told to be slow in
// one direction.
type muxNet struct {
	mu        sync.Mutex // guards the following fields
	nodes     map[string]*raftMux
	accept    map[string]func(net.Conn) // of whole nodes, instead
	cuts      map[[2]string]bool
	delay     func(from, to string) time.Duration
	bandwidth int // bytes per second and direction of a connection; 0: no limit
	conns     map[*muxNetConn]struct{}
	backsOff  bool                    // what was sent over a cut is late
	joined    map[[2]string]time.Time // when cuts ended
	changed   chan struct{}           // closed and made anew when something above changes
}

func newMuxNet() *muxNet {
	return &muxNet{
		joined: make(map[[2]string]time.Time),
		nodes:  make(map[string]*raftMux), accept: make(map[string]func(net.Conn)), cuts: make(map[[2]string]bool), conns: make(map[*muxNetConn]struct{}),
		delay: func(string, string) time.Duration { return 100 * time.Microsecond }, changed: make(chan struct{}),
	}
}

// change changes the network and lets everybody who waits look again.
func (n *muxNet) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

// cut makes what from sends to to wait.
func (n *muxNet) cut(from, to string, is bool) {
	n.change(func() { n.cutLocked(from, to, is) })
}

func (n *muxNet) cutLocked(from, to string, is bool) {
	if n.cuts[[2]string{from, to}] && !is {
		n.joined[[2]string{from, to}] = time.Now()
	}
	n.cuts[[2]string{from, to}] = is
}

// late gives when something arrives that would have arrived at that time: if that
// was during the last cut, as long after its end as it has waited by then.
func (n *muxNet) late(from, to string, at time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	joined := n.joined[[2]string{from, to}]
	if !n.backsOff || !at.Before(joined) {
		return at
	}
	return joined.Add(joined.Sub(at))
}

// isolate cuts a node off from all others, in both directions, or joins it again.
func (n *muxNet) isolate(node string, is bool) {
	n.change(func() {
		for other := range n.nodes {
			n.cutLocked(node, other, is)
			n.cutLocked(other, node, is)
		}
	})
}

func (n *muxNet) setDelay(f func(from, to string) time.Duration) {
	n.change(func() { n.delay = f })
}

// reset breaks all connections.
func (n *muxNet) reset() {
	n.mu.Lock()
	var conns []*muxNetConn
	for c := range n.conns {
		conns = append(conns, c)
	}
	n.mu.Unlock()
	for _, c := range conns {
		c.in.broken(errors.New("connection reset"))
		c.out.broken(errors.New("connection reset"))
	}
}

// state gives whether a direction is cut, and what tells that it may have changed.
func (n *muxNet) state(from, to string) (cut bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[[2]string{from, to}], n.changed
}

func (n *muxNet) dialFrom(from string) func(ctx context.Context, to string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		for {
			there, changed := n.state(from, to)
			back, _ := n.state(to, from)
			if !there && !back {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		out := &muxNetStream{net: n, from: from, to: to, changed: make(chan struct{})}
		back := &muxNetStream{net: n, from: to, to: from, changed: make(chan struct{})}
		mine := &muxNetConn{net: n, in: back, out: out}
		theirs := &muxNetConn{net: n, in: out, out: back}
		n.mu.Lock()
		take := n.accept[to]
		if target := n.nodes[to]; target != nil {
			take = target.serve
		}
		if take != nil {
			n.conns[mine], n.conns[theirs] = struct{}{}, struct{}{}
		}
		n.mu.Unlock()
		if take == nil {
			return nil, fmt.Errorf("dial %s: connection refused", to)
		}
		take(theirs)
		return mine, nil
	}
}

// muxNetConn is one end of a connection.
type muxNetConn struct {
	net     *muxNet
	in, out *muxNetStream

	mu     sync.Mutex // guards the following field
	closed bool
}

func (c *muxNetConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *muxNetConn) Write(p []byte) (int, error) { return c.out.write(p) }

func (c *muxNetConn) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	c.out.end()
	c.in.broken(net.ErrClosed)
	c.net.mu.Lock()
	delete(c.net.conns, c)
	c.net.mu.Unlock()
	return nil
}

func (c *muxNetConn) LocalAddr() net.Addr  { return muxNetAddr(c.out.from) }
func (c *muxNetConn) RemoteAddr() net.Addr { return muxNetAddr(c.out.to) }

func (c *muxNetConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *muxNetConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.readDeadline = t })
	return nil
}

func (c *muxNetConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.out.writeDeadline = t })
	return nil
}

type muxNetAddr string

func (a muxNetAddr) Network() string { return "memory" }
func (a muxNetAddr) String() string  { return string(a) }

// maxUnread is what a stream holds before a writer has to wait.
const maxUnread = 256 << 10

// muxNetStream is one direction of a connection.
type muxNetStream struct {
	net      *muxNet
	from, to string

	mu            sync.Mutex // guards the following fields
	parts         []muxNetPart
	bytes         int
	last          time.Time // when the newest part arrives
	err           error     // ends both ends at once
	ended         bool      // by the writer
	readDeadline  time.Time
	writeDeadline time.Time
	changed       chan struct{}
}

// muxNetPart is what was written at once. No data: the end.
type muxNetPart struct {
	at   time.Time
	data []byte
}

func (s *muxNetStream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *muxNetStream) broken(err error) {
	s.change(func() {
		if s.err == nil {
			s.err = err
		}
	})
}

func (s *muxNetStream) end() {
	arrives := s.arrival(0)
	s.change(func() {
		s.ended = true
		s.parts = append(s.parts, muxNetPart{at: arrives})
	})
}

// arrival is when something of that size that is sent now arrives.
func (s *muxNetStream) arrival(size int) time.Time {
	s.net.mu.Lock()
	delay, bandwidth := s.net.delay(s.from, s.to), s.net.bandwidth
	s.net.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now().Add(delay)
	if at.Before(s.last) {
		at = s.last
	}
	if bandwidth > 0 {
		at = at.Add(time.Duration(size) * time.Second / time.Duration(bandwidth))
	}
	s.last = at
	return at
}

func (s *muxNetStream) write(p []byte) (int, error) {
	arrives := s.arrival(len(p))
	for {
		s.mu.Lock()
		err, ended, full, deadline, changed := s.err, s.ended, s.bytes >= maxUnread, s.writeDeadline, s.changed
		s.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case ended:
			return 0, net.ErrClosed
		case !full:
			s.change(func() {
				s.parts = append(s.parts, muxNetPart{at: arrives, data: append([]byte(nil), p...)})
				s.bytes += len(p)
			})
			return len(p), nil
		}
		if err := await(changed, nil, time.Time{}, deadline); err != nil {
			return 0, err
		}
	}
}

func (s *muxNetStream) read(p []byte) (int, error) {
	for {
		cut, netChanged := s.net.state(s.from, s.to)
		s.mu.Lock()
		err, deadline, changed := s.err, s.readDeadline, s.changed
		var arrives time.Time
		if len(s.parts) > 0 {
			arrives = s.parts[0].at
		}
		s.mu.Unlock()
		if !cut && !arrives.IsZero() {
			arrives = s.net.late(s.from, s.to, arrives)
		}
		if err != nil {
			return 0, err
		}
		if !arrives.IsZero() && !cut && !time.Now().Before(arrives) {
			return s.get(p)
		}
		if cut {
			arrives = time.Time{}
		}
		if err := await(changed, netChanged, arrives, deadline); err != nil {
			return 0, err
		}
	}
}

func (s *muxNetStream) get(p []byte) (n int, err error) {
	s.change(func() {
		part := &s.parts[0]
		if part.data == nil {
			err = io.EOF
			return
		}
		n = copy(p, part.data)
		part.data = part.data[n:]
		s.bytes -= n
		if len(part.data) == 0 {
			s.parts = s.parts[1:]
		}
	})
	return n, err
}

// await returns when one of the channels is closed or the time has come, with an
// error at the deadline.
func await(a, b <-chan struct{}, at, deadline time.Time) error {
	now := time.Now()
	if !deadline.IsZero() && !now.Before(deadline) {
		return os.ErrDeadlineExceeded
	}
	wait := time.Hour
	if !at.IsZero() {
		wait = at.Sub(now)
	}
	if !deadline.IsZero() {
		wait = min(wait, deadline.Sub(now))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-a:
	case <-b:
	case <-timer.C:
	}
	return nil
}
