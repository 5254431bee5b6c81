package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// streamedBodyBytes is the size from which on a body of known length is not read
// whole before the object runs, so that the object may answer while it arrives.
const streamedBodyBytes = 1 << 20

// Server is the public HTTP server of a node.
type Server struct {
	// Fixed after NewServer.
	cfg        ServerConfig
	dispatcher Dispatcher
	gateway    *Gateway
	log        *slog.Logger
	events     Events
	http       *http.Server
	farewell   *farewell
	cancel     context.CancelFunc // ends the context of every request

	mu       sync.Mutex // guards stopped and underWay, and Add of requests against Wait
	stopped  bool
	underWay int // requests
	requests sync.WaitGroup
}

// NewServer makes a server that serves nothing until Serve. It gives the gateway
// its dispatcher, so there is one server for a gateway. Shutdown also closes
// the gateway.
func NewServer(cfg ServerConfig, dispatcher Dispatcher, gateway *Gateway, log *slog.Logger, events Events) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, dispatcher: dispatcher, gateway: gateway, log: log, events: events, farewell: &farewell{wait: cfg.FarewellWait}, cancel: cancel}
	s.http = &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            cfg.HeaderTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		MaxHeaderBytes:               cfg.HeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnState:                    s.farewell.connState,
	}
	gateway.dispatcher = dispatcher
	gateway.sessions, _ = dispatcher.(Sessions)
	return s, nil
}

// Serve accepts connections from l until Shutdown, which makes it return nil. It
// closes l.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(newBoundedListener(l, s.cfg.Connections, s.cfg.WriteStall, s.events))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("transport: serve clients on %s: %w", l.Addr(), err)
}

// Shutdown is FinishRequests, and then closes all sockets, see Gateway.Close.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.FinishRequests(ctx)
	s.gateway.Close()
	return err
}

// SayFarewell makes each answer from now on the last of its connection, so that
// clients who keep theirs go to another node before this one stops.
func (s *Server) SayFarewell() { s.farewell.say() }

// FinishRequests gives clients to whom SayFarewell has not been passed on the rest
// of FarewellWait to ask for something. Then it stops accepting, lets requests under way finish until ctx ends,
// cuts off the rest and returns when none is left. The error says that something
// had to be cut off. Sockets stay open; who wants a new one is refused, or finds
// nobody listening, and goes to another node.
func (s *Server) FinishRequests(ctx context.Context) error {
	s.farewell.settle(ctx)
	err := s.http.Shutdown(ctx)
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	if err != nil {
		s.cancel()
		err = errors.Join(fmt.Errorf("transport: let requests finish: %w", err), s.http.Close())
	}
	s.requests.Wait()
	s.cancel()
	return err
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w, last: s.farewell.isSaid}
	if err := s.enter(); err != nil {
		writeError(a, r, s.log, err)
		p := problemOf(err)
		s.events.requestDone("", p.status, p.code, 0)
		return
	}
	defer s.leave()

	started := time.Now()
	class := ""
	defer func() { s.events.requestDone(class, a.status, a.problem, time.Since(started)) }()
	if r.Body != nil && r.Body != http.NoBody {
		a.body = s.body(w, r)
		defer a.body.leave()
	}

	rt, err := parseRoute(r.URL.EscapedPath())
	if err != nil {
		writeError(a, r, s.log, err)
		return
	}
	ids, ok := s.dispatcher.IDs(rt.class)
	if !ok {
		writeError(a, r, s.log, actor.ErrUnknownClass)
		return
	}
	class = rt.class
	if rt.kind == routeNewID {
		s.newID(a, r, ids)
		return
	}
	s.call(a, r, rt, ids)
}

func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return ErrClosed
	case s.underWay >= s.cfg.Requests:
		return errBusy
	}
	s.underWay++
	s.requests.Add(1)
	s.events.requests(1)
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	s.underWay--
	s.mu.Unlock()
	s.events.requests(-1)
	s.requests.Done()
}

// newID answers POST /ids/{class}. The object exists from its first write on.
func (s *Server) newID(a *answer, r *http.Request, ids actor.IDSource) {
	if r.Method != http.MethodPost {
		writeError(a, r, s.log, errMethod)
		return
	}
	body, _ := json.Marshal(struct { // one string always marshals
		ID string `json:"id"`
	}{ids.Unique().String()})
	a.Header().Set("Content-Type", "application/json")
	a.WriteHeader(http.StatusCreated)
	_, _ = a.Write(append(body, '\n')) // a client that has gone does not want it
}

// call brings a request to its object.
func (s *Server) call(a *answer, r *http.Request, rt route, ids actor.IDSource) {
	target, err := rt.target(ids)
	if err != nil {
		writeError(a, r, s.log, err)
		return
	}
	if r.ContentLength > s.cfg.BodyBytes {
		writeError(a, r, s.log, errBodyLarge)
		return
	}
	or, err := rt.objectRequest(r)
	if err != nil {
		writeError(a, r, s.log, err)
		return
	}
	if websocket.IsWebSocketUpgrade(r) {
		s.gateway.serve(a, or, target)
		return
	}
	if a.body != nil {
		or.Body = a.body
	}
	err = s.dispatcher.Dispatch(a, or, target, actor.SocketID{})
	switch {
	case err == nil && a.switched:
		a.switched = false
		writeError(a, r, s.log, errNoUpgrade)
	case errors.Is(err, actor.ErrCallerLeft):
		panic(http.ErrAbortHandler) // else net/http would answer for the object
	case err != nil && a.status != 0:
		s.log.ErrorContext(r.Context(), "answer cut off", "object", target.ID.String(), "error", err)
		panic(http.ErrAbortHandler)
	case err != nil:
		if a.body != nil {
			a.body.leave() // before the answer, which waits for whoever still reads
		}
		writeError(a, r, s.log, err)
	}
}

// body bounds the request's body in size and in silence. Every body is bounded,
// also that of a request which is refused, because net/http reads some of it
// before it writes the answer.
func (s *Server) body(w http.ResponseWriter, r *http.Request) *stallBody {
	rc := http.NewResponseController(w)
	if r.ContentLength < 0 || r.ContentLength > streamedBodyBytes {
		// Otherwise net/http would read the body to its end before the first byte
		// of the answer. Where it is not supported that is what happens.
		_ = rc.EnableFullDuplex()
	}
	return &stallBody{body: http.MaxBytesReader(w, r.Body, s.cfg.BodyBytes), conn: rc, stall: s.cfg.BodyStall}
}
