package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// echoCall tells what the object saw.
func echoCall(w http.ResponseWriter, r *http.Request, target actor.Target, _ actor.SocketID) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	fmt.Fprintf(w, "%s %s %s %q %s %s %s", r.Method, target.Class, target.Name, r.URL.Path, r.URL.EscapedPath(), r.RequestURI, body)
	return nil
}

func TestRouteToObject(t *testing.T) {
	x := newSite(t, &script{call: echoCall}, loopback, ServerConfig{}, GatewayConfig{}, Events{})
	id := objectOf("ChatRoom", "lobby").String()
	foreign := objectOf("Counter", "lobby").String()
	for _, tc := range []struct {
		method, path string
		status       int
		want         string // of the body
	}{
		{"GET", "/objects/ChatRoom/lobby", 200, `GET ChatRoom lobby "/" / / `},
		{"POST", "/objects/ChatRoom/a%2Fb/x%2Fy/../z?q=%20&r", 200, `POST ChatRoom a/b "/x/y/../z" /x%2Fy/../z /x%2Fy/../z?q=%20&r body`},
		{"PATCH", "/objects/ChatRoom/..//", 200, `PATCH ChatRoom .. "//" // // body`},
		{"GET", "/ids/ChatRoom/" + id + "/x", 200, `GET ChatRoom  "/x" /x /x `},
		{"GET", "/ids/ChatRoom/" + foreign, 400, `"bad_id"`},
		{"GET", "/ids/ChatRoom/zz", 400, `"bad_id"`},
		{"GET", "/objects/ChatRoom//x", 400, `"bad_name"`},
		{"GET", "/objects/ChatRoom/%FF", 400, `"bad_name"`},
		{"GET", "/objects/ChatRoom/" + repeat("n", 1025), 400, `"bad_name"`},
		{"GET", "/objects/Nothing/x", 404, `"unknown_class"`},
		{"POST", "/ids/Nothing", 404, `"unknown_class"`},
		{"GET", "/ids/ChatRoom", 405, `"method_not_allowed"`},
		{"GET", "/", 404, `"not_found"`},
		{"GET", "/objects/ChatRoom", 404, `"not_found"`},
	} {
		var body io.Reader
		if tc.method != http.MethodGet {
			body = strings.NewReader("body")
		}
		resp, got := x.do(t, tc.method, tc.path, body)
		if resp.StatusCode != tc.status || !strings.Contains(got, tc.want) {
			t.Errorf("%s %s = %d %q, want %d %q", tc.method, tc.path, resp.StatusCode, got, tc.status, tc.want)
		}
	}
}

func TestNewID(t *testing.T) {
	x := newSite(t, &script{call: echoCall}, loopback, ServerConfig{}, GatewayConfig{}, Events{})
	seen := map[string]bool{}
	for range 3 {
		resp, body := x.do(t, http.MethodPost, "/ids/Counter", nil)
		id, found := strings.CutPrefix(strings.TrimSuffix(body, "\"}\n"), `{"id":"`)
		if resp.StatusCode != http.StatusCreated || !found || len(id) != 64 || seen[id] {
			t.Fatalf("POST /ids/Counter = %d %q, want 201 and a new ID", resp.StatusCode, body)
		}
		seen[id] = true
		if resp, body := x.do(t, http.MethodGet, "/ids/Counter/"+id+"/v", nil); resp.StatusCode != http.StatusOK {
			t.Errorf("GET the new ID = %d %q, want 200", resp.StatusCode, body)
		}
		if resp, _ := x.do(t, http.MethodGet, "/ids/ChatRoom/"+id+"/v", nil); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("GET the ID in another class = %d, want 400", resp.StatusCode)
		}
	}
}

// TestRawRequests sends what Go's client would not send.
func TestRawRequests(t *testing.T) {
	x := newSite(t, &script{call: echoCall}, loopback, ServerConfig{HeaderBytes: 8 << 10}, GatewayConfig{}, Events{})
	for _, tc := range []struct {
		request string
		status  int
	}{
		{"GET http://other/objects/ChatRoom/x HTTP/1.1\r\nHost: n\r\n\r\n", 200},
		{"OPTIONS * HTTP/1.1\r\nHost: n\r\n\r\n", 404},
		{"CONNECT n:80 HTTP/1.1\r\nHost: n:80\r\n\r\n", 404},
		{"BREW /objects/ChatRoom/pot HTTP/1.1\r\nHost: n\r\n\r\n", 200},
		{"GET /objects/ChatRoom/%zz HTTP/1.1\r\nHost: n\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: n\r\nX: " + repeat("x", 16<<10) + "\r\n\r\n", 431},
		{"GET / HTTP/1.1\r\n\r\n", 400},
	} {
		_, br := x.raw(t, tc.request)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("%.40q: %v", tc.request, err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%.40q = %d, want %d", tc.request, resp.StatusCode, tc.status)
		}
	}
}

// TestStreaming holds a conversation: each part of the body is answered before the next is sent.
func TestStreaming(t *testing.T) {
	x := newSite(t, &script{call: func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
		buf := make([]byte, 64)
		for {
			n, err := r.Body.Read(buf)
			fmt.Fprintf(w, "<%s>", buf[:n])
			if e := http.NewResponseController(w).Flush(); e != nil {
				t.Errorf("Flush = %v", e)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}}, loopback, ServerConfig{}, GatewayConfig{}, Events{})

	pr, pw := io.Pipe()
	defer pw.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node/objects/ChatRoom/x", pr)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := x.client.Do(r)
		if err != nil {
			t.Errorf("Do = %v", err)
		}
		answered <- resp
	}()
	if _, err := io.WriteString(pw, "one"); err != nil {
		t.Fatal(err)
	}
	resp := <-answered
	if resp == nil {
		return
	}
	defer resp.Body.Close()
	for _, part := range []string{"one", "two", "three"} {
		if part != "one" {
			if _, err := io.WriteString(pw, part); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len(part)+2)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "<"+part+">" {
			t.Fatalf("answer to %q = %q, %v", part, got, err)
		}
	}
}

func TestBodyTooLarge(t *testing.T) {
	x := newSite(t, &script{call: echoCall}, loopback, ServerConfig{BodyBytes: 1000}, GatewayConfig{}, Events{})
	for _, tc := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"known, at the bound", strings.NewReader(repeat("x", 1000)), 200},
		{"known, over it", strings.NewReader(repeat("x", 1001)), 413},
		{"unknown, at the bound", io.LimitReader(strings.NewReader(repeat("x", 1000)), 5000), 200},
		{"unknown, over it", io.LimitReader(strings.NewReader(repeat("x", 1001)), 5000), 413},
	} {
		if resp, body := x.do(t, http.MethodPost, "/objects/ChatRoom/x", tc.body); resp.StatusCode != tc.status {
			t.Errorf("%s = %d %q, want %d", tc.name, resp.StatusCode, body, tc.status)
		}
	}
}

func TestDispatchFailures(t *testing.T) {
	s := &script{call: func(w http.ResponseWriter, _ *http.Request, target actor.Target, _ actor.SocketID) error {
		switch target.Name {
		case "refused":
			w.Header().Set("X-Object", "1")
			return fmt.Errorf("run: %w", actor.ErrMailboxFull)
		case "switch":
			w.WriteHeader(http.StatusSwitchingProtocols)
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("Write after 101 succeeds")
			}
			return nil
		case "late":
			fmt.Fprint(w, "part")
			_ = http.NewResponseController(w).Flush()
			return errors.New("too late")
		default:
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "part")
			w.(http.Flusher).Flush() //nolint:forcetypeassert // that it is one is what is tested
			panic(http.ErrAbortHandler)
		}
	}}
	seen := make(chan string, 10)
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{
		RequestDone: func(class string, status int, problem string, _ time.Duration) {
			if class != "ChatRoom" {
				t.Errorf("RequestDone(%q), want ChatRoom", class)
			}
			seen <- fmt.Sprintf("%d %s", status, problem)
		},
	})
	resp, body := x.do(t, http.MethodGet, "/objects/ChatRoom/refused", nil)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || resp.Header.Get("X-Object") != "" || !strings.Contains(body, "mailbox_full") {
		t.Errorf("refused = %d %v %q", resp.StatusCode, resp.Header, body)
	}
	if resp, _ := x.do(t, http.MethodGet, "/objects/ChatRoom/switch", nil); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("101 without a handshake = %d, want 500", resp.StatusCode)
	}
	for _, name := range []string{"late", "abort"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://node/objects/ChatRoom/"+name, http.NoBody)
		resp, err := x.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err == nil || string(got) != "part" {
			t.Errorf("%s: body = %q, %v, want an answer that is cut off after part", name, got, err)
		}
		resp.Body.Close()
	}
	for _, want := range []string{"503 mailbox_full", "500 internal", "200 ", "418 "} {
		if got := <-seen; got != want {
			t.Errorf("RequestDone: status and problem %q, want %q", got, want)
		}
	}
}

// TestStalls runs the time-outs of a connection on a fake clock.
func TestStalls(t *testing.T) {
	const head = "POST /objects/ChatRoom/x HTTP/1.1\r\nHost: n\r\nContent-Length: 2000000\r\n\r\n"
	for _, tc := range []struct {
		name    string
		send    string
		call    func(w http.ResponseWriter, r *http.Request) error
		after   time.Duration // the connection must end then, not before
		expects string        // part of what came
	}{
		{"headers", "GET / HT", nil, 10 * time.Second, ""},
		{"idle", "GET /objects/ChatRoom/x HTTP/1.1\r\nHost: n\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "ok")
			return err
		}, 2 * time.Minute, "200 OK"},
		{"body", head + "abc", func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(r.Body)
			return fmt.Errorf("%w: %w", actor.ErrBody, err)
		}, 30 * time.Second, "body_timeout"},
		{"body with the runtime's own limit", head + "abc", func(w http.ResponseWriter, r *http.Request) error {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(7 * time.Second)); err != nil {
				return err
			}
			_, err := io.ReadAll(r.Body)
			return err
		}, 7 * time.Second, "body_timeout"},
		{"body stopped by the runtime", head + "abc", func(w http.ResponseWriter, r *http.Request) error {
			time.AfterFunc(2*time.Second, func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now()) })
			_, err := io.ReadAll(r.Body)
			return err
		}, 2 * time.Second, "body_timeout"},
		// The runtime gives up while its reading goroutine is still in Read.
		{"body given up", head + "abc", func(_ http.ResponseWriter, r *http.Request) error {
			go func() { _, _ = io.ReadAll(r.Body) }()
			wait(r.Context(), 3*time.Second)
			return actor.ErrBodyTimeout
		}, 3 * time.Second, "body_timeout"},
		{"body of a refused request", strings.Replace(strings.Replace(head, "2000000", "2000", 1), "ChatRoom", "Nothing", 1) + "abc", nil, 30 * time.Second, "unknown_class"},
		{"small body not wanted", strings.Replace(head, "2000000", "2000", 1) + "abc", func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "enough")
			return err
		}, 30 * time.Second, "enough"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newSite(t, &script{call: func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
					return tc.call(w, r)
				}}, memory, ServerConfig{}, GatewayConfig{}, Events{})
				c, br := x.raw(t, tc.send)
				began := time.Now()
				got, err := io.ReadAll(br)
				if err != nil {
					t.Fatalf("read the answer: %v", err)
				}
				// net/http lingers for half a second on a connection with unread bytes.
				if took := time.Since(began); took < tc.after || took > tc.after+time.Second {
					t.Errorf("the connection ended after %v, want %v", took, tc.after)
				}
				if !strings.Contains(string(got), tc.expects) {
					t.Errorf("answer = %q, want %q in it", got, tc.expects)
				}
				c.Close()
				x.stop()
			})
		})
	}
}

// TestSlowReaderOfAnswer checks that a client that takes nothing is cut off, and
// one that takes a little now and then is not.
func TestSlowReaderOfAnswer(t *testing.T) {
	const size = 10 * writeChunkBytes
	for _, tc := range []struct {
		name  string
		pause time.Duration // before each chunk is taken
		all   bool
	}{{"stalled", 31 * time.Second, false}, {"slow", 14 * time.Second, true}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newSite(t, &script{call: func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
					_, err := w.Write(make([]byte, size))
					if err != nil {
						panic(http.ErrAbortHandler)
					}
					return nil
				}}, memory, ServerConfig{}, GatewayConfig{}, Events{})
				c, br := x.raw(t, "GET /objects/ChatRoom/x HTTP/1.1\r\nHost: n\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReaderSize(br, 16), nil)
				if err != nil {
					t.Fatal(err)
				}
				got := 0
				for chunk := make([]byte, writeChunkBytes); err == nil; {
					time.Sleep(tc.pause)
					var n int
					n, err = io.ReadFull(resp.Body, chunk)
					got += n
				}
				resp.Body.Close()
				if all := got == size; all != tc.all {
					t.Errorf("the client got %d of %d bytes", got, size)
				}
				c.Close()
				x.stop()
			})
		})
	}
}

func TestShutdownFinishesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		x := newSite(t, &script{call: func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
			close(started)
			wait(r.Context(), 5*time.Second)
			if r.Context().Err() != nil {
				t.Error("the request was cut off")
			}
			_, err := io.WriteString(w, "done")
			return err
		}}, memory, ServerConfig{}, GatewayConfig{}, Events{})
		_, br := x.raw(t, "GET /objects/ChatRoom/x HTTP/1.1\r\nHost: n\r\n\r\n")
		go func() { <-started; x.stop() }()
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "done" {
			t.Errorf("answer = %q, %v, want done", body, err)
		}
		resp.Body.Close()
		x.stop()
		if _, err := x.dial(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial after Shutdown = %v, want a refusal", err)
		}
	})
}

func TestShutdownCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		s := &script{call: func(_ http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
			close(started)
			<-r.Context().Done()
			return context.Cause(r.Context())
		}}
		x := newSite(t, s, memory, ServerConfig{}, GatewayConfig{}, Events{})
		c, _ := x.raw(t, "GET /objects/ChatRoom/x HTTP/1.1\r\nHost: n\r\n\r\n")
		<-started
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if err := x.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v, want a deadline error", err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("Shutdown took %v, want its bound of 3s", took)
		}
		c.Close()
		x.stop()
	})
}

func TestConnectionBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		x := newSite(t, &script{call: echoCall}, memory, ServerConfig{Connections: 2}, GatewayConfig{}, Events{
			ConnOpened: func() { open.Add(1) },
			ConnClosed: func() { open.Add(-1) },
		})
		first, _ := x.raw(t, "")
		second, _ := x.raw(t, "")
		refused, err := x.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(refused), nil)
		if err != nil {
			t.Fatalf("answer to a third connection: %v", err)
		}
		body, err := io.ReadAll(resp.Body)
		if want := `"code":"overloaded"`; err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(string(body), want) {
			t.Errorf("answer to a third connection = %d %v %q, %v, want 503 with Retry-After and %s", resp.StatusCode, resp.Header, body, err, want)
		}
		resp.Body.Close()
		refused.Close()
		first.Close()
		synctest.Wait()
		third, _ := x.raw(t, "")
		synctest.Wait()
		if open.Load() != 2 {
			t.Errorf("open connections = %d, want 2", open.Load())
		}
		second.Close()
		third.Close()
		x.stop()
		if open.Load() != 0 {
			t.Errorf("open connections at the end = %d, want 0", open.Load())
		}
	})
}

// TestEarlyAnswerEndsItsConnection: the rest of a body that nobody read would
// come before the next request.
func TestEarlyAnswerEndsItsConnection(t *testing.T) {
	x := newSite(t, &script{call: func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
		if r.URL.Path == "/gone" {
			return actor.ErrCallerLeft
		}
		if r.URL.Path == "/whole" {
			if _, err := io.ReadAll(r.Body); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, "early")
		return err
	}}, loopback, ServerConfig{}, GatewayConfig{}, Events{})
	for path, ends := range map[string]bool{"/early": true, "/whole": false} {
		_, br := x.raw(t, "POST /objects/ChatRoom/x"+path+" HTTP/1.1\r\nHost: n\r\nContent-Length: 5\r\n\r\nhello")
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Close != ends {
			t.Errorf("%s: Connection: close = %v, want %v", path, resp.Close, ends)
		}
	}
	_, br := x.raw(t, "GET /objects/ChatRoom/x/gone HTTP/1.1\r\nHost: n\r\n\r\n")
	if resp, err := http.ReadResponse(br, nil); err == nil {
		t.Errorf("a call that nobody waits for = %d, want no answer", resp.StatusCode)
		resp.Body.Close()
	}
}
