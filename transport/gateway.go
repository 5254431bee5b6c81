package transport

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// Gateway holds the clients' ends of WebSockets and satisfies actor.Gateway.
//
// Locks are taken in the order audienceSlot.mu, audience.mu, socket.mu; the
// others are held alone. None is held over I/O or a call of the dispatcher.
type Gateway struct {
	// Fixed after NewGateway; dispatcher after NewServer.
	start      uint64
	cfg        GatewayConfig
	dispatcher Dispatcher
	sessions   Sessions // the dispatcher, if it is one; else nil
	log        *slog.Logger
	events     Events
	ctx        context.Context // of Message calls and the pinger; ended by Close
	cancel     context.CancelFunc

	sockets   socketTable
	audiences audienceTable

	buffers  sync.Pool      // *[]byte of coalesceBytes, for writing
	scratch  sync.Pool      // *[]byte of scratchBytes, for reading
	headers  sync.Pool      // gorilla's write buffers; only handshakes use them
	running  sync.WaitGroup // readers, writers, pending handshakes, late closes
	pingings sync.WaitGroup // the pinger

	mu      sync.Mutex // guards the following fields
	closing bool
	counter uint64 // number of the last socket
	open    int    // sockets in the table
	pinging bool   // the pinger runs
}

// NewGateway makes a gateway without sockets. start is its start number, which
// no gateway of the cluster has had before.
func NewGateway(start uint64, cfg GatewayConfig, log *slog.Logger, events Events) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Gateway{
		start: start, cfg: cfg, log: log, events: events, ctx: ctx, cancel: cancel,
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, coalesceBytes); return &b }},
		scratch: sync.Pool{New: func() any { b := make([]byte, scratchBytes); return &b }},
	}, nil
}

// Deliver implements actor.Gateway. Frames for a socket that has gone are
// dropped: its SocketClosed is on its way.
func (g *Gateway) Deliver(object actor.ID, frame actor.Frame) {
	switch frame.Kind {
	case actor.FrameOpen:
		g.accept(object, frame)
	case actor.FrameMessage:
		g.message(object, frame)
	case actor.FrameClose:
		if s := g.find(object, frame.Socket); s != nil {
			s.closeByObject(frame.Code, frame.Reason)
		}
	case actor.FrameAutoReply:
		if a := g.audiences.get(object); a != nil {
			a.auto.Store(frame.Auto)
		}
	case actor.FrameAck:
		if s := g.find(object, frame.Socket); s != nil {
			s.ack(frame.Number)
		}
	case actor.FrameGone, actor.FrameAttached: // for a relay
	}
}

// Close closes every socket with 1012 and returns when all have gone: after
// CloseSpread and CloseWait at the latest, if the dispatcher takes what it is
// given. New sockets are refused from now on; those that are open work until
// their turn comes.
func (g *Gateway) Close() {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	g.closeSpread()

	// Whoever still waits in Message past the bound is let go.
	hard := time.AfterFunc(g.cfg.CloseWait, g.cancel)
	g.running.Wait()
	hard.Stop()
	g.cancel()
	g.pingings.Wait()
}

// closeSpread closes the sockets at equal distances over CloseSpread, however few
// they are: a client's return may be dear to its object. Nobody waits for the turn
// of one that has gone.
func (g *Gateway) closeSpread() {
	var all []*socket
	for slot := range g.sockets.slots {
		all = append(all, g.sockets.slots[slot].list()...)
	}
	began := time.Now()
	for i, s := range all {
		if s.isOpen() {
			wait(g.ctx, g.cfg.CloseSpread*time.Duration(i)/time.Duration(len(all))-time.Since(began))
			s.closeByGateway(websocket.CloseServiceRestart, "the server is restarting", nil)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// register makes a pending socket: frames for it are kept from now on. It must
// be ended by retire.
func (g *Gateway) register(target actor.Target, session bool) (*socket, error) {
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		return nil, ErrClosed
	}
	g.counter++
	s := &socket{gateway: g, id: actor.NewSocketID(g.start, g.counter), object: target.ID, class: target.Class, session: session}
	g.open++
	g.running.Add(1)
	if !g.pinging {
		g.pinging = true
		g.pingings.Go(g.ping)
	}
	g.mu.Unlock()
	g.sockets.add(s)
	return s, nil
}

// retire forgets a socket. Its reader, if it had one, is about to end.
func (g *Gateway) retire(s *socket, joined bool) {
	g.sockets.remove(s)
	if joined {
		g.audiences.leave(s)
	}
	g.mu.Lock()
	g.open--
	g.mu.Unlock()
	g.running.Done()
}

// accept opens a pending socket. If the client left before the object accepted
// it, the object must hear of the end of a socket that it believes to be open.
func (g *Gateway) accept(object actor.ID, frame actor.Frame) {
	if frame.Socket.Gateway() != g.start {
		return // of a gateway that is no more; the runtime ends its sockets itself
	}
	if s := g.find(object, frame.Socket); s != nil && g.audiences.join(s, frame) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return // the start number is over, which ends the socket
	}
	g.running.Go(func() {
		g.dispatcher.SocketClosed(object, frame.Socket, lostInfo("the client left during the handshake"), nil)
	})
}

// message queues a message on one socket or on all that its filter takes.
func (g *Gateway) message(object actor.ID, frame actor.Frame) {
	if frame.Socket != (actor.SocketID{}) {
		if s := g.find(object, frame.Socket); s != nil {
			s.send(encodeFrame(byte(frame.Message), frame.Data))
		}
		return
	}
	if a := g.audiences.get(object); a != nil {
		a.broadcast(encodeFrame(byte(frame.Message), frame.Data), frame.Tag, frame.Except)
	}
}

// find gives the object's socket, or nil if it has gone.
func (g *Gateway) find(object actor.ID, id actor.SocketID) *socket {
	if id.Gateway() != g.start {
		return nil
	}
	s := g.sockets.get(id)
	if s == nil || s.object != object {
		return nil
	}
	return s
}
