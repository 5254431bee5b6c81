package transport

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
)

// TestFloodOfRequests: the node works on as many as it may, all others are refused
// while those still run, and each that was taken gets its answer.
func TestFloodOfRequests(t *testing.T) {
	const bound, flood = 8, 200
	var underWay, most, ran atomic.Int32
	release := make(chan struct{})
	x := newSite(t, &script{call: func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
		ran.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
			return actor.ErrCallerLeft
		}
		_, err := io.WriteString(w, "done")
		return err
	}}, loopback, ServerConfig{Requests: bound}, GatewayConfig{}, Events{
		Requests: func(change int) {
			n := underWay.Add(int32(change))
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
		},
	})
	var refused sync.WaitGroup
	refused.Add(flood - bound)
	var clients sync.WaitGroup
	var answered atomic.Int32
	for range flood {
		clients.Go(func() {
			resp, err := x.client.Get("http://node/objects/ChatRoom/x")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			switch {
			case err != nil:
				t.Error(err)
			case resp.StatusCode == http.StatusOK && string(body) == "done":
				answered.Add(1)
			case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" && strings.Contains(string(body), "overloaded"):
				refused.Done()
			default:
				t.Errorf("answer = %d %v %q, want 200 or 503 with Retry-After", resp.StatusCode, resp.Header, body)
			}
		})
	}
	refused.Wait() // before anything that was taken has ended
	if n := ran.Load(); n != bound {
		t.Errorf("%d requests run, want %d", n, bound)
	}
	close(release)
	clients.Wait()
	if a, m, u := answered.Load(), most.Load(), underWay.Load(); a != bound || m != bound || u != 0 {
		t.Errorf("answered %d, at most %d under way, %d at the end, want %d, %d and none", a, m, u, bound, bound)
	}
}

// TestFloodOfConnections: beyond the bound a connection is told so or cut, and
// those that are open go on.
func TestFloodOfConnections(t *testing.T) {
	const bound, flood = 4, 150
	var refused atomic.Int32
	x := newSite(t, &script{call: echoCall}, loopback, ServerConfig{Connections: bound}, GatewayConfig{}, Events{
		ConnRefused: func() { refused.Add(1) },
	})
	const request = "GET /objects/ChatRoom/x HTTP/1.1\r\nHost: node\r\n\r\n"
	ask := func(r *bufio.Reader) int {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0 // cut
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode
	}
	type open struct {
		w io.Writer
		r *bufio.Reader
	}
	var taken []open
	for range bound {
		c, r := x.raw(t, request)
		if status := ask(r); status != http.StatusOK {
			t.Fatalf("answer = %d, want 200", status)
		}
		taken = append(taken, open{c, r})
	}
	told := 0
	for range flood {
		c, err := x.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, request) // it may be cut already
		switch status := ask(bufio.NewReader(c)); status {
		case http.StatusServiceUnavailable:
			told++
		case 0:
		default:
			t.Errorf("answer beyond the bound = %d, want 503", status)
		}
		c.Close()
	}
	if n := refused.Load(); n != flood || told == 0 {
		t.Errorf("%d connections were refused and %d told so, want %d and some", n, told, flood)
	}
	for _, c := range taken {
		if _, err := io.WriteString(c.w, request); err != nil {
			t.Error(err)
		} else if status := ask(c.r); status != http.StatusOK {
			t.Errorf("answer on a connection that was there before = %d, want 200", status)
		}
	}
}
