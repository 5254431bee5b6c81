package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// script is a Dispatcher whose objects do what a test says.
type script struct {
	gateway *Gateway
	call    func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error
	receive func(ctx context.Context, in incoming) error // nil: acknowledge at once

	mu     sync.Mutex
	opened []actor.SocketID
	in     []incoming
	ends   []ended
	change chan struct{} // closed and replaced at each change
}

type incoming struct {
	actor.Message

	object actor.ID
	socket actor.SocketID
	number uint64
}

type ended struct {
	object actor.ID
	socket actor.SocketID
	info   actor.CloseInfo
	cause  error
}

var testSecret = bytes.Repeat([]byte{7}, actor.IDSecretBytes)

func (s *script) IDs(class string) (actor.IDSource, bool) {
	return actor.NewIDSource(testSecret, class), class == "ChatRoom" || class == "Counter"
}

func (s *script) Dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	if s.call != nil {
		return s.call(w, r, target, socket)
	}
	return s.accept(w, target, actor.Frame{Socket: socket})
}

// accept is what the runtime does for an object that accepts a socket.
func (s *script) accept(w http.ResponseWriter, target actor.Target, open actor.Frame) error {
	open.Kind = actor.FrameOpen
	s.gateway.Deliver(target.ID, open)
	s.note(func() { s.opened = append(s.opened, open.Socket) })
	w.WriteHeader(http.StatusSwitchingProtocols)
	return nil
}

func (s *script) Message(ctx context.Context, object actor.ID, socket actor.SocketID, number uint64, m actor.Message) error {
	in := incoming{m, object, socket, number}
	s.note(func() { s.in = append(s.in, in) })
	if s.receive != nil {
		return s.receive(ctx, in)
	}
	s.gateway.Deliver(object, actor.Frame{Kind: actor.FrameAck, Socket: socket, Number: number})
	return nil
}

func (s *script) SocketClosed(object actor.ID, socket actor.SocketID, info actor.CloseInfo, cause error) {
	s.note(func() { s.ends = append(s.ends, ended{object, socket, info, cause}) })
}

func (s *script) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if s.change != nil {
		close(s.change)
		s.change = nil
	}
}

// until waits until ok, which is called with the lock held.
func (s *script) until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		if ok() {
			s.mu.Unlock()
			return
		}
		if s.change == nil {
			s.change = make(chan struct{})
		}
		change := s.change
		s.mu.Unlock()
		select {
		case <-change:
		case <-deadline.C:
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// socket waits for the n-th accepted socket, from 0.
func (s *script) socket(tb testing.TB, n int) actor.SocketID {
	tb.Helper()
	s.until(tb, "a socket was accepted", func() bool { return len(s.opened) > n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened[n]
}

// end waits for the n-th reported end, from 0.
func (s *script) end(tb testing.TB, n int) ended {
	tb.Helper()
	s.until(tb, "an end was reported", func() bool { return len(s.ends) > n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[n]
}

// site is a server with its script on a network.
type site struct {
	*script

	server *Server
	dial   func(ctx context.Context) (net.Conn, error)
	client *http.Client
	log    *logBuffer
	stop   func() // shuts down and waits; called again it does nothing
}

// network gives a listener and what reaches it.
type network func(tb testing.TB) (net.Listener, func(ctx context.Context) (net.Conn, error))

func loopback(tb testing.TB) (net.Listener, func(ctx context.Context) (net.Conn, error)) {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
}

// memory is a network without buffers, for bubbles.
func memory(testing.TB) (net.Listener, func(ctx context.Context) (net.Conn, error)) {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	return l, l.dial
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

const testStart = 42

func newSite(tb testing.TB, s *script, network network, server ServerConfig, gateway GatewayConfig, events Events) *site {
	tb.Helper()
	logs := new(logBuffer)
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g, err := NewGateway(testStart, gateway, log, events)
	if err != nil {
		tb.Fatal(err)
	}
	s.gateway = g
	srv, err := NewServer(server, s, g, log, events)
	if err != nil {
		tb.Fatal(err)
	}
	l, dial := network(tb)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true,
	}
	x := &site{script: s, server: srv, dial: dial, client: &http.Client{Transport: transport}, log: logs}
	begun, stopped := make(chan struct{}, 1), make(chan struct{}) // not a sync.Once, whose lock a bubble's clock would wait for
	x.stop = func() {
		select {
		case begun <- struct{}{}:
			defer close(stopped)
		default:
			<-stopped
			return
		}
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			tb.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			tb.Errorf("Serve = %v", err)
		}
	}
	tb.Cleanup(x.stop)
	return x
}

// do sends a request and gives the answer with its body read.
func (x *site) do(tb testing.TB, method, path string, body io.Reader) (*http.Response, string) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, "http://node"+path, body)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := x.client.Do(r)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%s %s: read body: %v", method, path, err)
	}
	return resp, string(b)
}

// raw sends bytes on a connection of its own and gives the connection.
func (x *site) raw(tb testing.TB, request string) (net.Conn, *bufio.Reader) {
	tb.Helper()
	c, err := x.dial(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		tb.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// open opens a WebSocket.
func (x *site) open(tb testing.TB, path string, header http.Header) *websocket.Conn {
	tb.Helper()
	c, resp, err := x.tryOpen(tb, path, header)
	if err != nil {
		tb.Fatalf("open %s: %v", path, err)
	}
	resp.Body.Close()
	return c
}

func (x *site) tryOpen(tb testing.TB, path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	tb.Helper()
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return x.dial(ctx) }}
	c, resp, err := d.DialContext(tb.Context(), "ws://node"+path, header)
	if err == nil {
		tb.Cleanup(func() { c.Close() })
	}
	return c, resp, err
}

func objectOf(class, name string) actor.ID {
	id, err := actor.NewIDSource(testSecret, class).Named(name)
	if err != nil {
		panic(err)
	}
	return id
}

func mustRead(tb testing.TB, c *websocket.Conn) string {
	tb.Helper()
	_, data, err := c.ReadMessage()
	if err != nil {
		tb.Fatalf("ReadMessage = %v", err)
	}
	return string(data)
}

// closeError reads until the end and gives the Close frame that came, or fails.
func closeError(tb testing.TB, c *websocket.Conn) *websocket.CloseError {
	tb.Helper()
	for {
		_, _, err := c.ReadMessage()
		if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
			return ce
		}
		if err != nil {
			tb.Fatalf("the connection ended without a Close frame: %v", err)
		}
	}
}

func text(s string) actor.Frame {
	return actor.Frame{Kind: actor.FrameMessage, Message: actor.Text, Data: []byte(s)}
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }
