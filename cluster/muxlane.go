package cluster

import (
	"context"
	"slices"
	"sync"
	"time"
)

// lane is one of the two connections to a peer over which this node's groups
// make their calls. It dials when there is something to send. Calls outlive a
// connection: those without an answer are sent again over the next one, until
// their time is up.
type lane struct {
	// Fixed after newLane.
	mux  *raftMux
	node string
	use  laneUse
	wake chan struct{} // one slot: run should look for something to send

	mu      sync.Mutex // guards the following fields
	queues  map[groupID]*callQueue
	turns   []*callQueue // those with something to send, next first
	open    int          // queues with a message that is sent in part
	held    []*call      // heartbeats, until the next tick
	due     bool         // the tick has come
	refused []*call      // appends that are sent again at the next tick
	conn    *laneConn    // nil: not connected
	running bool         // run has been started
	closed  bool
}

// callQueue is what one group has for the peer, in order.
type callQueue struct {
	group   groupID
	calls   []*call
	partial *outgoing // owned by run while it is not nil
	inTurns bool
}

func newLane(m *raftMux, node string, use laneUse) *lane {
	return &lane{mux: m, node: node, use: use, wake: make(chan struct{}, 1), queues: make(map[groupID]*callQueue)}
}

// enqueue takes the call or says why not. A call that was taken is finished.
func (l *lane) enqueue(c *call) error {
	if c.message.size() > maxMessageBytes {
		return errCallTooLarge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errMuxClosed
	}
	if c.message.kind == messageHeartbeat {
		if len(l.held) >= maxHeartbeats {
			return errCallQueue
		}
		l.held = append(l.held, c)
	} else {
		q := l.queue(c.port.group)
		if len(q.calls) >= maxQueuedCalls {
			return errCallQueue
		}
		q.calls = append(q.calls, c)
		l.inTurns(q)
		l.signal()
	}
	if !l.running {
		l.running = true
		l.mux.running.Go(l.run)
	}
	l.mux.tickSoon()
	return nil
}

func (l *lane) queue(group groupID) *callQueue {
	q := l.queues[group]
	if q == nil {
		q = &callQueue{group: group}
		l.queues[group] = q
	}
	return q
}

// inTurns puts the queue behind the others unless it waits for its turn already.
func (l *lane) inTurns(q *callQueue) {
	if !q.inTurns {
		q.inTurns = true
		l.turns = append(l.turns, q)
	}
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run connects whenever there is something to send, and sends it.
func (l *lane) run() {
	ctx := l.mux.ctx
	var pause backoff
	for l.await(ctx) {
		conn, err := l.connect(ctx, &pause)
		if err != nil {
			continue // the mux is closing, or nothing is left to send
		}
		conn.send(ctx)
		conn.close()
		if conn.received.Load() != 0 {
			pause.reset() // it was the peer that we mean, and it understood us
		}
		l.drop(conn)
	}
	l.failAll()
}

// await returns when there is something to send, with false when the mux closes.
func (l *lane) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		if l.hasWork() {
			return true
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
		}
	}
	return false
}

func (l *lane) hasWork() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.turns) > 0 || l.due
}

// connect dials until it has a connection, at longer and longer intervals.
func (l *lane) connect(ctx context.Context, pause *backoff) (*laneConn, error) {
	for {
		if err := pause.wait(ctx); err != nil {
			return nil, err
		}
		if !l.hasWork() {
			return nil, errCallTimeout
		}
		raw, err := l.mux.dialPeer(ctx, l.node, l.use)
		pause.longer()
		if err != nil {
			continue
		}
		conn := newLaneConn(l, raw)
		if !l.adopt(conn) {
			raw.Close() //nolint:errcheck // nothing was sent over it
			return nil, errMuxClosed
		}
		return conn, nil
	}
}

func (l *lane) adopt(conn *laneConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.conn = conn
	}
	return !l.closed
}

// drop takes back the calls that were sent over a connection that is over and
// have no answer. It runs on run's goroutine, so nothing is half sent.
func (l *lane) drop(conn *laneConn) {
	l.mu.Lock()
	var lost []*call
	l.conn = nil
	ids := make([]uint64, 0, len(conn.pending))
	for id := range conn.pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	slices.Reverse(ids) // the oldest comes to the front last
	for _, id := range ids {
		c := conn.pending[id]
		switch {
		case !c.repeatable():
			lost = append(lost, c)
		case c.message.kind == messageHeartbeat:
			l.held = append(l.held, c)
		default:
			q := l.queue(c.port.group)
			q.calls = slices.Insert(q.calls, 0, c)
		}
	}
	clear(conn.pending)
	l.open = 0
	for _, q := range l.queues {
		q.partial = nil
		if len(q.calls) > 0 {
			l.inTurns(q)
		}
	}
	l.mu.Unlock()
	for _, c := range lost {
		c.fail(errCallBroken)
	}
}

// tick is called every tenth of a heartbeat time-out while there are calls. It
// lets held heartbeats go, ends calls whose time is up, and says whether any
// are left.
func (l *lane) tick(now time.Time) bool {
	l.mu.Lock()
	var late []*call
	l.held, late = overdue(l.held, late, now)
	l.refused, late = overdue(l.refused, late, now)
	for _, q := range l.queues {
		q.calls, late = overdue(q.calls, late, now)
	}
	owed := false
	if l.conn != nil {
		late = l.conn.overdue(late, now)
		owed = len(l.conn.pending) > 0 || l.use == laneControl && !l.conn.oldest.IsZero()
	}
	for _, c := range slices.Backward(l.refused) {
		q := l.queue(c.port.group)
		q.calls = slices.Insert(q.calls, 0, c)
		l.inTurns(q)
	}
	l.refused = nil
	l.due = len(l.held) > 0
	if l.due || len(l.turns) > 0 {
		l.signal() // also for groups that were silent
	}
	left := owed || l.due || len(l.turns) > 0
	l.mu.Unlock()
	for _, c := range late {
		c.finish(c)
	}
	return left
}

// dead gives the connection if the peer owes answers and has said nothing for
// so long that it must be gone.
func (l *lane) dead(now time.Time) *laneConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || !l.conn.isDead(now) {
		return nil
	}
	return l.conn
}

// connection gives the connection, or nil.
func (l *lane) connection() *laneConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// close takes no more calls and ends the connection. run fails what is left.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		conn.close()
	}
}

func (l *lane) failAll() {
	l.mu.Lock()
	l.closed = true
	calls := append(l.held, l.refused...)
	for _, q := range l.queues {
		calls = append(calls, q.calls...)
		q.calls = nil
	}
	l.held, l.refused = nil, nil
	l.mu.Unlock()
	for _, c := range calls {
		c.fail(errMuxClosed)
	}
}
