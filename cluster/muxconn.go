package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// writeTimeout bounds one write to a peer that does not read.
const writeTimeout = 10 * time.Second

// laneConn is one life of a lane's connection. Its sender is the lane's run, its
// receiver a goroutine of its own.
type laneConn struct {
	// Fixed after newLaneConn.
	lane   *lane
	conn   net.Conn
	gone   chan struct{} // closed when the receiver has ended
	closer sync.Once

	received atomic.Int64 // time of the last frame, in ns since 1970; 0: none yet

	// Guarded by lane.mu.
	pending map[uint64]*call // sent, without an answer
	lastID  uint64
	oldest  time.Time // since when the peer has owed an answer; zero: it does not

	// Owned by the sender.
	beats []numberedCall
}

// numberedCall is a call and its number on the connection.
type numberedCall struct {
	id   uint64
	call *call
}

// outgoing is a message that is being sent in several frames.
type outgoing struct {
	numberedCall

	begun bool
	bytes []byte // what is left of it
}

// newLaneConn starts the receiver.
func newLaneConn(l *lane, raw net.Conn) *laneConn {
	c := &laneConn{lane: l, conn: raw, gone: make(chan struct{}), pending: make(map[uint64]*call)}
	l.mux.running.Go(c.receive)
	return c
}

func (c *laneConn) close() {
	c.closer.Do(func() { c.conn.Close() }) //nolint:errcheck // what was not answered is sent again
}

// send writes what the lane has until the connection ends. It returns when the
// receiver has ended, too.
func (c *laneConn) send(ctx context.Context) {
	defer func() {
		c.close()
		<-c.gone
	}()
	var buf []byte
	for ctx.Err() == nil {
		buf = c.collect(buf[:0])
		if len(buf) == 0 {
			select {
			case <-c.lane.wake:
			case <-c.gone:
				return
			case <-ctx.Done():
			}
			continue
		}
		if c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return
		}
		if _, err := c.conn.Write(buf); err != nil {
			return
		}
		if cap(buf) > 2*maxFrameBytes {
			buf = nil
		}
	}
}

// collect adds what may be sent now to buf: the heartbeats that are due, and of
// each group in its turn at most one frame, until about one frame is full.
func (c *laneConn) collect(buf []byte) []byte {
	buf = c.appendBeats(buf)
	for len(buf) < maxFrameBytes {
		q := c.take()
		if q == nil {
			break
		}
		buf = c.appendTurn(buf, q.partial)
		c.giveBack(q)
	}
	return buf
}

// appendBeats puts all heartbeats that are due into one frame.
func (c *laneConn) appendBeats(buf []byte) []byte {
	l := c.lane
	l.mu.Lock()
	beats := c.beats[:0]
	if l.due && l.conn == c {
		l.due = false
		sent := l.mux.cfg.clock()
		l.held = slices.DeleteFunc(l.held, func(h *call) bool {
			if l.mux.cfg.silent(h.port.group) || len(beats) == maxHeartbeats {
				return false
			}
			h.sent = sent
			beats = append(beats, numberedCall{id: c.owe(h), call: h})
			return true
		})
	}
	l.mu.Unlock()
	if len(beats) > 0 {
		start := len(buf)
		buf = binary.AppendUvarint(beginFrame(buf, frameHeartbeats), uint64(len(beats)))
		for _, b := range beats {
			buf = appendHeartbeat(buf, heartbeat{address: b.call.address(), id: b.id, term: b.call.message.term})
		}
		buf = endFrame(buf, start)
	}
	clear(beats)
	c.beats = beats
	return buf
}

// owe notes that the peer owes an answer to the call, and numbers it. The caller
// holds lane.mu.
func (c *laneConn) owe(call *call) uint64 {
	c.lastID++
	c.pending[c.lastID] = call
	if c.oldest.IsZero() {
		c.oldest = time.Now()
	}
	return c.lastID
}

// take gives the queue whose turn it is, with the message that is to be sent, or
// nil. A silent group and a group that would open one message too many wait.
func (c *laneConn) take() *callQueue {
	l := c.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != c {
		return nil
	}
	for i := 0; i < len(l.turns); i++ {
		q := l.turns[i]
		if q.partial == nil && len(q.calls) == 0 { // they have ended meanwhile
			q.inTurns = false
			l.turns = slices.Delete(l.turns, i, i+1)
			i--
			continue
		}
		if l.use == laneAppends && l.mux.cfg.silent(q.group) {
			continue
		}
		if q.partial == nil {
			next := q.calls[0]
			large := next.message.size() > maxFrameBytes-frameOverhead
			if large && l.open == maxOpenMessages {
				continue
			}
			if large {
				l.open++
			}
			q.calls = slices.Delete(q.calls, 0, 1)
			next.sent = l.mux.cfg.clock()
			q.partial = &outgoing{numberedCall: numberedCall{id: c.owe(next), call: next}}
		}
		q.inTurns = false
		l.turns = slices.Delete(l.turns, i, i+1)
		return q
	}
	return nil
}

// appendTurn adds the message's next frame. Messages are encoded only when they
// are sent, so that what waits takes no memory twice.
func (c *laneConn) appendTurn(buf []byte, o *outgoing) []byte {
	start := len(buf)
	message := &o.call.message
	if !o.begun && message.size() <= maxFrameBytes-frameOverhead {
		buf = beginFrame(buf, frameMessage)
		buf = binary.AppendUvarint(appendAddress(buf, o.call.address()), o.id)
		return endFrame(appendMessage(buf, message), start)
	}
	if o.begun {
		buf = beginFrame(buf, frameMore)
		buf = binary.AppendUvarint(appendAddress(buf, o.call.address()), o.id)
	} else {
		o.begun = true
		o.bytes = appendMessage(make([]byte, 0, message.size()), message)
		buf = beginFrame(buf, frameFirst)
		buf = binary.AppendUvarint(appendAddress(buf, o.call.address()), o.id)
		buf = binary.AppendUvarint(buf, uint64(len(o.bytes)))
	}
	n := min(len(o.bytes), maxFrameBytes-frameOverhead)
	buf = append(buf, o.bytes[:n]...)
	o.bytes = o.bytes[n:]
	return endFrame(buf, start)
}

// giveBack ends the queue's turn.
func (c *laneConn) giveBack(q *callQueue) {
	l := c.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(q.partial.bytes) == 0 {
		if q.partial.begun {
			l.open--
		}
		q.partial = nil
	}
	if q.partial != nil || len(q.calls) > 0 {
		l.inTurns(q)
	}
}

// receive hands out the answers until the connection ends.
func (c *laneConn) receive() {
	defer close(c.gone)
	r := bufio.NewReader(c.conn)
	var data []byte
	var answers []numberedAnswer
	var calls []*call
	var err error
	for {
		if data, err = readFrame(r, data, maxFrameBytes); err != nil {
			break
		}
		if answers, err = decodeAnswers(answers[:0], data); err != nil {
			c.lane.mux.log.Warn("raft connection broken", "peer", c.lane.node, "error", err)
			break
		}
		now := time.Now()
		c.received.Store(now.UnixNano())
		calls = c.match(calls[:0], answers, now)
		for _, call := range calls {
			call.answered()
		}
		clear(calls)
	}
	c.close()
}

// match gives the calls that have an answer. Refused appends that are sent again
// stay with the lane.
func (c *laneConn) match(calls []*call, answers []numberedAnswer, now time.Time) []*call {
	l := c.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range answers {
		call := c.pending[a.id]
		if call == nil {
			continue // it has ended meanwhile
		}
		delete(c.pending, a.id)
		call.answer = a.answer
		if call.waits() {
			l.refused = append(l.refused, call)
		} else {
			calls = append(calls, call)
		}
	}
	c.oldest = time.Time{}
	if len(c.pending) > 0 {
		c.oldest = now
	}
	return calls
}

// overdue is the function of that name for the calls that were sent.
func (c *laneConn) overdue(late []*call, now time.Time) []*call {
	for id, call := range c.pending {
		if call.isOverdue(now) {
			delete(c.pending, id)
			late = append(late, call)
		}
	}
	return late
}

// isDead says whether the peer has owed an answer and said nothing for longer
// than two heartbeat time-outs. Heartbeats are answered at once, whatever their
// groups do.
func (c *laneConn) isDead(now time.Time) bool {
	return !c.oldest.IsZero() && now.Sub(c.oldest) > 2*c.lane.mux.cfg.timeout
}
