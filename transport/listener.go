package transport

import (
	"net"
	"sync"
	"time"
)

// writeChunkBytes is how much must move within one write time-out.
const writeChunkBytes = 64 << 10

// boundedListener accepts at most a fixed number of connections at a time. Those
// beyond it learn at once that there is no room.
type boundedListener struct {
	net.Listener

	slots   chan struct{} // one element for each open connection
	stall   time.Duration
	events  Events
	refuser *refuser
}

func newBoundedListener(l net.Listener, connections int, stall time.Duration, events Events) *boundedListener {
	return &boundedListener{
		Listener: l,
		slots:    make(chan struct{}, connections),
		stall:    stall,
		events:   events,
		refuser:  newRefuser(),
	}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			l.events.connOpened()
			return &edgeConn{Conn: c, listener: l}, nil
		default:
			l.events.connRefused()
			l.refuser.refuse(c)
		}
	}
}

// Close implements net.Listener. Accepted connections stay open.
func (l *boundedListener) Close() error {
	err := l.Listener.Close()
	l.refuser.close()
	return err
}

// edgeConn is a client's connection. Each chunk of a Write must be taken within
// the listener's write time-out, so a client that stops reading cannot hold a
// goroutine and its buffers for ever, while a slow one that reads can.
type edgeConn struct {
	net.Conn

	listener *boundedListener
	once     sync.Once
	quiet    bool // no request is under way; of farewell.connState
}

// Write implements net.Conn.
func (c *edgeConn) Write(p []byte) (int, error) {
	written := 0
	for {
		chunk := p[written:min(len(p), written+writeChunkBytes)]
		if err := c.SetWriteDeadline(time.Now().Add(c.listener.stall)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(chunk)
		written += n
		if err != nil || written >= len(p) {
			return written, err
		}
	}
}

// CloseWrite ends the connection in one direction where the network can, so
// that net/http's last answer on a connection is not lost in a reset.
func (c *edgeConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn; it frees the listener's slot once.
func (c *edgeConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		<-c.listener.slots
		c.listener.events.connClosed()
	})
	return err
}
