package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"

	"github.com/holdfast-dev/holdfast/actor"
)

// copyBytes is how much of a body is copied at once.
const copyBytes = 32 << 10

// Peers sends calls to other nodes.
type Peers struct {
	pool    peerPool
	buffers sync.Pool // of *[]byte, for calls that are being written
	senders sync.WaitGroup
}

// NewPeers makes Peers that dial nodes by name.
func NewPeers(dial func(ctx context.Context, node string) (net.Conn, error)) *Peers {
	return &Peers{
		pool:    peerPool{dial: dial, idle: make(map[string][]*peerConn)},
		buffers: sync.Pool{New: func() any { return new(make([]byte, 0, forwardWholeBytes)) }},
	}
}

// Close closes the connections. It is called when no call is under way any more.
func (p *Peers) Close() {
	p.pool.close()
	p.senders.Wait()
}

// refusal says that a call certainly did not run, so that it may be sent again.
type refusal struct {
	cause error
	hint  Hint // the owner that the asked node knows of; zero = none
}

// Error implements error.
func (r *refusal) Error() string { return r.cause.Error() }

// Unwrap implements errors.Unwrap.
func (r *refusal) Unwrap() error { return r.cause }

// forward sends a call to its owner and copies the answer to w. It is sent once.
// Until the first byte is written the call certainly did not run; after that only
// the owner's own word proves it.
func (p *Peers) forward(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID, node string) error {
	ctx := r.Context()
	out := newOutgoing(r, target, socket)
	buf := p.buffers.Get().(*[]byte) //nolint:errcheck // it holds nothing else
	defer p.buffers.Put(buf)
	call, whole, err := out.compose((*buf)[:0])
	*buf = call
	if err != nil {
		return unlessLeft(ctx, err)
	}
	conn, err := p.pool.take(ctx, node)
	if err != nil {
		return unlessLeft(ctx, &refusal{cause: fmt.Errorf("%w: node %s cannot be reached: %w", actor.ErrNotOwner, node, err)})
	}
	e := &exchange{conn: conn, out: &out, senders: &p.senders}
	e.unwatch = context.AfterFunc(ctx, conn.interrupt)
	defer func() {
		if e.over() {
			p.pool.put(conn)
		} else {
			conn.drop()
		}
	}()
	resp, err := e.send(call, whole) //nolint:bodyclose // Close would wait for the rest; over decides what is left
	if err != nil {
		return e.unknown(ctx, node, err)
	}
	if word := resp.Header.Get(headerError); word != "" {
		return refusalOf(fmt.Errorf("transport: node %s: %w", node, errorOfPeer(word)), resp.Header)
	}
	return copyAnswer(w, resp)
}

// unlessLeft gives the error of a call that was not sent.
func unlessLeft(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errOvertaken) {
		return actor.ErrCallerLeft
	}
	return err
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

// copyAnswer writes the owner's answer as it comes. A break after the head
// aborts the client's connection, so that the client sees it too.
func copyAnswer(w http.ResponseWriter, resp *http.Response) error {
	h := w.Header()
	maps.Copy(h, resp.Header)
	h.Del("Connection") // it is about the connection between the nodes
	if h.Get(headerSwitch) != "" {
		h.Del(headerSwitch)
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
