package transport

import (
	"bufio"
	"errors"
	"math"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// forwardHeadBytes bounds the head of an answer, with all that come before it.
	forwardHeadBytes = 10 << 20
	// forwardReadBytes is how much is read at once, and what an idle connection costs.
	forwardReadBytes = 4 << 10
)

var errHeadLarge = errors.New("transport: the head of a forwarded call's answer is too large")

// peerConn is a connection to another node. It carries one call at a time, and
// the goroutine of that call reads it.
type peerConn struct {
	net.Conn

	// Fixed.
	node   string
	reader *bufio.Reader   // of the connection
	raw    net.Conn        // what is below the encryption
	socket syscall.RawConn // nil: raw is no socket

	// Touched only by the goroutine of the call.
	limit int64 // bytes that may still be read
	ended bool  // a Read has failed

	since time.Time // when it became idle; guarded by the pool's mu
}

func newPeerConn(conn net.Conn, node string) *peerConn {
	c := &peerConn{Conn: conn, node: node, raw: conn, limit: math.MaxInt64}
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		c.raw = secure.NetConn()
	}
	if socket, ok := c.raw.(syscall.Conn); ok {
		c.socket, _ = socket.SyscallConn() // fails on a connection that is closed, which the first write finds
	}
	c.reader = bufio.NewReaderSize(c, forwardReadBytes)
	return c
}

// Read implements net.Conn within the limit.
func (c *peerConn) Read(p []byte) (int, error) {
	if c.limit <= 0 {
		return 0, errHeadLarge
	}
	n, err := c.Conn.Read(p)
	c.limit -= int64(n)
	c.ended = c.ended || err != nil
	return n, err
}

// silent says whether nothing has been read that no call has asked for.
func (c *peerConn) silent() bool { return !c.ended && c.reader.Buffered() == 0 }

// stands says whether neither the end of the connection nor a byte has come
// while it was idle. It does not block. A peer that closes the connection just
// then is noticed by whoever uses it.
func (c *peerConn) stands() bool {
	if !c.silent() {
		return false
	}
	if c.socket != nil {
		return nothingArrived(c.socket)
	}
	var one [1]byte
	if err := c.SetReadDeadline(longAgo()); err != nil {
		return false
	}
	n, err := c.Conn.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.SetReadDeadline(time.Time{}) == nil
}

// interrupt ends reads and writes. It may be called while others use the connection.
func (c *peerConn) interrupt() {
	_ = c.SetDeadline(longAgo()) // fails on a connection that is closed, where they end as well
}

// drop closes the connection at once. No word of farewell is sent, which could
// take a while on one that is stuck.
func (c *peerConn) drop() {
	if c.raw != c.Conn {
		c.raw.Close() //nolint:errcheck // nothing on it is wanted
	}
	c.Close() //nolint:errcheck // nothing on it is wanted
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }
