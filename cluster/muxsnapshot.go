package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// maxSnapshots bounds the snapshots that a node sends at a time. More wait.
	maxSnapshots = 4
	// snapshotStall is how long a peer may take for one write or read, and how
	// long it may be silent while it restores.
	snapshotStall = 10 * time.Second
	// snapshotAlive is how often a restoring replica says that it is at it.
	snapshotAlive = time.Second
	// snapshotBuffer is the size of writes.
	snapshotBuffer = 64 << 10
)

// errSnapshotRefused means that a follower did not take a snapshot: it has newer
// things, or could not restore it.
var errSnapshotRefused = errors.New("cluster: the follower did not take the snapshot")

// snapshotStream is a snapshot on its way to a peer, over a connection of its own:
// a frame with the message, the snapshot's bytes, and back a frame with the answer,
// before which empty ones say that the peer is alive.
type snapshotStream struct {
	call   *call
	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex // guards the following field
	conn net.Conn
}

// sendSnapshot streams a snapshot and waits until the peer has restored it. It
// ends early when the replica does not lead any more.
func (p *raftPort) sendSnapshot(id raft.ServerID, m message, data io.Reader) (muxAnswer, error) {
	to, err := p.replica(id)
	if err != nil {
		return muxAnswer{}, err
	}
	if m.size() > maxFrameBytes-frameOverhead {
		return muxAnswer{}, errCallTooLarge
	}
	s := &snapshotStream{call: &call{port: p, to: to, id: id, message: m}}
	s.ctx, s.cancel = context.WithCancel(p.mux.ctx)
	defer s.cancel()
	if !p.mux.addStream(s) {
		return muxAnswer{}, errMuxClosed
	}
	defer p.mux.dropStream(s)
	select {
	case p.mux.snapshots <- struct{}{}:
		defer func() { <-p.mux.snapshots }()
	case <-s.ctx.Done():
		return muxAnswer{}, errCallAbandoned
	}
	conn, err := p.mux.dialPeer(s.ctx, to.node, laneSnapshot)
	if err != nil {
		return muxAnswer{}, err
	}
	defer conn.Close() //nolint:errcheck // the answer is what counts
	if !s.adopt(conn) {
		return muxAnswer{}, errCallAbandoned
	}
	answer, err := s.exchange(conn, data)
	if err != nil {
		return muxAnswer{}, fmt.Errorf("cluster: send snapshot to %s: %w", id, err)
	}
	if answer.refused != refusedNot {
		return muxAnswer{}, fmt.Errorf("cluster: send snapshot to %s: %w: %v", id, errCallRefused, answer.refused)
	}
	return answer, nil
}

func (m *raftMux) addStream(s *snapshotStream) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.streams[s] = struct{}{}
	m.tickSoon()
	return true
}

func (m *raftMux) dropStream(s *snapshotStream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, s)
}

// adopt lets abort close the connection, unless it has been called already.
func (s *snapshotStream) adopt(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	return s.ctx.Err() == nil
}

// abort ends the stream.
func (s *snapshotStream) abort() {
	s.cancel()
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		conn.Close() //nolint:errcheck // the peer drops what it has
	}
}

func (s *snapshotStream) exchange(conn net.Conn, data io.Reader) (muxAnswer, error) {
	head := binary.AppendUvarint(appendAddress(beginFrame(nil, frameMessage), s.call.address()), 1)
	head = endFrame(appendMessage(head, &s.call.message), 0)
	w := stallWriter{conn: conn}
	if _, err := w.Write(head); err != nil {
		return muxAnswer{}, err
	}
	size := s.call.message.snapshot.size
	n, err := io.CopyBuffer(w, io.LimitReader(data, size), make([]byte, snapshotBuffer))
	if err == nil && n < size {
		err = fmt.Errorf("the snapshot has %d bytes, not %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return muxAnswer{}, err
	}
	r := bufio.NewReader(stallReader{conn: conn})
	for {
		frame, err := readFrame(r, nil, maxFrameBytes)
		if err != nil {
			return muxAnswer{}, err
		}
		answers, err := decodeAnswers(nil, frame)
		if err != nil {
			return muxAnswer{}, err
		}
		if len(answers) > 0 {
			return answers[0].answer, nil
		}
	}
}

// receiveSnapshot gives a snapshot to the replica that it is for, which reads it
// from the connection.
func (m *raftMux) receiveSnapshot(conn net.Conn, r *bufio.Reader, h hello) error {
	if err := conn.SetReadDeadline(time.Now().Add(snapshotStall)); err != nil {
		return nil //nolint:nilerr // the connection is gone already
	}
	data, err := readFrame(r, nil, maxFrameBytes)
	if err != nil {
		if errors.Is(err, errMuxFrame) {
			return err
		}
		return nil
	}
	f, err := decodeFrame(data)
	if err != nil {
		return err
	}
	message, err := decodeMessage(f.body)
	if err != nil {
		return err
	}
	if f.kind != frameMessage || message.kind != messageSnapshot {
		return fmt.Errorf("%w: no snapshot where one was announced", errMuxFrame)
	}
	// Set anew before each read from the connection; what r has buffered needs none.
	body := &snapshotBody{conn: conn, rest: message.snapshot.size, r: r}
	done := make(chan muxAnswer, 1)
	in := &inbound{
		message: message, bytes: len(data), reader: body, reply: func(a muxAnswer) { done <- a },
		sender: []byte(replicaID{node: h.node, directory: h.directory, number: f.address.from}.serverID()),
	}
	refused := refusedReplica
	if port := m.port(f.address); port != nil {
		refused = port.inbox.put(in)
	}
	if refused != refusedNot {
		done <- muxAnswer{refused: refused}
	}
	m.answerSnapshot(conn, body, f.id, done)
	return nil
}

// answerSnapshot says that this node is alive until there is an answer. It says
// nothing before the sender listens, which is when it has sent everything.
func (m *raftMux) answerSnapshot(conn net.Conn, body *snapshotBody, id uint64, done <-chan muxAnswer) {
	ticker := time.NewTicker(snapshotAlive)
	defer ticker.Stop()
	w := stallWriter{conn: conn}
	for {
		select {
		case answer := <-done:
			w.Write(appendAnswers(nil, []numberedAnswer{{id: id, answer: answer}})) //nolint:errcheck // the sender will try again
			return
		case <-ticker.C:
			if !body.complete.Load() {
				continue
			}
			if _, err := w.Write(appendAnswers(nil, nil)); err != nil {
				// The replica goes on restoring what it has.
				<-done
				return
			}
		}
	}
}

// snapshotBody is the snapshot as the receiving replica reads it.
type snapshotBody struct {
	conn     net.Conn
	r        *bufio.Reader
	rest     int64       // owned by the reader
	complete atomic.Bool // everything has been read
}

// Read implements io.Reader.
func (b *snapshotBody) Read(p []byte) (int, error) {
	if b.rest == 0 {
		b.complete.Store(true)
		return 0, io.EOF
	}
	if int64(len(p)) > b.rest {
		p = p[:b.rest]
	}
	if err := b.conn.SetReadDeadline(time.Now().Add(snapshotStall)); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	b.rest -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// stallWriter and stallReader give up when a single call takes too long.
type stallWriter struct{ conn net.Conn }

func (w stallWriter) Write(p []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(snapshotStall)); err != nil {
		return 0, err
	}
	return w.conn.Write(p)
}

type stallReader struct{ conn net.Conn }

func (r stallReader) Read(p []byte) (int, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(snapshotStall)); err != nil {
		return 0, err
	}
	return r.conn.Read(p)
}
