package actor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Bounds of what a socket between objects holds for an object that does not receive.
const (
	clientQueueMessages = 256
	clientQueueBytes    = 1 << 20
)

// ClientSocket is the client's end of a WebSocket from one object to another.
// It ends with the activation that dialled it.
type ClientSocket struct {
	act    *activation
	loop   *loopGateway
	object ID
	id     SocketID

	mu     sync.Mutex // guards the following fields
	open   bool       // accepted by the object
	tags   []string
	auto   *AutoReply
	sent   uint64 // messages handed to the object
	queue  queue[Message]
	bytes  int
	closed *SocketClosedError
	change signal
}

// SocketClosedError is how Receive ends.
type SocketClosedError struct {
	Code   int
	Reason string
}

// Error gives code and reason.
func (e *SocketClosedError) Error() string {
	return fmt.Sprintf("actor: the socket was closed: %d %s", e.Code, e.Reason)
}

// Dial asks the object for a WebSocket. If the object accepts it the response
// has status 101; otherwise the socket is nil and the response is the object's answer.
func (s *Stub) Dial(ctx context.Context, r *http.Request) (*ClientSocket, *http.Response, error) {
	r = r.Clone(ctx)
	r.Method = http.MethodGet
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	c := s.act.host.loop.register(s.act, s.target.ID)
	call, err := s.start(ctx, r, c.id)
	if err == nil {
		var resp *http.Response
		if resp, err = call.Response(ctx); err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
			if s.act.keepClient(c) {
				return c, resp, nil
			}
			err = ErrEnded
		} else if err == nil {
			c.loop.forget(c)
			return nil, resp, nil
		}
	}
	c.lost()
	return nil, nil, err
}

// keepClient ties a socket to the life of the activation that dialled it.
func (act *activation) keepClient(c *ClientSocket) bool {
	act.mu.Lock()
	defer act.mu.Unlock()
	if act.ended {
		return false
	}
	act.clients = append(act.clients, c)
	return true
}

// Receive gives the next message; waiting for it is an outside wait. At the end
// of the socket the error is a *SocketClosedError.
func (c *ClientSocket) Receive(ctx context.Context) (Message, error) {
	c.act.mu.Lock()
	_, err := c.act.enterLocked(ctx)
	c.act.mu.Unlock()
	if err != nil {
		return Message{}, err
	}
	m, more, err := c.next()
	if more == nil {
		return m, err
	}
	ev, err := c.act.leave(ctx, false)
	if err != nil {
		return Message{}, err
	}
	for more != nil {
		select {
		case <-more:
		case <-c.act.done:
			return Message{}, ErrEnded
		}
		m, more, err = c.next()
	}
	if back := c.act.comeBack(ev); back != nil {
		return Message{}, back
	}
	return m, err
}

func (c *ClientSocket) next() (m Message, more <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue.len() > 0 {
		m = c.queue.pop()
		c.bytes -= len(m.Data)
		return m, nil, nil
	}
	if c.closed != nil {
		return Message{}, nil, c.closed
	}
	return Message{}, c.change.waitLocked(), nil
}

// Send sends a message to the object when the writes made before it are
// durable. If the object has too much to do the socket is closed with 1013.
func (c *ClientSocket) Send(ctx context.Context, m Message) error {
	if err := checkMessage(m); err != nil {
		return err
	}
	m.Data = slices.Clone(m.Data)
	return c.emit(ctx, func() { c.deliver(m) })
}

// Close closes the socket; the object gets a SocketClose.
func (c *ClientSocket) Close(ctx context.Context, code int, reason string) error {
	if !validClose(code, reason) {
		return ErrCloseCode
	}
	if code == 0 {
		code = closeNoStatus
	}
	return c.emit(ctx, func() {
		if c.end(&SocketClosedError{code, reason}) {
			c.act.host.router.SocketClosed(c.object, c.id, CloseInfo{Code: code, Reason: reason, Clean: true}, nil)
		}
	})
}

func (c *ClientSocket) emit(ctx context.Context, send func()) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed != nil {
		return ErrSocketClosed
	}
	c.act.mu.Lock()
	defer c.act.unlock()
	ev, err := c.act.enterLocked(ctx)
	if err != nil {
		return err
	}
	c.act.emitActLocked(ev, func(err error) {
		if err == nil {
			send()
		}
	})
	return nil
}

// deliver hands a message to the object. It runs in the output gate and does not block.
func (c *ClientSocket) deliver(m Message) {
	c.mu.Lock()
	auto := c.auto
	c.mu.Unlock()
	if auto != nil && m.Kind == Text && string(m.Data) == auto.Request {
		c.receive(Message{Kind: Text, Data: []byte(auto.Reply)})
		return
	}
	c.mu.Lock()
	c.sent++
	number := c.sent
	c.mu.Unlock()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.act.host.router.Message(now, c.object, c.id, number, m); err != nil {
		c.breakOff(closeTryLater, "the object has too much to do")
	}
}

// receive takes a message from the object.
func (c *ClientSocket) receive(m Message) {
	c.mu.Lock()
	full := c.queue.len() >= clientQueueMessages || c.bytes+len(m.Data) > clientQueueBytes && c.queue.len() > 0
	if !full && c.closed == nil {
		c.queue.push(m)
		c.bytes += len(m.Data)
		c.change.broadcast()
	}
	c.mu.Unlock()
	if full {
		c.breakOff(closeTryLater, "the receiver is too slow")
	}
}

// lost ends the socket because its activation has ended.
func (c *ClientSocket) lost() { c.breakOff(closeLost, "the dialling object's activation has ended") }

func (c *ClientSocket) breakOff(code int, reason string) {
	if c.end(&SocketClosedError{code, reason}) {
		c.act.host.router.SocketClosed(c.object, c.id, CloseInfo{Code: code, Reason: reason}, nil)
	}
}

// end ends the socket once and says whether the object must be told.
func (c *ClientSocket) end(cause *SocketClosedError) (tell bool) {
	c.loop.forget(c)
	c.mu.Lock()
	first := c.closed == nil
	if first {
		c.closed = cause
		c.change.broadcast()
	}
	tell = first && c.open
	c.mu.Unlock()
	return tell
}

// loopGateway is the gateway of the sockets that objects of this node dialled.
type loopGateway struct {
	host  *Host
	start uint64

	mu      sync.Mutex // guards the following fields
	number  uint64
	sockets map[ID]map[SocketID]*ClientSocket // by the object that they lead to
}

func newLoopGateway(h *Host, start uint64) *loopGateway {
	return &loopGateway{host: h, start: start, sockets: make(map[ID]map[SocketID]*ClientSocket)}
}

func (g *loopGateway) register(act *activation, object ID) *ClientSocket {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.number++
	c := &ClientSocket{act: act, loop: g, object: object, id: NewSocketID(g.start, g.number)}
	if g.sockets[object] == nil {
		g.sockets[object] = make(map[SocketID]*ClientSocket)
	}
	g.sockets[object][c.id] = c
	return c
}

func (g *loopGateway) forget(c *ClientSocket) {
	g.mu.Lock()
	delete(g.sockets[c.object], c.id)
	if len(g.sockets[c.object]) == 0 {
		delete(g.sockets, c.object)
	}
	g.mu.Unlock()
	c.act.mu.Lock()
	c.act.clients = slices.DeleteFunc(c.act.clients, func(o *ClientSocket) bool { return o == c })
	c.act.mu.Unlock()
}

// Deliver implements Gateway.
func (g *loopGateway) Deliver(object ID, f Frame) {
	receivers := g.receivers(object, f)
	for _, c := range receivers {
		c.take(f)
	}
	if f.Kind == FrameOpen && len(receivers) == 0 {
		// Whoever dialled gave up before the object accepted.
		g.host.router.SocketClosed(object, f.Socket, CloseInfo{Code: closeLost, Reason: "the dialling object's activation has ended"}, nil)
	}
}

func (g *loopGateway) receivers(object ID, f Frame) (all []*ClientSocket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sockets := g.sockets[object]
	if f.Socket != (SocketID{}) {
		if c := sockets[f.Socket]; c != nil {
			all = append(all, c)
		}
		return all
	}
	for id, c := range sockets {
		if !slices.Contains(f.Except, id) {
			all = append(all, c)
		}
	}
	return all
}

func (c *ClientSocket) take(f Frame) {
	switch f.Kind {
	case FrameOpen:
		c.mu.Lock()
		c.open, c.tags, c.auto = true, f.Tags, f.Auto
		c.mu.Unlock()
	case FrameMessage:
		c.mu.Lock()
		wanted := c.open && (f.Tag == "" || slices.Contains(c.tags, f.Tag))
		c.mu.Unlock()
		if wanted {
			c.receive(Message{Kind: f.Message, Data: slices.Clone(f.Data)})
		}
	case FrameClose:
		code := f.Code
		if code == 0 {
			code = closeNoStatus
		}
		c.end(&SocketClosedError{code, f.Reason})
	case FrameAutoReply:
		c.mu.Lock()
		c.auto = f.Auto
		c.mu.Unlock()
	case FrameAck, FrameGone, FrameAttached: // the window of a socket between objects is the object's mailbox
	}
}

// IsSocketClosed says whether err is the end of a ClientSocket, and how it ended.
func IsSocketClosed(err error) (code int, reason string, ok bool) {
	if closed, ok := errors.AsType[*SocketClosedError](err); ok {
		return closed.Code, closed.Reason, true
	}
	return 0, "", false
}
