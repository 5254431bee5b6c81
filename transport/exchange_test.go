package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// headOnly is a connection that takes one write.
type headOnly struct {
	net.Conn
	writes atomic.Int64
}

func (c *headOnly) Write(p []byte) (int, error) {
	if c.writes.Add(1) > 1 {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// The answer is read, and later calls work, although the body could not be sent.
func TestForwardReadsTheAnswerOfAnOwnerThatDoesNotTakeTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.there.dispatch = func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
			w.WriteHeader(http.StatusForbidden)
			return nil
		}
		dial := h.router.peers.pool.dial
		h.router.peers.pool.dial = func(ctx context.Context, node string) (net.Conn, error) {
			conn, err := dial(ctx, node)
			return &headOnly{Conn: conn}, err
		}
		for range 3 {
			r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("b", 100_000)))
			if resp, err := h.call(r); err != nil || resp.StatusCode != http.StatusForbidden {
				t.Errorf("call = %d, %v, want 403", resp.StatusCode, err)
			}
		}
	})
}

// A body that fails ends its call; the owner would wait for the rest.
func TestForwardedBodyThatFails(t *testing.T) {
	for name, length := range map[string]int64{"with the head": 100, "after the head": 100_000, "in chunks": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHop(t)
				h.there.dispatch = func(_ http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
					_, err := io.Copy(io.Discard, r.Body)
					return err
				}
				body, feed := io.Pipe()
				go func() {
					io.WriteString(feed, "some of it")
					feed.CloseWithError(errBodySlow)
				}()
				r := httptest.NewRequest("POST", "/", body)
				r.ContentLength = length
				_, err := h.call(r)
				if want := map[bool]int{true: http.StatusRequestTimeout, false: http.StatusGatewayTimeout}[length == 100]; problemOf(err).status != want {
					t.Errorf("call = %v, want what gives %d", err, want)
				}
			})
		})
	}
}

// One connection carries calls of all kinds one after the other.
func TestForwardUsesAConnectionAgain(t *testing.T) {
	h := newHop(t)
	h.there.dispatch = func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		switch r.URL.Path {
		case "/fails":
			return actor.ErrMailboxFull
		case "/streams":
			w.Header().Set("Trailer", "T")
			w.Write(body)
			w.(http.Flusher).Flush()
			w.Header().Set("T", r.Trailer.Get("T"))
		default:
			w.Write(body)
		}
		return nil
	}
	post := func(path string, length int) {
		text := strings.Repeat("b", length)
		resp, err := h.call(httptest.NewRequest("POST", path, strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(resp.Body); string(got) != text {
			t.Errorf("POST %s of %d bytes gives %d", path, length, len(got))
		}
	}
	for range 3 {
		post("/", 0)
		post("/", 100)
		post("/streams", 100)
		if _, err := h.call(httptest.NewRequest("HEAD", "/", http.NoBody)); err != nil {
			t.Error(err)
		}
		if _, err := h.call(httptest.NewRequest("GET", "/fails", http.NoBody)); !errors.Is(err, actor.ErrMailboxFull) {
			t.Errorf("call = %v, want ErrMailboxFull", err)
		}
		leaving := httptest.NewRequest("GET", "/", http.NoBody)
		leaving.Header.Set("Connection", "close") // it is about the client's connection
		if _, err := h.call(leaving); err != nil {
			t.Error(err)
		}
	}
	h.mu.Lock()
	if dialled := len(h.conns) / 2; dialled != 1 {
		t.Errorf("%d connections were dialled for 18 calls in turn, want 1", dialled)
	}
	h.mu.Unlock()
	for range 3 { // a sender that is scheduled late costs a connection, and nothing else
		post("/", 10_000)
		post("/streams", 10_000)
		chunked := httptest.NewRequest("POST", "/streams", io.NopCloser(strings.NewReader("b")))
		chunked.ContentLength, chunked.Trailer = -1, http.Header{"T": {"end"}}
		if resp, err := h.call(chunked); err != nil || resp.Trailer.Get("T") != "end" {
			t.Errorf("chunked: trailer %v, %v, want T: end", resp.Trailer, err)
		}
	}
}

// A body that is too long to be kept is not gone when its call is refused.
func TestForwardSendsALongBodyOnlyToWhoWantsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			h.owners.set(Owner{Node: "a", Local: true}, true)
			return actor.ErrNotOwner
		}
		var got int64
		var text *strings.Reader
		h.here.dispatch = func(_ http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) (err error) {
			synctest.Wait()
			if text.Len() != 3*replayBytes {
				t.Errorf("%d bytes of the body were taken for an owner that refused", 3*replayBytes-text.Len())
			}
			got, err = io.Copy(io.Discard, r.Body)
			return err
		}
		for _, length := range []int64{3 * replayBytes, -1} {
			h.owners.set(Owner{Node: "b"}, true)
			text = strings.NewReader(strings.Repeat("b", 3*replayBytes))
			r := httptest.NewRequest("POST", "/", text)
			r.ContentLength = length
			if _, err := h.call(r); err != nil || got != 3*replayBytes {
				t.Errorf("length %d: call = %v with %d bytes at the second owner, want %d", length, err, got, 3*replayBytes)
			}
		}
	})
}

// failingWriter is the answer to a client that has gone.
type failingWriter struct{ http.ResponseWriter }

func (failingWriter) Write([]byte) (int, error) { return 0, net.ErrClosed }

// What is left of one call's answer is never taken for another's, and a
// connection that the owner is about to close carries no other call.
func TestForwardLeavesConnectionsThatAreNotClean(t *testing.T) {
	for name, answer := range map[string]string{
		"a part is to come":       "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
		"the owner will close it": "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		"more than was asked for": plainAnswer + "HTTP/1.1 ",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dialled, dropped := 0, make(chan struct{})
				router, target := rawOwner(t, func(n int, conn net.Conn, r *bufio.Reader) {
					dialled = n + 1
					if !readCall(t, r) {
						return
					}
					if n > 0 {
						io.WriteString(conn, plainAnswer)
						return
					}
					io.WriteString(conn, answer)
					if readCall(t, r) {
						t.Error("the connection carried another call")
					}
					close(dropped)
				})
				for i := range 2 {
					w := failingWriter{httptest.NewRecorder()}
					if err := router.Dispatch(w, httptest.NewRequest("GET", "/", nil), target, actor.SocketID{}); err != nil {
						t.Errorf("call %d = %v", i, err)
					}
				}
				<-dropped
				if dialled != 2 {
					t.Errorf("%d connections were dialled, want 2", dialled)
				}
			})
		})
	}
}

// An answer whose head has no end is not kept in memory.
func TestForwardBoundsTheHeadOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		router, target := rawOwner(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			if !readCall(t, r) {
				return
			}
			piece := strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 1000)
			for {
				n, err := io.WriteString(conn, piece)
				if sent += n; err != nil {
					return
				}
			}
		})
		err := router.Dispatch(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), target, actor.SocketID{})
		if !errors.Is(err, actor.ErrOutcomeUnknown) || !errors.Is(err, errHeadLarge) {
			t.Errorf("call = %v, want ErrOutcomeUnknown and errHeadLarge", err)
		}
		synctest.Wait()
		if sent > forwardHeadBytes+forwardReadBytes {
			t.Errorf("%d bytes of the head were read, want at most %d", sent, forwardHeadBytes)
		}
	})
}

// gentle is a connection that notes whether it was closed for writing first.
type gentle struct {
	net.Conn
	half *atomic.Bool
}

func (c *gentle) CloseWrite() error {
	c.half.Store(true)
	return nil
}

// A connection that ends since much of a body is left ends so that the answer is
// not lost: with bytes unread a plain close would overtake it.
func TestPeerServerClosesGentlyWhatItHasNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error { return nil }
		var half atomic.Bool
		h.router.peers.pool.dial = func(context.Context, string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			h.server.Accept(&gentle{theirs, &half})
			return mine, nil
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("b", replayBytes)))
		if _, err := h.call(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !half.Load() {
			t.Error("the connection was closed at once, want for writing first")
		}
	})
}

// rawSecureOwner is Peers whose every connection, over TLS and TCP, is served once and closed.
func rawSecureOwner(t *testing.T, runs *atomic.Int64, closed chan<- struct{}) *Peers {
	t.Helper()
	key, err := NewLinkKey(clusterKey(1))
	if err != nil {
		t.Fatal(err)
	}
	link := NewLink(key, nil, slog.New(slog.DiscardHandler))
	link.Handle(LinkHTTP, func(conn net.Conn) {
		if readCall(t, bufio.NewReader(conn)) {
			runs.Add(1)
			io.WriteString(conn, plainAnswer)
		}
		conn.Close()
		closed <- struct{}{}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = link.Serve(listener) })
	peers := NewPeers(func(ctx context.Context, _ string) (net.Conn, error) {
		return link.Dial(ctx, listener.Addr().String(), LinkHTTP)
	})
	t.Cleanup(func() {
		peers.Close()
		_ = link.Close()
		wg.Wait()
	})
	return peers
}

// The end of a connection that nobody reads is seen through its encryption.
func TestForwardLooksAtAnIdleSocket(t *testing.T) {
	var runs atomic.Int64
	closed := make(chan struct{}, 1)
	peers := rawSecureOwner(t, &runs, closed)
	ids := actor.NewIDSource([]byte("secret"), "C")
	id, _ := ids.Named("x")
	for i := range 10 {
		r := httptest.NewRequest("POST", "/", http.NoBody)
		if err := peers.forward(httptest.NewRecorder(), r, actor.Target{Class: "C", ID: id}, actor.SocketID{}, "b"); err != nil {
			t.Fatalf("call %d = %v", i, err)
		}
		<-closed
		peers.pool.mu.Lock()
		idle := peers.pool.idle["b"]
		peers.pool.mu.Unlock()
		for late := time.Now().Add(10 * time.Second); len(idle) > 0 && idle[len(idle)-1].stands(); runtime.Gosched() {
			if time.Now().After(late) {
				t.Fatal("the end of the connection is not seen")
			}
		}
	}
	if runs.Load() != 10 {
		t.Errorf("%d runs, want 10", runs.Load())
	}
}
