package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	// socketVersion is the newest form of the socket link.
	socketVersion = 1
	// maxLinkGateways bounds the gateways of one node.
	maxLinkGateways = 16
)

// ownerLink is the gateway's end of a socket link: the way to the objects that
// another node owns. It is dialled on demand, lives until it breaks or has not
// been used for a while, and carries all gateways of this node.
type ownerLink struct {
	*socketConn // set before ready is closed, and so is err
	err         error

	// Fixed after Relay.link.
	relay *Relay
	node  string
	ready chan struct{} // closed when the link is up, or has failed

	used time.Time // last asked for; guarded by Relay.mu
}

// link gives the link to a node when it is up. ctx ends the wait, not the dialling.
func (rl *Relay) link(ctx context.Context, node string) (*ownerLink, error) {
	rl.mu.Lock()
	if rl.closed {
		rl.mu.Unlock()
		return nil, ErrClosed
	}
	l := rl.links[node]
	if l == nil {
		l = &ownerLink{relay: rl, node: node, ready: make(chan struct{})}
		rl.links[node] = l
		rl.running.Go(l.run)
		if !rl.tended {
			rl.tended = true
			rl.running.Go(rl.tend)
		}
	}
	l.used = time.Now()
	rl.mu.Unlock()
	select {
	case <-l.ready:
		return l, l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// run is the life of a link.
func (l *ownerLink) run() {
	rl := l.relay
	conn, err := l.open()
	if err != nil {
		l.err = fmt.Errorf("transport: socket link to node %s: %w", l.node, err)
		rl.forgetLink(l)
		close(l.ready)
		return
	}
	c := newSocketConn(conn, rl.cfg.QueueBytes, rl.cfg.Beat)
	rl.mu.Lock()
	l.socketConn = c
	if rl.closed {
		c.breakOff(ErrClosed)
	}
	rl.mu.Unlock()
	close(l.ready)
	rl.running.Go(c.write)
	c.read(l.take)
	rl.log.Debug("socket link ended", "node", l.node, "cause", c.cause)
	rl.cfg.Events.socketLinkEnded(c.cause)
	rl.forgetLink(l)
	rl.lost(l)
}

// open dials and says hello: the version, and the starts of this node's gateways.
// Once the owner has answered its runtime knows the gateways.
func (l *ownerLink) open() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.relay.ctx, linkHandshake)
	defer cancel()
	conn, err := l.relay.dial(ctx, l.node)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it is given up
	err = l.greet(conn)
	if !stop() {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (l *ownerLink) greet(conn net.Conn) error {
	if _, err := conn.Write(appendSocketHello(nil, l.relay.starts())); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != socketVersion {
		return fmt.Errorf("%w: version %d", errSocketWire, answer[0])
	}
	return nil
}

func appendSocketHello(dst []byte, starts []uint64) []byte {
	dst = append(dst, socketVersion, byte(len(starts)))
	for _, start := range starts {
		dst = binary.BigEndian.AppendUint64(dst, start)
	}
	return dst
}

// readSocketHello gives the starts of the gateways that a node brings.
func readSocketHello(r io.Reader) ([]uint64, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if head[0] != socketVersion || head[1] == 0 || head[1] > maxLinkGateways {
		return nil, fmt.Errorf("%w: hello of version %d with %d gateways", errSocketWire, head[0], head[1])
	}
	starts := make([]uint64, head[1])
	return starts, binary.Read(r, binary.BigEndian, starts)
}

func (rl *Relay) starts() []uint64 {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	starts := make([]uint64, 0, len(rl.gateways))
	for start := range rl.gateways {
		starts = append(starts, start)
	}
	return starts
}

func (rl *Relay) forgetLink(l *ownerLink) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.links[l.node] == l {
		delete(rl.links, l.node)
	}
}

// take takes a message of the owner.
func (l *ownerLink) take(id streamID, message []byte) error {
	switch message[0] {
	case wireFrame:
		f, err := actor.DecodeFrame(message[1:])
		if err != nil {
			return err
		}
		l.relay.deliver(l, id, f)
	case wireMoved:
		l.relay.moved(l, id)
	default:
		return fmt.Errorf("%w: message %d of an owner", errSocketWire, message[0])
	}
	return nil
}

func (l *ownerLink) attach(id streamID, a attach) { l.send(id, appendAttach(nil, a)) }

func (l *ownerLink) message(id streamID, socket actor.SocketID, number uint64, m actor.Message) {
	dst := make([]byte, 0, 32+len(m.Data))
	l.send(id, appendMessage(dst, socket, number, m))
}

func (l *ownerLink) acknowledge(id streamID, frame uint64) { l.send(id, appendAck(nil, frame)) }

func (l *ownerLink) closed(id streamID, socket actor.SocketID, c closing) {
	l.send(id, appendClosed(nil, socket, c))
}

func (l *ownerLink) leadsTo(owner Owner) bool { return !owner.Local && owner.Node == l.node }

// breakOff breaks a link that is up.
func (l *ownerLink) breakOff(cause error) {
	if l.socketConn != nil {
		l.socketConn.breakOff(cause)
	}
}

// tend closes links that nobody uses, until the relay is closed.
func (rl *Relay) tend() {
	tick := time.NewTicker(rl.cfg.Idle)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-rl.ctx.Done():
			return
		}
		busy := make(map[way]bool)
		for _, r := range rl.rooms.all() {
			r.uses(busy)
		}
		rl.mu.Lock()
		for _, l := range rl.links {
			if l.socketConn != nil && !busy[l] && time.Since(l.used) >= rl.cfg.Idle && l.queue.empty() {
				l.breakOff(errLinkIdle)
			}
		}
		if len(rl.links) == 0 {
			rl.tended = false
			rl.mu.Unlock()
			return
		}
		rl.mu.Unlock()
	}
}

// uses notes the ways that the room uses or may be about to use.
func (r *room) uses(busy map[way]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	busy[r.way], busy[r.asked] = true, true
	for _, s := range r.seats {
		if s.opening != nil {
			busy[s.opening.by] = true
		}
	}
}
