package transport

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// scriptedHost is a runtime that owns everything and takes messages as told.
type scriptedHost struct {
	gateway actor.Gateway // the relay's
	take    func(actor.Arrival) error
}

func (h *scriptedHost) Take(_ context.Context, a actor.Arrival) error { return h.take(a) }

func (h *scriptedHost) CloseSocket(c actor.Closing) error {
	h.gateway.Deliver(c.Object, actor.Frame{Kind: actor.FrameGone, Socket: c.Socket})
	return nil
}

func (h *scriptedHost) Attach(object actor.ID, _ uint64, _ []actor.SocketID, _ uint64) error {
	h.gateway.Deliver(object, actor.Frame{Kind: actor.FrameAttached})
	return nil
}

func (h *scriptedHost) Acknowledge(actor.ID, uint64, uint64)    {}
func (h *scriptedHost) AddGateway(_ uint64, g actor.Gateway)    { h.gateway = g }
func (h *scriptedHost) RemoveGateway(_ uint64, _ actor.Gateway) {}

// heardGateway remembers the kinds of what it is given.
type heardGateway struct {
	mu   sync.Mutex // guards the following field
	made []actor.Frame
}

func (g *heardGateway) Deliver(_ actor.ID, f actor.Frame) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.made = append(g.made, f)
}

func (g *heardGateway) heard(kind actor.FrameKind) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.made, func(f actor.Frame) bool { return f.Kind == kind })
}

// roomCase is a room with one open socket at a scripted host, in a bubble.
type roomCase struct {
	relay   *Relay
	host    *scriptedHost
	gateway *heardGateway
	id      streamID
	socket  actor.SocketID
}

func inRoom(t *testing.T, f func(c *roomCase)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &roomCase{host: new(scriptedHost), gateway: new(heardGateway), id: streamID{gateway: 2}, socket: actor.NewSocketID(2, 1)}
		owners := &fixedResolver{owner: Owner{Local: true}, ok: true, changed: make(chan struct{})}
		dial := func(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }
		var err error
		if c.relay, err = NewRelay(RelayConfig{}, c.host, owners, dial, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		c.relay.AddGateway(2, c.gateway)
		if err := c.relay.prepare(t.Context(), c.id.object, c.socket, false, Owner{Local: true}); err != nil {
			t.Fatal(err)
		}
		c.deliver(actor.Frame{Kind: actor.FrameOpen, Socket: c.socket, Number: 1})
		time.Sleep(time.Second) // a way that is found is kept for a moment
		f(c)
		c.relay.Close(t.Context())
	})
}

func (c *roomCase) deliver(f actor.Frame) { c.host.gateway.Deliver(c.id.object, f) }

// A message that was lost comes again before those that were sent behind it,
// however slow their sender is.
func TestRoomSendsNothingAheadOfWhatComesAgain(t *testing.T) {
	inRoom(t, func(c *roomCase) {
		var mu sync.Mutex
		var last uint64
		var effect []uint64
		lost := false
		c.host.take = func(a actor.Arrival) error {
			mu.Lock()
			defer mu.Unlock()
			if a.Number == 1 && !lost {
				lost = true // taken, and then lost with its activation, while the sender is held up
				go a.Lost(actor.ErrNotOwner)
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				mu.Lock()
				return nil
			}
			if a.Stale() {
				return nil
			}
			if a.Number > last { // as the runtime: what is not above the last is a duplicate
				last = a.Number
				effect = append(effect, a.Number)
			}
			go c.deliver(actor.Frame{Kind: actor.FrameAck, Socket: c.socket, Number: a.Number})
			return nil
		}
		r := c.relay.rooms.with(c.id, nil, func(r *room) {
			for n := uint64(1); n <= 3; n++ {
				if err := r.messageLocked(c.socket, n, actor.Message{Kind: actor.Text}); err != nil {
					t.Error(err)
				}
			}
		})
		r.pump()
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(effect, []uint64{1, 2, 3}) {
			t.Errorf("messages that took effect = %v, want 1 2 3", effect)
		}
	})
}

// The runtime's own close of a socket may come while the room has no way. The
// client hears of it all the same.
func TestRoomTellsTheClientOfASocketThatIsGone(t *testing.T) {
	inRoom(t, func(c *roomCase) {
		c.relay.moved(c.relay.local, c.id)
		c.deliver(actor.Frame{Kind: actor.FrameClose, Socket: c.socket, Code: websocket.CloseTryAgainLater})
		time.Sleep(time.Second)
		c.deliver(actor.Frame{Kind: actor.FrameGone, Socket: c.socket})
		time.Sleep(time.Minute)
		if c.relay.rooms.get(c.id) != nil || !c.gateway.heard(actor.FrameClose) {
			t.Errorf("room %v, close heard: %v, want no room and a close", c.relay.rooms.get(c.id), c.gateway.heard(actor.FrameClose))
		}
	})
}

// Either both the room and the gateway's window forget a message, or neither does.
func TestRoomForgetsAMessageTogetherWithItsGateway(t *testing.T) {
	inRoom(t, func(c *roomCase) {
		c.host.take = func(actor.Arrival) error { return nil }
		if err := c.relay.Message(c.id.object, c.socket, 1, actor.Message{Kind: actor.Text}); err != nil {
			t.Fatal(err)
		}
		r := c.relay.rooms.get(c.id)
		// A large audience is being given a frame; meanwhile an acknowledgement comes, and
		// the way goes. (A lock that is waited for blocks no bubble's clock.)
		r.order.Lock()
		var acked sync.WaitGroup
		started := make(chan struct{})
		acked.Go(func() {
			close(started)
			c.deliver(actor.Frame{Kind: actor.FrameAck, Socket: c.socket, Number: 1})
		})
		<-started
		c.relay.moved(c.relay.local, c.id)
		r.order.Unlock()
		acked.Wait()
		left := 0
		c.relay.rooms.with(c.id, nil, func(r *room) { left = len(r.seats[c.socket].unacked) })
		if forgotten := left == 0; forgotten != c.gateway.heard(actor.FrameAck) {
			t.Errorf("the room forgot the message: %v, the gateway: %v, want the same", forgotten, !forgotten)
		}
	})
}

// A request for a socket whose answer breaks off leaves nothing behind.
func TestRoomOfARequestThatBrokeOff(t *testing.T) {
	inRoom(t, func(c *roomCase) {
		target := actor.Target{ID: actor.ID{9}}
		socket := actor.NewSocketID(2, 7)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic that ends a connection was swallowed")
				}
			}()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			_ = c.relay.open(httptest.NewRecorder(), r, target, socket, func(w http.ResponseWriter) error {
				if err := c.relay.prepare(r.Context(), target.ID, socket, false, Owner{Local: true}); err != nil {
					t.Error(err)
				}
				w.WriteHeader(http.StatusOK)
				panic(http.ErrAbortHandler)
			})
		}()
		if r := c.relay.rooms.get(streamID{2, target.ID}); r != nil {
			t.Errorf("room = %v, want none", r)
		}
	})
}
