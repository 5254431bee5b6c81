package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// helloTimeout bounds the wait for the first frame.
	helloTimeout = 5 * time.Second
	// maxUnwritten bounds the answers that a peer does not read.
	maxUnwritten = 1 << 20
)

// inboundKey tells connections apart of which a peer has only one.
type inboundKey struct {
	node string
	use  laneUse
}

// serve takes an authenticated connection that a peer has made, and owns it. It
// does not block.
func (m *raftMux) serve(conn net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.inbound) >= maxInbound {
		conn.Close() //nolint:errcheck // the peer will dial again
		return
	}
	m.inbound[conn] = struct{}{}
	m.running.Go(func() {
		defer m.forget(conn)
		if err := m.receive(conn); err != nil && m.ctx.Err() == nil {
			m.log.Warn("refused a raft connection", "peer", conn.RemoteAddr().String(), "error", err)
		}
	})
}

func (m *raftMux) forget(conn net.Conn) {
	conn.Close() //nolint:errcheck // both ends know how to go on
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.inbound, conn)
	for key, newest := range m.newest {
		if newest == conn {
			delete(m.newest, key)
		}
	}
}

// receive serves the connection until it ends. It gives an error only if the
// peer is not one that this node understands.
func (m *raftMux) receive(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return nil //nolint:nilerr // the connection is gone already
	}
	r := bufio.NewReader(conn)
	data, err := readFrame(r, nil, maxHelloBytes)
	if err != nil {
		return fmt.Errorf("%w: read hello: %w", errMuxFrame, err)
	}
	h, err := decodeHello(data)
	if err != nil {
		return err
	}
	if h.means != m.cfg.node {
		return fmt.Errorf("%w: %s wants node %s", errMuxFrame, h.node, h.means)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil //nolint:nilerr // the connection is gone already
	}
	if h.use == laneSnapshot {
		return m.receiveSnapshot(conn, r, h)
	}
	if h.use == lanePeer {
		return m.answerPeer(conn, r)
	}
	m.replace(h, conn)
	a := &acceptedConn{
		mux: m, conn: conn, hello: h, wake: make(chan struct{}, 1),
		partials: make(map[uint64]*partial), senders: make(map[uint64][]byte),
	}
	return a.run(r)
}

// replace closes the peer's earlier connection for the same use, which may be a
// dead one.
func (m *raftMux) replace(h hello, conn net.Conn) {
	key := inboundKey{node: h.node, use: h.use}
	m.mu.Lock()
	earlier := m.newest[key]
	m.newest[key] = conn
	m.mu.Unlock()
	if earlier != nil {
		earlier.Close() //nolint:errcheck // the peer has given it up
	}
}

// acceptedConn is the receiving end of a peer's lane.
type acceptedConn struct {
	// Fixed.
	mux   *raftMux
	conn  net.Conn
	hello hello
	wake  chan struct{} // one slot: there is something to write, or the end

	// Owned by run.
	partials map[uint64]*partial
	senders  map[uint64][]byte // the peer's replicas by number, as EncodePeer gives them
	beats    []heartbeat
	answers  []numberedAnswer

	mu        sync.Mutex // guards the following fields
	unwritten []byte     // whole frames
	ended     bool
}

// partial is a message of which some frames have come.
type partial struct {
	address muxAddress
	total   uint64
	data    []byte
}

// run reads requests until the connection ends.
func (a *acceptedConn) run(r *bufio.Reader) error {
	var writing sync.WaitGroup
	writing.Go(a.write)
	defer func() {
		a.conn.Close() //nolint:errcheck // both ends know how to go on
		a.end()
		writing.Wait()
	}()
	response := make(chan raft.RPCResponse, 1)
	var data []byte
	for {
		var err error
		if data, err = readFrame(r, data, maxFrameBytes); err != nil {
			if errors.Is(err, errMuxFrame) {
				return err
			}
			return nil
		}
		switch frameKind(data[0]) {
		case frameHeartbeats:
			err = a.heartbeats(data, response)
		case frameMessage:
			// The message aliases the frame for as long as the log keeps its entries, so
			// it must not hold on to a buffer that was made for a larger one.
			if cap(data) > 2*len(data)+1024 {
				err = a.frame(slices.Clone(data))
			} else {
				err = a.frame(data)
				data = nil
			}
		default:
			err = a.frame(data)
		}
		if err != nil {
			return err
		}
	}
}

// heartbeats answers at once those that may pass by the inbox, and says in any
// case that this node is alive.
func (a *acceptedConn) heartbeats(data []byte, response chan raft.RPCResponse) error {
	beats, err := decodeHeartbeats(a.beats[:0], data)
	a.beats = beats
	if err != nil {
		return err
	}
	answers := a.answers[:0]
	for _, h := range beats {
		port := a.mux.port(h.address)
		if port == nil {
			answers = append(answers, numberedAnswer{id: h.id, answer: muxAnswer{refused: refusedReplica}})
			continue
		}
		m := &message{kind: messageHeartbeat, term: h.term}
		sender := a.sender(h.address.from)
		request, _ := m.request(sender).(*raft.AppendEntriesRequest)
		if answer, ok := port.passHeartbeat(request, response); ok {
			answers = append(answers, numberedAnswer{id: h.id, answer: answer})
		} else {
			a.put(port, h.id, &inbound{message: m, sender: sender})
		}
	}
	a.answers = answers
	a.reply(answers)
	return nil
}

// sender is the peer's replica with that number. What the peer says about it is
// the number alone.
func (a *acceptedConn) sender(number uint64) []byte {
	s := a.senders[number]
	if s == nil {
		if len(a.senders) == groupCount {
			clear(a.senders)
		}
		s = []byte(replicaID{node: a.hello.node, directory: a.hello.directory, number: number}.serverID())
		a.senders[number] = s
	}
	return s
}

// frame takes a frame of a message, and the message when it is complete.
func (a *acceptedConn) frame(data []byte) error {
	f, err := decodeFrame(data)
	if err != nil {
		return err
	}
	if f.kind == frameMessage {
		return a.message(f.address, f.id, f.body)
	}
	p := a.partials[f.id]
	switch {
	case f.kind == frameFirst && p == nil && len(a.partials) < maxOpenMessages:
		p = &partial{address: f.address, total: f.total, data: make([]byte, 0, f.total)}
		a.partials[f.id] = p
	case f.kind == frameMore && p != nil && p.address == f.address:
	default:
		return fmt.Errorf("%w: frame of kind %d out of turn", errMuxFrame, f.kind)
	}
	if uint64(len(p.data)+len(f.body)) > p.total {
		return fmt.Errorf("%w: message longer than announced", errMuxFrame)
	}
	p.data = append(p.data, f.body...)
	if uint64(len(p.data)) < p.total {
		return nil
	}
	delete(a.partials, f.id)
	return a.message(p.address, f.id, p.data)
}

// message gives a request to the replica that it is for.
func (a *acceptedConn) message(address muxAddress, id uint64, data []byte) error {
	m, err := decodeMessage(data)
	if err != nil {
		return err
	}
	port := a.mux.port(address)
	if port == nil {
		a.reply([]numberedAnswer{{id: id, answer: muxAnswer{refused: refusedReplica}}})
		return nil
	}
	sender := a.sender(address.from)
	switch m.kind {
	case messageTicket:
		a.reply([]numberedAnswer{{id: id, answer: port.giveTicket(m, sender)}})
	case messageSnapshot:
		return fmt.Errorf("%w: snapshot among other messages", errMuxFrame)
	default:
		a.put(port, id, &inbound{message: m, sender: sender, bytes: len(data)})
	}
	return nil
}

// put gives a request to the replica's inbox; its answer goes back over this connection.
func (a *acceptedConn) put(port *raftPort, id uint64, in *inbound) {
	in.reply = func(answer muxAnswer) { a.reply([]numberedAnswer{{id: id, answer: answer}}) }
	if refused := port.inbox.put(in); refused != refusedNot {
		in.reply(muxAnswer{refused: refused})
	}
}

// reply queues answers. A peer that does not read them loses the connection.
func (a *acceptedConn) reply(answers []numberedAnswer) {
	a.mu.Lock()
	full := len(a.unwritten) > maxUnwritten
	if !full && !a.ended {
		a.unwritten = appendAnswers(a.unwritten, answers)
	}
	a.mu.Unlock()
	if full {
		a.conn.Close() //nolint:errcheck // the peer sends again what was not answered
	}
	a.signal()
}

func (a *acceptedConn) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *acceptedConn) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.signal()
}

// write sends the answers, as many at once as there are.
func (a *acceptedConn) write() {
	var buf []byte
	for range a.wake {
		a.mu.Lock()
		buf, a.unwritten = a.unwritten, buf[:0]
		ended := a.ended
		a.mu.Unlock()
		if ended {
			return
		}
		if len(buf) == 0 {
			continue
		}
		err := a.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err == nil {
			_, err = a.conn.Write(buf)
		}
		if err != nil {
			a.conn.Close() //nolint:errcheck // the reader notices and ends
		}
	}
}
