package transport

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// peerHeaderTimeout bounds the arrival of a forwarded call's head.
const peerHeaderTimeout = 10 * time.Second

// PeerServer runs the calls that other nodes forward, on objects of this node
// only: a call that is not for this node is refused, never forwarded again.
type PeerServer struct {
	local    Dispatcher // of this node's own objects
	log      *slog.Logger
	http     *http.Server
	incoming *handedListener
	hints    Hints // nil: none; fixed before the first call
}

// NewPeerServer makes a server for the connections that Accept is given.
func NewPeerServer(local Dispatcher, log *slog.Logger) *PeerServer {
	s := &PeerServer{local: local, log: log, incoming: newHandedListener()}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: peerHeaderTimeout,
		IdleTimeout:       2 * forwardIdle, // the caller closes first, so that it never sends into a closed connection
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s
}

// UseHints has refusals name the owner that this node knows of. It is called
// before the first connection.
func (s *PeerServer) UseHints(h Hints) { s.hints = h }

// Accept takes over a connection from a peer.
func (s *PeerServer) Accept(conn net.Conn) { s.incoming.hand(conn) }

// Serve serves until Shutdown.
func (s *PeerServer) Serve() error {
	if err := s.http.Serve(s.incoming); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("transport: serve peers: %w", err)
	}
	return nil
}

// Shutdown lets calls under way end until ctx does, and cuts off the rest.
func (s *PeerServer) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("transport: let peers' calls finish: %w", err), s.http.Close())
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *PeerServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target, socket, err := s.incomingCall(r)
	if err != nil {
		s.log.Warn("a peer sent a call that this version does not understand", "error", err)
		w.Header().Set(headerError, peerError(err))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if text := r.Header.Get(headerPlace); text != "" {
		place, err := parsePlace(text)
		if err != nil {
			s.refuse(w, target.ID, err)
			return
		}
		r = r.WithContext(actor.WithPlace(r.Context(), func() actor.Place { return place }))
		r.Header.Del(headerPlace)
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // always possible with HTTP/1.1
	err = s.local.Dispatch(&peerAnswer{ResponseWriter: w}, r, target, socket)
	if errors.Is(err, actor.ErrCallerLeft) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		s.refuse(w, target.ID, err)
	}
}

// refuse answers with an error instead of an answer.
func (s *PeerServer) refuse(w http.ResponseWriter, object actor.ID, err error) {
	clear(w.Header())
	w.Header().Set(headerError, peerError(err))
	if s.hints != nil && (errors.Is(err, actor.ErrNotOwner) || errors.Is(err, actor.ErrClosing)) {
		if hint, ok := s.hints.Hint(object); ok {
			w.Header().Set(headerOwner, formatHint(hint))
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

// incomingCall reads what outgoing wrote, and makes the request what the client sent.
func (s *PeerServer) incomingCall(r *http.Request) (target actor.Target, socket actor.SocketID, err error) {
	h := r.Header
	target.Class = h.Get(headerClass)
	ids, ok := s.local.IDs(target.Class)
	if !ok {
		return target, socket, actor.ErrUnknownClass
	}
	if target.ID, err = ids.Parse(h.Get(headerObject)); err != nil {
		return target, socket, err
	}
	if target.Name, err = url.PathUnescape(h.Get(headerName)); err != nil {
		return target, socket, actor.ErrBadName
	}
	if text := h.Get(headerSocket); text != "" {
		id, err := hex.DecodeString(text)
		if err != nil || len(id) != len(socket) {
			return target, socket, fmt.Errorf("%w: socket %q", actor.ErrBadID, text)
		}
		socket = actor.SocketID(id)
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", h.Get(headerSwitch))
	}
	r.RemoteAddr = h.Get(headerClient)
	for _, own := range []string{headerClass, headerObject, headerName, headerSocket, headerClient, headerSwitch} {
		h.Del(own)
	}
	return target, socket, nil
}

// peerAnswer turns a 101 into an answer that the link can carry.
type peerAnswer struct {
	http.ResponseWriter
}

// WriteHeader implements http.ResponseWriter.
func (a *peerAnswer) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		a.Header().Set(headerSwitch, "websocket")
		status = http.StatusOK
	}
	a.ResponseWriter.WriteHeader(status)
}

// Flush implements http.Flusher.
func (a *peerAnswer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController reach the connection.
func (a *peerAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// handedListener is a listener for connections that somebody else accepted.
type handedListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandedListener() *handedListener {
	return &handedListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *handedListener) hand(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.done:
		conn.Close() //nolint:errcheck // nobody serves it any more
	}
}

// Accept implements net.Listener.
func (l *handedListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *handedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *handedListener) Addr() net.Addr { return &net.UnixAddr{Name: "link", Net: "unix"} }
