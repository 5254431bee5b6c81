package objects_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
	"github.com/holdfast-dev/holdfast/objects"
)

// door lets clients reach the objects of a node over connections in memory. It
// has no limits: what a gateway does with clients that are slow or hostile is
// tested where the real one lives.
type door struct {
	node   *actortest.Node
	server *http.Server
	dialed chan net.Conn
	closed chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the following fields
	start   uint64     // start number of the gateway
	last    uint64     // number of the newest socket
	sockets map[actor.SocketID]*clientSocket
}

// clientSocket is a client's connection.
type clientSocket struct {
	id     actor.SocketID
	object actor.ID
	tags   []string

	mu    sync.Mutex // guards the following fields
	cond  sync.Cond
	queue []actor.Frame
	over  bool
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{
		node:   actortest.New(t, actor.Config{Classes: objects.Classes()}),
		dialed: make(chan net.Conn), closed: make(chan struct{}), sockets: make(map[actor.SocketID]*clientSocket),
	}
	d.open()
	d.server = &http.Server{Handler: d, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	d.wg.Go(func() {
		if err := d.server.Serve(d); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve() = %v", err)
		}
	})
	t.Cleanup(func() {
		if err := d.server.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
		d.dropAll()
		d.wg.Wait()
	})
	return d
}

// open makes the door known to the host as a gateway.
func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.start++
	d.node.Host.AddGateway(d.start<<1, d)
}

// restart cuts all clients off, restarts the node and opens the door anew.
func (d *door) restart() {
	d.dropAll()
	d.node.Restart()
	d.open()
}

// dropAll forgets all sockets without telling the objects, as a crash does.
func (d *door) dropAll() {
	d.mu.Lock()
	dropped := d.sockets
	d.sockets = make(map[actor.SocketID]*clientSocket)
	d.mu.Unlock()
	for _, s := range dropped {
		s.end()
	}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case conn := <-d.dialed:
		return conn, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (d *door) Close() error { close(d.closed); return nil }

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return &net.UnixAddr{Name: "door", Net: "memory"} }

func (d *door) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case d.dialed <- server:
		return client, nil
	case <-d.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(r.URL.EscapedPath(), "/", 5) // "", objects, class, name, rest
	ids, ok := d.node.Host.IDs(parts[2])
	id, err := ids.Named(parts[3])
	rest, err2 := url.PathUnescape(parts[4])
	if !ok || err != nil || err2 != nil {
		http.Error(w, "bad path", http.StatusBadRequest)
		return
	}
	target := actor.Target{Class: parts[2], ID: id, Name: parts[3]}
	r.URL = &url.URL{Path: "/" + rest, RawPath: "/" + parts[4], RawQuery: r.URL.RawQuery}
	if websocket.IsWebSocketUpgrade(r) {
		d.serveSocket(w, r, target)
		return
	}
	if err := d.node.Host.Dispatch(w, r, target, actor.SocketID{}); err != nil {
		http.Error(w, err.Error()+"\n"+d.node.Log.String(), http.StatusInternalServerError)
	}
}

// switching keeps a 101 back: gorilla writes the handshake.
type switching struct {
	http.ResponseWriter

	switched bool
}

// WriteHeader implements http.ResponseWriter.
func (s *switching) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		s.switched = true
		return
	}
	s.ResponseWriter.WriteHeader(status)
}

func (d *door) serveSocket(w http.ResponseWriter, r *http.Request, target actor.Target) {
	d.mu.Lock()
	d.last++
	id := actor.NewSocketID(d.start<<1, d.last)
	d.mu.Unlock()
	sw := &switching{ResponseWriter: w}
	if err := d.node.Host.Dispatch(sw, r, target, id); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if !sw.switched {
		return
	}
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	d.mu.Lock()
	s := d.sockets[id]
	d.mu.Unlock()
	if s == nil { // the node was restarted meanwhile
		_ = conn.Close()
		return
	}
	d.wg.Go(func() { s.write(conn) })
	d.read(conn, target.ID, s)
}

// read hands messages to the object until the connection ends.
func (d *door) read(conn *websocket.Conn, object actor.ID, s *clientSocket) {
	for number := uint64(1); ; number++ {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			info := actor.CloseInfo{Code: websocket.CloseAbnormalClosure}
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
				info = actor.CloseInfo{Code: closed.Code, Reason: closed.Text, Clean: true}
			}
			s.end()
			d.mu.Lock()
			known := d.sockets[s.id] != nil
			delete(d.sockets, s.id)
			d.mu.Unlock()
			if known {
				d.node.Host.SocketClosed(object, s.id, info, nil)
			}
			return
		}
		message := actor.Message{Kind: actor.MessageKind(kind), Data: data}
		if err := d.node.Host.Message(context.Background(), object, s.id, number, message); err != nil {
			s.end()
		}
	}
}

// Deliver implements actor.Gateway.
func (d *door) Deliver(object actor.ID, frame actor.Frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if frame.Kind == actor.FrameOpen {
		s := &clientSocket{id: frame.Socket, object: object, tags: frame.Tags}
		s.cond.L = &s.mu
		d.sockets[s.id] = s
		return
	}
	for id, s := range d.sockets {
		broadcast := frame.Socket == actor.SocketID{} && s.object == object && !slices.Contains(frame.Except, id) &&
			(frame.Tag == "" || slices.Contains(s.tags, frame.Tag))
		if id == frame.Socket || broadcast {
			s.push(frame)
		}
	}
}

func (s *clientSocket) push(frame actor.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, frame)
	s.cond.Broadcast()
}

// end makes the writer close the connection.
func (s *clientSocket) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.cond.Broadcast()
}

func (s *clientSocket) write(conn *websocket.Conn) {
	defer conn.Close()
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.over {
			s.cond.Wait()
		}
		queue, over := s.queue, s.over
		s.queue = nil
		s.mu.Unlock()
		for _, frame := range queue {
			if frame.Kind == actor.FrameMessage && conn.WriteMessage(int(frame.Message), frame.Data) != nil {
				return
			}
		}
		if over {
			return
		}
	}
}
