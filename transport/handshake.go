package transport

import (
	"bufio"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// readBufferBytes is what each socket keeps for reading. It must hold a control
// frame; larger reads go past it.
const readBufferBytes = 512

// handshakeHeaders belong to the handshake and may not come from an object.
const handshakeHeaders = "Connection,Upgrade,Content-Length,Transfer-Encoding,Trailer," +
	"Sec-Websocket-Accept,Sec-Websocket-Extensions,Sec-Websocket-Protocol"

// serve asks the object for a WebSocket. The socket is registered before the
// object runs, so that frames that follow at once on its acceptance are kept.
func (g *Gateway) serve(a *answer, r *http.Request, target actor.Target) {
	if err := g.checkHandshake(r); err != nil {
		writeError(a, r, g.log, err)
		return
	}
	session, err := actor.HasSession(r)
	if err != nil {
		writeError(a, r, g.log, err)
		return
	}
	s, err := g.register(target, session)
	if err != nil {
		writeError(a, r, g.log, err)
		return
	}
	connected := false
	defer func() {
		if !connected {
			s.abandon()
		}
	}()

	err = g.dispatcher.Dispatch(a, r, target, s.id)
	if err == nil && a.switched && !s.accepted() {
		err = errNotOpened
	}
	switch {
	case errors.Is(err, actor.ErrCallerLeft):
		panic(http.ErrAbortHandler)
	case err != nil && a.status != 0:
		g.log.ErrorContext(r.Context(), "answer cut off", "object", target.ID.String(), "error", err)
		panic(http.ErrAbortHandler)
	case err != nil:
		a.switched = false
		writeError(a, r, g.log, err)
	case a.switched:
		connected = g.upgrade(a, r, s)
	}
}

// accepted says whether the object's FrameOpen has come.
func (s *socket) accepted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// upgrade writes the handshake and takes over the connection. When it returns,
// net/http's goroutine and buffers of the connection are free.
func (g *Gateway) upgrade(a *answer, r *http.Request, s *socket) bool {
	header := a.Header().Clone()
	for name := range strings.SplitSeq(handshakeHeaders, ",") {
		header.Del(name)
	}
	if s.protocol != "" {
		header.Set("Sec-Websocket-Protocol", s.protocol)
	}
	w := &wire{socket: s}
	upgrader := websocket.Upgrader{
		ReadBufferSize:  readBufferBytes,
		WriteBufferPool: &g.headers,
		CheckOrigin:     func(*http.Request) bool { return true }, // checkHandshake did
		Error: func(http.ResponseWriter, *http.Request, int, error) {
			a.switched = false
			writeError(a, r, g.log, errHandshake)
		},
	}
	ws, err := upgrader.Upgrade(&hijacker{ResponseWriter: a.ResponseWriter, wire: w}, r, header)
	if err != nil {
		g.log.DebugContext(r.Context(), "handshake failed", "socket", s.id.String(), "error", err)
		return false
	}
	a.status = http.StatusSwitchingProtocols
	w.upgraded = true
	ws.SetCloseHandler(s.peerClosed)
	ws.SetPingHandler(s.peerPing)
	ws.SetPongHandler(s.peerPong)
	s.connect(ws, w.Conn)
	return true
}

// checkHandshake refuses what cannot become a socket before an object is woken. A
// body has no place in a handshake, where nothing would bound it.
func (g *Gateway) checkHandshake(r *http.Request) error {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	if r.Method != http.MethodGet || r.ContentLength != 0 || !slices.Contains(r.Header.Values("Sec-Websocket-Version"), "13") || err != nil || len(key) != 16 {
		return errHandshake
	}
	if !g.originAllowed(r) {
		return errOrigin
	}
	return nil
}

// originAllowed protects users of web pages: a browser sends their cookies with
// any page's handshake, and no other rule keeps that page from reading the answers.
func (g *Gateway) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	for _, allowed := range g.cfg.Origins {
		if allowed == "*" || strings.EqualFold(allowed, origin) {
			return true
		}
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// hijacker gives gorilla our wire in place of the connection itself.
type hijacker struct {
	http.ResponseWriter

	wire *wire
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire.Conn = conn
	return h.wire, rw, nil
}

// wire is the connection as gorilla sees it. gorilla writes the handshake and
// reads; all that it would write later, which is only the Close frame after a
// protocol error, goes through the socket's queue, so that one writer decides
// the order of all bytes.
type wire struct {
	net.Conn

	socket   *socket
	upgraded bool // set before the reader starts
}

// Read implements net.Conn and notes that the peer lives.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.socket.heard.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if !w.upgraded {
		return w.Conn.Write(p)
	}
	w.socket.refuse(p)
	return len(p), nil
}

// SetWriteDeadline implements net.Conn. The writer sets its own.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
