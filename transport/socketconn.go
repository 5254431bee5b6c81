package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxSocketMessage bounds one message of a socket link.
	maxSocketMessage = MaxMessageBytes + 1<<20
	// maxPartBytes bounds all messages of a link that have not come whole.
	maxPartBytes = 256 << 20
)

// Reasons for which a socket link ends.
var (
	errSocketWire = errors.New("transport: a socket link carries what this version does not understand")
	errBehind     = errors.New("transport: the peer takes too little of a socket link")
	errLinkIdle   = errors.New("transport: the socket link is not used")
)

// socketConn is one connection of a socket link, as both of its ends see it:
// pieces of messages, and a beat when there is nothing else to send. A peer
// from which nothing comes for three beats is taken for frozen.
type socketConn struct {
	// Fixed after newSocketConn.
	conn  net.Conn
	queue *turnQueue
	beat  time.Duration
	gone  chan struct{} // closed when the connection is broken

	once  sync.Once
	cause error // why it broke; set before gone is closed
}

// silentBeats is how many beats a peer may miss.
const silentBeats = 3

func newSocketConn(conn net.Conn, queueBytes int, beat time.Duration) *socketConn {
	return &socketConn{conn: conn, queue: newTurnQueue(queueBytes), beat: beat, gone: make(chan struct{})}
}

// send queues a message. It does not block: a connection whose peer is behind by
// the whole queue is broken, so that nothing is left out in silence.
func (c *socketConn) send(id streamID, message []byte) {
	if !c.queue.push(id, message) {
		c.breakOff(errBehind)
	}
}

// breakOff ends the connection; only the first cause counts. It does not block, as
// Close could: the reader closes.
func (c *socketConn) breakOff(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.gone)
		_ = c.conn.SetDeadline(time.Unix(1, 0)) // wakes reader and writer
	})
}

// broken says whether the connection has ended.
func (c *socketConn) broken() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// write sends what is queued until the connection ends.
func (c *socketConn) write() {
	tick := time.NewTicker(c.beat)
	defer tick.Stop()
	buf := make([]byte, 0, turnBytes+pieceHead+pieceBytes)
	for {
		beat := false
		select {
		case <-c.queue.ready:
		case <-tick.C:
			beat = true
		case <-c.gone:
			return
		}
		buf = c.queue.take(buf[:0])
		if len(buf) == 0 && beat {
			buf = append(buf, 0, 0, 0, 0) // an empty piece of no stream
		}
		if len(buf) == 0 {
			continue
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(silentBeats * c.beat))
		if c.broken() {
			return
		}
		if _, err := c.conn.Write(buf); err != nil {
			c.breakOff(fmt.Errorf("transport: write to a socket link: %w", err))
			return
		}
	}
}

// read gives every message to take, which may keep it, until the connection ends
// or take does not understand one. It closes the connection.
func (c *socketConn) read(take func(id streamID, message []byte) error) {
	r := bufio.NewReaderSize(c.conn, turnBytes)
	parts := newParts()
	var watched time.Time
	defer c.conn.Close() //nolint:errcheck // it is over either way
	for {
		if now := time.Now(); now.Sub(watched) > c.beat/4 {
			watched = now
			_ = c.conn.SetReadDeadline(now.Add(silentBeats * c.beat))
		}
		if c.broken() {
			return
		}
		id, message, err := parts.next(r)
		if err == nil && message != nil {
			err = take(id, message)
		}
		if err != nil {
			c.breakOff(fmt.Errorf("transport: read from a socket link: %w", err))
			return
		}
	}
}

// parts puts pieces together to messages.
type parts struct {
	begun map[streamID][]byte
	bytes int // of begun
}

func newParts() *parts { return &parts{begun: make(map[streamID][]byte)} }

// next reads a piece; the message is nil unless the piece was its last.
func (p *parts) next(r io.Reader) (id streamID, message []byte, err error) {
	var head [pieceHead]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return id, nil, err
	}
	length := binary.BigEndian.Uint32(head[:4])
	more := length&moreBit != 0
	length &^= moreBit
	switch {
	case length == 0 && !more:
		return id, nil, nil // a beat
	case length == 0 || length > pieceBytes:
		return id, nil, fmt.Errorf("%w: a piece of %d bytes", errSocketWire, length)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return id, nil, err
	}
	id.gateway = binary.BigEndian.Uint64(head[4:])
	copy(id.object[:], head[12:])
	begun := p.begun[id]
	if len(begun)+int(length) > maxSocketMessage || p.bytes+int(length) > maxPartBytes {
		return id, nil, fmt.Errorf("%w: a message that is too long", errSocketWire)
	}
	message = append(begun, make([]byte, length)...)
	if _, err := io.ReadFull(r, message[len(begun):]); err != nil {
		return id, nil, err
	}
	p.bytes -= len(begun)
	if more {
		p.begun[id] = message
		p.bytes += len(message)
		return id, nil, nil
	}
	delete(p.begun, id)
	return id, message, nil
}
