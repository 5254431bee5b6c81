package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// rawOwner is a Router to a peer whose every connection the test serves by hand.
func rawOwner(t *testing.T, serve func(n int, conn net.Conn, r *bufio.Reader)) (router *Router, target actor.Target) {
	t.Helper()
	dialled := 0
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	peers := NewPeers(func(context.Context, string) (net.Conn, error) {
		mine, theirs := net.Pipe()
		n := dialled
		dialled++
		go func() {
			defer theirs.Close()
			serve(n, theirs, bufio.NewReader(theirs))
		}()
		return mine, nil
	})
	t.Cleanup(peers.Close)
	owners := &fixedResolver{owner: Owner{Node: "b"}, ok: true, changed: make(chan struct{})}
	ids := actor.NewIDSource([]byte("secret"), "C")
	id, err := ids.Named("x")
	if err != nil {
		t.Fatal(err)
	}
	return NewRouter(&funcLocal{ids: ids}, owners, peers), actor.Target{Class: "C", ID: id, Name: "x"}
}

// readCall reads a call off the wire and says whether there was one.
func readCall(t *testing.T, r *bufio.Reader) bool {
	t.Helper()
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// calls that net/http holds for idempotent, and by itself sends again.
func idempotentCalls() map[string]*http.Request {
	keyed := httptest.NewRequest("POST", "/", http.NoBody)
	keyed.Header.Set("Idempotency-Key", "k")
	body := httptest.NewRequest("PUT", "/", strings.NewReader("body"))
	body.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
	body.Header.Set("X-Idempotency-Key", "k")
	return map[string]*http.Request{
		"GET": httptest.NewRequest("GET", "/", http.NoBody), "HEAD": httptest.NewRequest("HEAD", "/", nil),
		"POST with a key": keyed, "PUT with a body that can be had again": body,
	}
}

// A call that was sent on a connection that had carried others, and whose answer
// is lost with it, ran once and is unknown.
func TestForwardNeverSendsTwice(t *testing.T) {
	for name, r := range idempotentCalls() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				router, target := rawOwner(t, func(n int, conn net.Conn, r *bufio.Reader) {
					for call := 0; readCall(t, r); call++ {
						if n > 0 || call > 0 {
							runs++
							return // the call has run, and the connection drops
						}
						io.WriteString(conn, plainAnswer)
					}
				})
				warm := httptest.NewRequest("GET", "/", http.NoBody)
				if err := router.Dispatch(httptest.NewRecorder(), warm, target, actor.SocketID{}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				err := router.Dispatch(httptest.NewRecorder(), r, target, actor.SocketID{})
				if !errors.Is(err, actor.ErrOutcomeUnknown) || runs != 1 {
					t.Errorf("call = %v after %d runs, want ErrOutcomeUnknown after 1", err, runs)
				}
				if p := problemOf(err); p.status != http.StatusGatewayTimeout {
					t.Errorf("the client gets %d, want 504", p.status)
				}
			})
		})
	}
}

// Connections that the owner closed while nothing was under way cost a call nothing.
func TestForwardOverConnectionsThatWereClosed(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				router, target := rawOwner(t, func(_ int, conn net.Conn, r *bufio.Reader) {
					if readCall(t, r) {
						runs++
						io.WriteString(conn, plainAnswer)
					}
				})
				began := time.Now()
				for i := range 20 {
					r := httptest.NewRequest(method, "/", strings.NewReader(strings.Repeat("b", i)))
					if err := router.Dispatch(httptest.NewRecorder(), r, target, actor.SocketID{}); err != nil {
						t.Fatalf("call %d = %v", i, err)
					}
					synctest.Wait() // the end of the connection arrives
				}
				if runs != 20 || time.Since(began) != 0 {
					t.Errorf("%d runs in %v, want 20 in no time", runs, time.Since(began))
				}
			})
		})
	}
}

// deadConn is a connection on which nothing can be sent after the first call.
type deadConn struct {
	net.Conn
	answered chan struct{} // closed after the first answer
}

func (c *deadConn) Write(p []byte) (int, error) {
	select {
	case <-c.answered:
		return 0, net.ErrClosed
	default:
		return c.Conn.Write(p)
	}
}

// A write that fails may have sent something, so the call is unknown; a
// connection that is found dead before the first write is no reason to fail.
func TestForwardOverADeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := make(chan struct{})
		ids := actor.NewIDSource([]byte("secret"), "C")
		id, _ := ids.Named("x")
		peers := NewPeers(func(context.Context, string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				for r := bufio.NewReader(theirs); readCall(t, r); {
					io.WriteString(theirs, plainAnswer)
				}
			}()
			return &deadConn{mine, answered}, nil
		})
		defer peers.Close()
		owners := &fixedResolver{owner: Owner{Node: "b"}, ok: true, changed: make(chan struct{})}
		router := NewRouter(&funcLocal{ids: ids}, owners, peers)
		call := func() error {
			r := httptest.NewRequest("GET", "/", http.NoBody)
			return router.Dispatch(httptest.NewRecorder(), r, actor.Target{Class: "C", ID: id}, actor.SocketID{})
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(answered)
		if err := call(); !errors.Is(err, actor.ErrOutcomeUnknown) {
			t.Errorf("call whose write failed = %v, want ErrOutcomeUnknown", err)
		}
	})
}

// A refusal that comes before the body was read races with whoever still sends it.
func TestForwardSendsABodyAgainThatIsStillBeingSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			h.owners.set(Owner{Node: "a", Local: true}, true)
			return actor.ErrNotOwner // nothing of the body was read
		}
		var got []byte
		h.here.dispatch = func(_ http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) (err error) {
			got, err = io.ReadAll(r.Body)
			return err
		}
		body, feed := io.Pipe()
		go func() {
			for range 100 {
				time.Sleep(10 * time.Millisecond)
				io.WriteString(feed, strings.Repeat("0123456789", 100))
			}
			feed.Close()
		}()
		r := httptest.NewRequest("POST", "/", body)
		r.ContentLength = 100_000
		if _, err := h.call(r); err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat("0123456789", 10_000); string(got) != want {
			t.Errorf("the second owner got %d bytes, want the %d of the body", len(got), len(want))
		}
	})
}

// What an object leaves of a body unread is never taken for another call.
func TestForwardedBodyThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		var paths []string
		h.there.dispatch = func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
			paths = append(paths, r.URL.Path)
			if r.URL.Path == "/leaves-body" {
				if err := http.NewResponseController(w).SetReadDeadline(time.Now()); err != nil {
					return err
				}
				io.Copy(io.Discard, r.Body) // as the runtime ends its own reading
			}
			return nil
		}
		forged := "POST /forged HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n"
		for range 3 {
			for _, length := range []int64{int64(len(forged)), -1} {
				body, feed := io.Pipe()
				time.AfterFunc(10*time.Millisecond, func() { io.WriteString(feed, forged); feed.Close() })
				r := httptest.NewRequest("POST", "/leaves-body", body)
				r.ContentLength = length
				if _, err := h.call(r); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := h.call(httptest.NewRequest("GET", "/next", nil)); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(paths, " "); got != strings.TrimSpace(strings.Repeat("/leaves-body /leaves-body /next ", 3)) {
			t.Errorf("the owner ran %q", got)
		}
	})
}
