package actor_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
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

// pipeListener hands out the server's ends of net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// server is a real HTTP server in front of a bubble's object "a". An error of
// Dispatch is written into the diary and answered with 500.
type server struct {
	b    *bubble
	l    *pipeListener
	errs diary
}

func serve(b *bubble) *server {
	s := &server{b: b, l: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := b.Host.Dispatch(w, r, b.thing, actor.SocketID{}); err != nil {
			s.errs.add("%v", err)
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	srv := &http.Server{Handler: h}
	over := make(chan struct{})
	go func() { defer close(over); _ = srv.Serve(s.l) }()
	b.t.Cleanup(func() { _ = srv.Close(); <-over })
	return s
}

// connect opens a connection and writes the head of a request.
func (s *server) connect(head string) net.Conn {
	client, end := net.Pipe()
	s.l.conns <- end
	s.b.t.Cleanup(func() { _ = client.Close() })
	s.write(client, "POST / HTTP/1.1\r\nHost: h\r\n"+head+"\r\n\r\n")
	return client
}

func (s *server) write(c net.Conn, text string) {
	s.b.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		s.b.t.Errorf("write to the server: %v", err)
	}
	synctest.Wait()
}

func chunk(data string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

// reading is a class that tells when its handler starts and what it reads.
func reading(d *diary) actor.Class {
	return behavior{serve: func(_ *actor.State, w http.ResponseWriter, r *http.Request) {
		d.add("start")
		if r.URL.Path == "/ignore" {
			return
		}
		data, err := io.ReadAll(r.Body)
		d.add("%d:%v", len(data), err)
		fmt.Fprint(w, len(data))
	}}.class()
}

func TestABodyOfKnownLengthIsReadBeforeTheEventStarts(t *testing.T) {
	var d diary
	inBubble(t, reading(&d), func(b *bubble) {
		s := serve(b)
		c := s.connect("Content-Length: 10")
		s.write(c, "01234")
		pass(29 * time.Second)
		d.want(t, "")
		want(t, "another call is not held up", b.get("/ignore"), "")
		d.want(t, "start")
		s.write(c, "56789")
		d.want(t, "start 10:<nil>")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("the answer is %v, %v, want 200", resp, err)
		}
	})
}

func TestABodyThatDoesNotComeTimesOut(t *testing.T) {
	var d diary
	inBubble(t, reading(&d), func(b *bubble) {
		s := serve(b)
		c := s.connect("Content-Length: 10")
		s.write(c, "01234")
		pass(30*time.Second - 1)
		s.errs.want(t, "")
		pass(1)
		s.errs.want(t, actor.ErrBodyTimeout.Error())
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusInternalServerError || !resp.Close {
			t.Errorf("the answer is %v, %v, want 500 and the end of the connection", resp, err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("Read after the answer = %d, %v, want an end: nobody waits for the rest", n, err)
		}
		d.want(t, "")

		c = s.connect("Content-Length: 10")
		s.write(c, "01234")
		_ = c.Close()
		synctest.Wait()
		if got := s.errs.take(); !strings.HasPrefix(got, actor.ErrBody.Error()) {
			t.Errorf("Dispatch of a body that broke off = %q, want %v", got, actor.ErrBody)
		}
		d.want(t, "")
	})
}

func TestAChunkedBody(t *testing.T) {
	var d diary
	inBubble(t, reading(&d), func(b *bubble) {
		s := serve(b)
		c := s.connect("Transfer-Encoding: chunked")
		s.write(c, chunk("01234"))
		pass(999 * time.Millisecond)
		s.write(c, chunk("56789"))
		pass(999 * time.Millisecond)
		d.want(t, "")
		s.write(c, chunk("")) // the end
		d.want(t, "start 10:<nil>")

		c = s.connect("Transfer-Encoding: chunked")
		s.write(c, chunk("01234"))
		pass(time.Second) // a silence: it is streamed
		d.want(t, "start")
		b.get("/ignore") // the gate is open while the handler waits for more
		d.want(t, "start")
		pass(time.Hour)
		s.write(c, chunk("56789")+chunk(""))
		d.want(t, "10:<nil>")

		c = s.connect("Transfer-Encoding: chunked")
		for range 61 { // it never stops for a second, and does not get to hold the call up for ever
			s.write(c, chunk("x"))
			pass(time.Second / 2)
		}
		d.want(t, "start")
		s.write(c, chunk(""))
		d.want(t, "61:<nil>")

		c = s.connect("Transfer-Encoding: chunked")
		s.write(c, chunk("x"))
		pass(time.Second)
		d.want(t, "start")
		_ = c.Close()
		synctest.Wait()
		if got := d.take(); !strings.HasPrefix(got, "1:") || got == "1:<nil>" {
			t.Errorf("a body that broke off: %q, want an error after one byte", got)
		}
	})
}

func TestALargeBodyIsStreamed(t *testing.T) {
	const mib = 1 << 20
	var d diary
	inBubble(t, reading(&d), func(b *bubble) {
		for name, length := range map[string]int64{"known": 3 * mib, "unknown": -1} {
			body, feed := io.Pipe()
			r := httptest.NewRequest(http.MethodPost, "/", body)
			r.ContentLength = length
			call := b.BeginRequest(b.thing, r)
			data := bytes.Repeat([]byte("x"), mib-1)
			_, _ = feed.Write(data)
			synctest.Wait()
			d.want(t, "")
			_, _ = feed.Write([]byte("xx"))
			d.want(t, "start")
			_, _ = feed.Write(data)
			_, _ = feed.Write(data)
			_ = feed.Close()
			b.wantBody(call, name+" length: the call", fmt.Sprint(3*mib-1))
			d.want(t, fmt.Sprintf("%d:<nil>", 3*mib-1))
		}
		// Within the limit it is read whole, to the last byte.
		exact := bytes.Repeat([]byte("x"), mib)
		b.wantBody(b.Begin(b.thing, "POST", "/", string(exact)), "1 MiB", fmt.Sprint(mib))
		d.want(t, fmt.Sprintf("start %d:<nil>", mib))

		body, feed := io.Pipe()
		r := httptest.NewRequest(http.MethodPost, "/ignore", body)
		call := b.BeginRequest(b.thing, r)
		_, err := feed.Write(make([]byte, 4*mib))
		b.wantBody(call, "a handler that does not read", "")
		want(t, "the client's write fails then", err != nil, true)
	})
}

func TestAClientThatLeaves(t *testing.T) {
	var d diary
	gate := newDoor()
	class := behavior{serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
		d.add("%s", r.URL.Path)
		if r.URL.Path == "/wait" {
			err := gate.outside(r.Context(), s)
			d.add("%v:%v", err, r.Context().Err())
		}
	}}.class()
	inBubble(t, class, func(b *bubble) {
		ctx, leave := context.WithCancel(context.Background())
		running := b.BeginRequest(b.thing, httptest.NewRequest(http.MethodGet, "/wait", nil).WithContext(ctx))
		synctest.Wait()
		block := b.begin("/wait", "") // waits outside too
		d.want(t, "/wait /wait")
		leave()
		b.wantErr(running, "the call of a client that left", actor.ErrCallerLeft)
		gate.open()
		// The event goes on, and its context does not end with the client.
		d.want(t, "<nil>:<nil> <nil>:<nil>")
		b.wantBody(block, "the other call", "")
	})
}

// A call whose client left before its event began is not worth a run.
func TestACallThatNobodyWaitsForIsSkipped(t *testing.T) {
	var d diary
	gate := newDoor()
	class := behavior{serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
		d.add("%s", r.URL.Path)
		if r.URL.Path == "/block" {
			_ = s.BlockConcurrencyWhile(r.Context(), func(ctx context.Context) error { return gate.outside(ctx, s) })
		}
	}}.class()
	inBubble(t, class, func(b *bubble) {
		b.begin("/block", "")
		ctx, leave := context.WithCancel(context.Background())
		queued := b.BeginRequest(b.thing, httptest.NewRequest(http.MethodGet, "/queued", nil).WithContext(ctx))
		last := b.begin("/last", "")
		leave()
		b.wantErr(queued, "the call of a client that left", actor.ErrCallerLeft)
		gate.open()
		b.wantBody(last, "the last call", "")
		d.want(t, "/block /last")
	})
}

func TestASlowReaderOpensTheGate(t *testing.T) {
	var d diary
	class := behavior{serve: func(_ *actor.State, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/big" {
			return
		}
		n, err := 0, error(nil)
		for i := 0; i < 64 && err == nil; i++ {
			var m int
			m, err = w.Write(make([]byte, 32<<10))
			n += m
		}
		d.add("%d:%v", n, err)
	}}.class()
	inBubble(t, class, func(b *bubble) {
		w := &slowWriter{take: newDoor()}
		done := make(chan error, 1)
		go func() {
			done <- b.Host.Dispatch(w, httptest.NewRequest(http.MethodGet, "/big", nil), b.thing, actor.SocketID{})
		}()
		synctest.Wait()
		b.wantBody(b.begin("/other", ""), "a call while the writer waits for its reader", "")
		d.want(t, "")
		w.take.open()
		d.want(t, fmt.Sprintf("%d:<nil>", 64*32<<10))
		if err := <-done; err != nil || w.n != 64*32<<10 {
			t.Errorf("Dispatch = %v with %d bytes, want all", err, w.n)
		}

		w = &slowWriter{take: newDoor(), fail: true}
		go func() {
			done <- b.Host.Dispatch(w, httptest.NewRequest(http.MethodGet, "/big", nil), b.thing, actor.SocketID{})
		}()
		synctest.Wait()
		w.take.open() // the client has gone: the handler is not held up any more
		d.want(t, fmt.Sprintf("%d:<nil>", 64*32<<10))
		wantErr(t, "Dispatch to a client that has gone", <-done, nil)
	})
}

// slowWriter is a client that takes nothing until the door opens.
type slowWriter struct {
	take *door
	fail bool
	n    int
	h    http.Header
}

func (w *slowWriter) Header() http.Header {
	if w.h == nil {
		w.h = make(http.Header)
	}
	return w.h
}
func (w *slowWriter) WriteHeader(int) {}
func (w *slowWriter) Write(p []byte) (int, error) {
	w.take.wait()
	if w.fail {
		return 0, errors.New("gone")
	}
	w.n += len(p)
	return len(p), nil
}

func TestHeadAndTrailers(t *testing.T) {
	class := behavior{serve: routes{
		"/plain": func(_ *actor.State, w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("X-A", "1")
			w.WriteHeader(http.StatusEarlyHints) // informational statuses are ignored
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusTeapot) // too late
			w.Header().Set("X-A", "2")       // too late
			_, err := w.Write([]byte("body"))
			return err
		},
		"/none": func(_ *actor.State, w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusNoContent)
			_, err := w.Write([]byte("body"))
			wantErr(t, "Write with 204", err, http.ErrBodyNotAllowed)
			return nil
		},
		"/trailer": func(_ *actor.State, w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Trailer", "X-Declared")
			_, _ = w.Write([]byte("body"))
			w.Header().Set("X-Declared", "d")
			w.Header().Set(http.TrailerPrefix+"X-Late", "l")
			return nil
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		resp, body, _ := b.begin("/plain", "").Wait()
		want(t, "plain", fmt.Sprintf("%d %s %s %s", resp.StatusCode, resp.Header.Get("X-A"), resp.Header.Get("Content-Length"), body), "202 1 4 body")
		resp, body, _ = b.begin("/none", "").Wait()
		want(t, "none", fmt.Sprintf("%d %q", resp.StatusCode, body), `204 ""`)

		s := serve(b)
		c, end := net.Pipe()
		s.l.conns <- end
		go func() { _, _ = io.WriteString(c, "GET /trailer HTTP/1.1\r\nHost: h\r\n\r\n") }()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		want(t, "trailer", fmt.Sprint(string(data), resp.Trailer.Get("X-Declared"), resp.Trailer.Get("X-Late")), "bodydl")
		_ = c.Close()
	})
}
