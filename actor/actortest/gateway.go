package actortest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/holdfast-dev/holdfast/actor"
)

// Gateway holds clients' sockets in memory, as transport does on the wire. It
// satisfies actor.Gateway.
type Gateway struct {
	node  *Node
	start uint64

	mu      sync.Mutex // guards the following fields
	number  uint64
	sockets map[actor.SocketID]*Socket
	frames  []actor.Frame // all that were delivered
}

// NewGateway adds a gateway to the node, in its place of the node's gateway to
// clients. It is gone after the node's next start.
func (n *Node) NewGateway() *Gateway {
	g := &Gateway{node: n, start: n.cfg.Start << 1, sockets: make(map[actor.SocketID]*Socket)}
	n.Host.AddGateway(g.start, g)
	return g
}

// OtherGateway adds a gateway of another node, with a start number of the test's
// choice. It is missing when it is removed from the Host.
func (n *Node) OtherGateway(start uint64) *Gateway {
	g := &Gateway{node: n, start: start, sockets: make(map[actor.SocketID]*Socket)}
	n.Host.AddGateway(start, g)
	return g
}

// Start gives the gateway's start number.
func (g *Gateway) Start() uint64 { return g.start }

// Frames gives the frames that were delivered so far.
func (g *Gateway) Frames() []actor.Frame {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.frames)
}

// Socket is a client's end.
type Socket struct {
	gateway *Gateway
	object  actor.ID
	id      actor.SocketID

	// Guarded by gateway.mu.
	open     bool
	tags     []string
	auto     *actor.AutoReply
	sent     uint64
	acked    []uint64
	messages []actor.Message
	closed   *actor.CloseInfo // by the object
}

// Begin asks the object for a socket and does not wait for the answer.
func (g *Gateway) Begin(target actor.Target, path string, header http.Header) (*Socket, *Call) {
	g.mu.Lock()
	g.number++
	s := &Socket{gateway: g, object: target.ID, id: actor.NewSocketID(g.start, g.number)}
	g.sockets[s.id] = s
	g.mu.Unlock()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, http.NoBody)
	maps.Copy(r.Header, header)
	c := &Call{recorder: httptest.NewRecorder(), done: make(chan struct{})}
	g.node.calls.Go(func() {
		defer close(c.done)
		c.err = g.node.Host.Dispatch(c.recorder, r, target, s.id)
		if c.err != nil || c.recorder.Code != http.StatusSwitchingProtocols {
			g.mu.Lock()
			delete(g.sockets, s.id)
			g.mu.Unlock()
		}
	})
	return s, c
}

// Dial opens a socket; the object must accept it.
func (g *Gateway) Dial(target actor.Target, path string) *Socket {
	g.node.tb.Helper()
	s, call := g.Begin(target, path, nil)
	if err := call.Err(); err != nil || call.recorder.Code != http.StatusSwitchingProtocols {
		g.node.tb.Fatalf("Dial %s = %d %q, %v, want 101", path, call.recorder.Code, call.recorder.Body, err)
	}
	return s
}

// Deliver implements actor.Gateway.
func (g *Gateway) Deliver(object actor.ID, f actor.Frame) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frames = append(g.frames, f)
	if f.Socket != (actor.SocketID{}) {
		if s := g.sockets[f.Socket]; s != nil && s.object == object {
			s.take(f)
		}
		return
	}
	for id, s := range g.sockets {
		wanted := f.Tag == "" || slices.Contains(s.tags, f.Tag)
		if s.object == object && s.open && wanted && !slices.Contains(f.Except, id) {
			s.take(f)
		}
	}
}

func (s *Socket) take(f actor.Frame) {
	switch f.Kind {
	case actor.FrameOpen:
		s.open, s.tags, s.auto = true, f.Tags, f.Auto
	case actor.FrameMessage:
		s.messages = append(s.messages, actor.Message{Kind: f.Message, Data: f.Data})
	case actor.FrameClose:
		s.closed = &actor.CloseInfo{Code: f.Code, Reason: f.Reason}
		delete(s.gateway.sockets, s.id)
	case actor.FrameAutoReply:
		s.auto = f.Auto
	case actor.FrameAck:
		s.acked = append(s.acked, f.Number)
	case actor.FrameGone, actor.FrameAttached: // a client's end does not ask
	}
}

// ID gives the socket's ID.
func (s *Socket) ID() actor.SocketID { return s.id }

// Send sends a text message. The error is that of Host.Message.
func (s *Socket) Send(text string) error {
	return s.SendMessage(actor.Message{Kind: actor.Text, Data: []byte(text)})
}

// SendMessage sends a message, or takes the automatic reply to it.
func (s *Socket) SendMessage(m actor.Message) error {
	s.gateway.mu.Lock()
	if s.auto != nil && m.Kind == actor.Text && string(m.Data) == s.auto.Request {
		s.messages = append(s.messages, actor.Message{Kind: actor.Text, Data: []byte(s.auto.Reply)})
		s.gateway.mu.Unlock()
		return nil
	}
	s.sent++
	number := s.sent
	s.gateway.mu.Unlock()
	return s.SendNumber(number, m)
}

// SendNumber sends a message under a number of the test's choice.
func (s *Socket) SendNumber(number uint64, m actor.Message) error {
	return s.gateway.node.Host.Message(context.Background(), s.object, s.id, number, m)
}

// Close ends the client's side.
func (s *Socket) Close(info actor.CloseInfo, cause error) {
	s.gateway.mu.Lock()
	delete(s.gateway.sockets, s.id)
	s.gateway.mu.Unlock()
	s.gateway.node.Host.SocketClosed(s.object, s.id, info, cause)
}

// Received gives the messages that the client got so far, binary ones in hex.
func (s *Socket) Received() []string {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	var all []string
	for _, m := range s.messages {
		text := string(m.Data)
		if m.Kind == actor.Binary {
			text = fmt.Sprintf("%x", m.Data)
		}
		all = append(all, text)
	}
	return all
}

// Acked gives the numbers of the messages that were acknowledged so far.
func (s *Socket) Acked() []uint64 {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	return slices.Clone(s.acked)
}

// Tags gives the tags with which the object accepted the socket.
func (s *Socket) Tags() []string {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	return slices.Clone(s.tags)
}

// Closed says how the object closed the socket; ok is false if it did not.
func (s *Socket) Closed() (info actor.CloseInfo, ok bool) {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	if s.closed == nil {
		return info, false
	}
	return *s.closed, true
}
