package transport

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// gatewayLink is the owner's end of a socket link: the gateways of another node,
// as this node's runtime sees them.
type gatewayLink struct {
	// Fixed after Accept.
	*socketConn

	relay    *Relay
	gateways []*remoteGateway
	intake   *intake

	mu   sync.Mutex       // guards open
	open map[streamID]int // sockets of each object that are open by way of this link
}

// remoteGateway is one gateway of another node.
type remoteGateway struct {
	link  *gatewayLink
	start uint64
}

// Accept takes over a connection that another node's relay has made. It returns
// when the connection has ended.
func (rl *Relay) Accept(conn net.Conn) {
	l := &gatewayLink{relay: rl, socketConn: newSocketConn(conn, rl.cfg.QueueBytes, rl.cfg.Beat), open: make(map[streamID]int)}
	l.intake = newIntake(rl, l.moved, l.deliver)
	rl.mu.Lock()
	if rl.closed {
		rl.mu.Unlock()
		conn.Close() //nolint:errcheck // nobody serves it any more
		return
	}
	rl.inbound[l] = struct{}{}
	rl.running.Add(1)
	rl.mu.Unlock()
	defer rl.running.Done()
	l.serve()
	rl.mu.Lock()
	delete(rl.inbound, l)
	rl.mu.Unlock()
}

// serve is the life of a link. The gateways are known to the runtime before the
// hello is answered, and hence before any object is asked for a socket of theirs.
func (l *gatewayLink) serve() {
	if err := l.welcome(); err != nil {
		l.relay.log.Warn("a socket link was refused", "peer", l.conn.RemoteAddr().String(), "error", err)
		l.conn.Close() //nolint:errcheck // the refusal is what counts
		return
	}
	for _, g := range l.gateways {
		l.relay.host.AddGateway(g.start, g)
	}
	l.relay.running.Go(l.answerHello)
	l.read(l.take)
	for _, g := range l.gateways {
		l.relay.host.RemoveGateway(g.start, g)
	}
	l.relay.log.Debug("socket link of a gateway ended", "cause", l.cause)
	l.relay.cfg.Events.socketLinkEnded(l.cause)
}

func (l *gatewayLink) welcome() error {
	if err := l.conn.SetReadDeadline(time.Now().Add(linkHandshake)); err != nil {
		return err
	}
	starts, err := readSocketHello(l.conn)
	if err != nil {
		return err
	}
	for _, start := range starts {
		l.gateways = append(l.gateways, &remoteGateway{link: l, start: start})
	}
	return nil
}

// answerHello says yes, and goes on as the link's writer.
func (l *gatewayLink) answerHello() {
	_ = l.conn.SetWriteDeadline(time.Now().Add(linkHandshake))
	if _, err := l.conn.Write([]byte{socketVersion}); err != nil {
		l.breakOff(err)
		return
	}
	l.write()
}

// take takes a message of the gateway.
func (l *gatewayLink) take(id streamID, message []byte) error {
	body := message[1:]
	switch message[0] {
	case wireAttach:
		a, err := decodeAttach(body)
		if err != nil {
			return err
		}
		l.count(id, len(a.sockets))
		l.intake.attach(id, a)
	case wireMessage:
		socket, number, m, err := decodeMessage(body)
		if err != nil {
			return err
		}
		l.intake.message(id, socket, number, m)
	case wireAck:
		frame, err := decodeAck(body)
		if err != nil {
			return err
		}
		l.relay.host.Acknowledge(id.object, id.gateway, frame)
	case wireClosed:
		socket, c, err := decodeClosed(body)
		if err != nil {
			return err
		}
		l.intake.closed(id, socket, c)
	default:
		return fmt.Errorf("%w: message %d of a gateway", errSocketWire, message[0])
	}
	return nil
}

func (l *gatewayLink) moved(id streamID) { l.send(id, []byte{wireMoved}) }

// deliver sends a frame; a broadcast is one message, whatever the number of sockets.
func (l *gatewayLink) deliver(id streamID, f actor.Frame) {
	switch f.Kind {
	case actor.FrameOpen:
		l.count(id, 1)
		l.intake.opened(id, f.Socket)
	case actor.FrameGone:
		l.count(id, -1)
	case actor.FrameClose:
		if f.Number > 0 {
			l.count(id, -1)
		}
	case actor.FrameMessage, actor.FrameAutoReply, actor.FrameAck, actor.FrameAttached:
	}
	dst := make([]byte, 0, 64+len(f.Data))
	l.send(id, appendFrame(dst, id.gateway, f))
}

// count keeps count of the open sockets of a stream.
func (l *gatewayLink) count(id streamID, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[id] += n; l.open[id] <= 0 {
		delete(l.open, id)
	}
}

// Deliver implements actor.Gateway. It does not block; see socketConn.send for a
// gateway that is behind.
func (g *remoteGateway) Deliver(object actor.ID, f actor.Frame) {
	g.link.deliver(streamID{g.start, object}, f)
}

// OwnershipEnded implements actor.Attacher.
func (g *remoteGateway) OwnershipEnded(of func(actor.ID) bool) {
	var ended []streamID
	g.link.mu.Lock()
	for id := range g.link.open {
		if id.gateway == g.start && of(id.object) {
			ended = append(ended, id)
		}
	}
	g.link.mu.Unlock()
	for _, id := range ended {
		g.link.moved(id)
	}
}
