package transport

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// A stopping gateway closes a few sockets as evenly as it closes many, and those
// whose turn has not come go on as before.
func TestCloseSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, spread = 4, 40 * time.Second
		s := &script{}
		x := newSite(t, s, memory, ServerConfig{}, GatewayConfig{CloseSpread: spread}, Events{})
		clients := make([]*websocket.Conn, n)
		for i := range clients {
			clients[i] = x.open(t, lobbyPath, nil)
		}
		began := time.Now()
		stopped := make(chan struct{})
		go func() {
			x.stop()
			close(stopped)
		}()
		closes := make(chan time.Duration, n)
		frames := make(chan string, n)
		for _, c := range clients {
			go func() {
				_, data, err := c.ReadMessage()
				if err == nil {
					frames <- string(data)
					_, _, err = c.ReadMessage()
				}
				if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
					t.Errorf("ReadMessage = %v, want close code %d", err, websocket.CloseServiceRestart)
				}
				closes <- time.Since(began)
			}()
		}

		time.Sleep(spread / n / 2) // the first is closed
		s.gateway.Deliver(lobby(), text("still here"))
		for _, c := range clients {
			// The one that is closed says nothing more.
			_ = c.WriteMessage(websocket.TextMessage, []byte("I, too"))
		}
		synctest.Wait()
		if len(frames) != n-1 {
			t.Errorf("%d sockets got a frame while the gateway closed, want the %d whose turn had not come", len(frames), n-1)
		}
		s.until(t, "messages of the open ones came", func() bool { return len(s.in) == n-1 })
		if _, err := x.dial(t.Context()); err == nil {
			t.Error("a client got a connection while the gateway closed, want it to go to another node")
		}

		<-stopped
		if took := time.Since(began); took > spread {
			t.Errorf("the closes took %v, want no more than %v", took, spread)
		}
		var got []time.Duration
		for range n {
			got = append(got, (<-closes).Round(time.Second))
		}
		if want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 30 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("sockets were closed after %v, want %v", got, want)
		}
	})
}

// Nobody waits for the turns of clients that have gone by themselves.
func TestCloseSpreadOfThoseWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, spread = 8, 80 * time.Second
		s := &script{}
		x := newSite(t, s, memory, ServerConfig{}, GatewayConfig{CloseSpread: spread}, Events{})
		for range n {
			c := x.open(t, lobbyPath, nil)
			time.AfterFunc(time.Second, func() { c.NetConn().Close() })
		}
		began := time.Now()
		x.stop()
		if took := time.Since(began); took > 2*spread/n {
			t.Errorf("the gateway closed for %v, want it to be done with the turn that it waited for", took)
		}
	})
}
