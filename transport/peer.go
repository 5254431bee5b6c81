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

// peerBodyStall bounds the silence in a forwarded body. The gateway has a bound of
// its own, which is for the client and normally the lower one.
const peerBodyStall = time.Minute

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
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // always possible with HTTP/1.1
	a := &peerAnswer{answer: answer{ResponseWriter: w}}
	if r.Body != nil && r.Body != http.NoBody {
		a.body = &stallBody{body: r.Body, conn: rc, stall: peerBodyStall}
		defer a.body.leave()
		r = r.WithContext(r.Context()) // on its own request net/http finds its own body, and closes gently what was left of it
		r.Body = a.body
	}
	target, socket, err := s.incomingCall(r)
	if err != nil {
		s.log.Warn("a peer sent a call that this version does not understand", "error", err)
		s.refuse(a, target.ID, err)
		return
	}
	if text := r.Header.Get(headerPlace); text != "" {
		place, err := parsePlace(text)
		if err != nil {
			s.refuse(a, target.ID, err)
			return
		}
		r = r.WithContext(actor.WithPlace(r.Context(), func() actor.Place { return place }))
		r.Header.Del(headerPlace)
	}
	err = s.local.Dispatch(a, r, target, socket)
	if errors.Is(err, actor.ErrCallerLeft) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case err != nil:
		s.refuse(a, target.ID, err)
	case a.status == 0:
		a.WriteHeader(http.StatusOK)
	}
}

// refuse answers with an error instead of an answer.
func (s *PeerServer) refuse(w *peerAnswer, object actor.ID, err error) {
	if w.body != nil {
		w.body.leave() // before the answer, which waits for whoever still reads
	}
	clear(w.Header())
	w.refused = true
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

// peerAnswer is an answer that turns a 101 into what the link can carry. If the
// call's body was not read to its end the connection ends with the answer:
// otherwise what is left of it would be taken for the next call.
type peerAnswer struct {
	answer

	refused bool // the head is the node's own word, not the object's
}

// WriteHeader implements http.ResponseWriter.
func (a *peerAnswer) WriteHeader(status int) {
	if !a.refused {
		// An object that says these, perhaps copied from elsewhere, must not be taken
		// for its node.
		for _, own := range []string{headerError, headerOwner, headerSwitch} {
			a.Header().Del(own)
		}
	}
	if status == http.StatusSwitchingProtocols {
		a.Header().Set(headerSwitch, "websocket")
		status = http.StatusOK
	}
	a.answer.WriteHeader(status)
}

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
