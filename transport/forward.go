package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// Bounds of the connections that calls are forwarded on.
const (
	forwardIdlePerPeer = 256
	forwardIdle        = 90 * time.Second
	// continueWait is how long a call with a large body waits for the owner to
	// want it. The owner always says so, or refuses; only a broken one is silent.
	continueWait = 30 * time.Second
	copyBytes    = 32 << 10
)

// Peers sends calls to other nodes.
type Peers struct {
	http *http.Transport
}

// NewPeers makes Peers that dial nodes by name.
func NewPeers(dial func(ctx context.Context, node string) (net.Conn, error)) *Peers {
	return &Peers{http: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			node, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, fmt.Errorf("transport: node %q: %w", address, err)
			}
			conn, err := dial(ctx, node)
			if err != nil {
				return nil, err
			}
			return &peerConn{Conn: conn}, nil
		},
		DisableCompression:    true,
		MaxIdleConnsPerHost:   forwardIdlePerPeer,
		IdleConnTimeout:       forwardIdle,
		ExpectContinueTimeout: continueWait,
	}}
}

// Close closes the connections that carry no call.
func (p *Peers) Close() { p.http.CloseIdleConnections() }

// peerConn counts what may have been sent, so that a call whose connection turns
// out to be dead is known not to have run.
type peerConn struct {
	net.Conn
	writes atomic.Int64 // begun
}

// Write implements net.Conn.
func (c *peerConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// sending is a call on its connection.
type sending struct {
	conn   *peerConn
	before int64 // writes when the call got the connection, which carries one call at a time
	reused bool
}

// refusal says that a call certainly did not run, so that it may be sent again.
type refusal struct {
	cause  error
	unsent bool // nothing was sent, since the connection, which was used before, was dead
	hint   Hint // the owner that the asked node knows of; zero = none
}

// Error implements error.
func (r *refusal) Error() string { return r.cause.Error() }

// Unwrap implements errors.Unwrap.
func (r *refusal) Unwrap() error { return r.cause }

// forward sends a call to its owner and copies the answer to w. It is sent once.
// As long as nothing was written to a connection the call certainly did not run;
// after that only the owner's own word proves it.
func (p *Peers) forward(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID, node string) error {
	var last atomic.Pointer[sending]
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		conn := info.Conn.(*peerConn) //nolint:errcheck // DialContext makes no other
		last.Store(&sending{conn: conn, before: conn.writes.Load(), reused: info.Reused})
	}})
	resp, err := p.http.RoundTrip(outgoing(ctx, r, target, socket, node))
	if err != nil {
		s := last.Load()
		unsent := s == nil || s.conn.writes.Load() == s.before
		switch {
		case errors.Is(context.Cause(r.Context()), errOvertaken):
			return fmt.Errorf("%w: node %s did not answer: %w", actor.ErrOutcomeUnknown, node, errOvertaken)
		case r.Context().Err() != nil:
			return actor.ErrCallerLeft
		case unsent:
			cause := fmt.Errorf("%w: node %s cannot be reached: %w", actor.ErrNotOwner, node, err)
			return &refusal{cause: cause, unsent: s != nil && s.reused}
		}
		return fmt.Errorf("%w: the link to node %s broke: %w", actor.ErrOutcomeUnknown, node, err)
	}
	defer resp.Body.Close()
	if word := resp.Header.Get(headerError); word != "" {
		return refusalOf(fmt.Errorf("transport: node %s: %w", node, errorOfPeer(word)), resp.Header)
	}
	return copyAnswer(w, resp)
}

// refusalOf says whether the owner's error is one after which another node may
// be asked. One that is stopping gives its shards away.
func refusalOf(err error, h http.Header) error {
	if !errors.Is(err, actor.ErrNotOwner) && !errors.Is(err, actor.ErrClosing) {
		return err
	}
	hint, _ := parseHint(h.Get(headerOwner))
	return &refusal{cause: err, hint: hint}
}

// outgoing makes the request between nodes. The path and query are those that
// the object sees.
func outgoing(ctx context.Context, r *http.Request, target actor.Target, socket actor.SocketID, node string) *http.Request {
	out := r.WithContext(ctx)
	out.Header = r.Header.Clone()
	u := *r.URL
	u.Scheme, u.Host = "http", net.JoinHostPort(node, "0")
	out.URL, out.RequestURI, out.Close = &u, "", false
	out.GetBody = nil
	if (out.Body == nil || out.Body == http.NoBody) && heldIdempotent(out) {
		out.Body = emptyBody{}
	}
	for _, own := range []string{headerName, headerSocket, headerError, headerSwitch, headerPlace, headerOwner} {
		out.Header.Del(own)
	}
	out.Header.Set(headerClass, target.Class)
	out.Header.Set(headerObject, target.ID.String())
	out.Header.Set(headerClient, r.RemoteAddr)
	if place, ok := actor.PlaceOf(ctx); ok {
		out.Header.Set(headerPlace, formatPlace(place))
	}
	if target.Name != "" {
		out.Header.Set(headerName, url.PathEscape(target.Name))
	}
	if socket != (actor.SocketID{}) {
		// The link's connection stays HTTP; the socket's messages go another way.
		out.Header.Set(headerSocket, socket.String())
		out.Header.Set(headerSwitch, out.Header.Get("Upgrade"))
		out.Header.Del("Connection")
		out.Header.Del("Upgrade")
	}
	if out.ContentLength < 0 || out.ContentLength > replayBytes {
		out.Header.Set("Expect", "100-continue") // a refusal must come before the body is gone
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "") // none, instead of the library's own
	}
	return out
}

// heldIdempotent says whether net/http sends a call without a body again by itself
// when the connection breaks. An object may count its GETs.
func heldIdempotent(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

// emptyBody keeps net/http from that: it is a body that cannot be had again. With
// the methods above nothing of it is sent.
type emptyBody struct{}

// Read implements io.Reader.
func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements io.Closer.
func (emptyBody) Close() error { return nil }

// copyAnswer writes the owner's answer as it comes. A break after the head
// aborts the client's connection, so that the client sees it too.
func copyAnswer(w http.ResponseWriter, resp *http.Response) error {
	h := w.Header()
	maps.Copy(h, resp.Header)
	if h.Get(headerSwitch) != "" {
		h.Del(headerSwitch)
	h.Del("Connection") // it is about the connection between the nodes
		w.WriteHeader(http.StatusSwitchingProtocols)
		return nil
	}
	for key := range resp.Trailer {
		h.Add("Trailer", key)
	}
	w.WriteHeader(resp.StatusCode)
	flusher, _ := w.(http.Flusher)
	buf := make([]byte, min(copyBytes, max(resp.ContentLength, 512)))
	if resp.ContentLength < 0 {
		buf = make([]byte, copyBytes)
	}
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return nil //nolint:nilerr // the client is gone
			}
			if resp.ContentLength < 0 && flusher != nil {
				flusher.Flush()
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	maps.Copy(h, resp.Trailer)
	return nil
}
