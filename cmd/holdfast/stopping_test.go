package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// Each part of a stop has a time of its own: calls that take all of theirs take
// none from the sockets, and the whole ends within the sum that operators are told.
func TestStopTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sockets = 3
		m := newMemMachine(t)
		m.parts.Classes = map[string]actor.Class{"Slow": {New: slow}}
		m.cfg.StopTimeout, m.cfg.CloseSpread = 20*time.Second, 30*time.Second
		m.start()
		client := newClient(t, m.dial())
		answered := make(chan error, 1)
		go func() {
			_, err := tryCall(context.WithoutCancel(t.Context()), client, http.MethodPost, m.object("Slow", "b"), "")
			answered <- err
		}()
		dialer := websocket.Dialer{NetDialContext: m.dial()}
		var began time.Time
		closed := make(chan time.Duration, sockets)
		for range sockets {
			socket, _, err := dialer.DialContext(t.Context(), "ws://node:80/objects/Slow/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			socket.SetCloseHandler(func(code int, _ string) error { // and does not answer
				closed <- time.Since(began)
				return nil
			})
			go func() { _, _, _ = socket.ReadMessage() }()
		}
		synctest.Wait()

		began = time.Now()
		node := m.node
		m.node = nil
		if err := node.Close(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close() = %v, want %v: a call was cut off", err, context.DeadlineExceeded)
		}
		took := time.Since(began)
		if took < m.cfg.StopTimeout+m.cfg.CloseSpread*2/3 || took > m.cfg.stopBound() {
			t.Errorf("Close() took %v, want %v and the closes, and at most %v", took, m.cfg.StopTimeout, m.cfg.stopBound())
		}
		if err := <-answered; err == nil {
			t.Error("a call that was cut off was answered with 200")
		}
		for i := range sockets {
			want := m.cfg.StopTimeout + m.cfg.CloseSpread*time.Duration(i)/sockets
			if at := <-closed; at < want || at > want+2*time.Second {
				t.Errorf("close %d came %v after the stop began, want %v", i, at, want)
			}
		}
		client.CloseIdleConnections()
		time.Sleep(time.Minute) // the handler comes back from outside and finds nothing to do
	})
}

// The sum that the guide gives is the one that holds.
func TestStopTimesInTheGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	for _, want := range []string{
		fmt.Sprintf("%.0f s + `--stop-timeout` + `--close-spread` + %.0f s", drainWait.Seconds(), stopRest.Seconds()),
		fmt.Sprintf("%.0f s with the defaults", cfg.stopBound().Seconds()),
	} {
		if !strings.Contains(string(guide), want) {
			t.Errorf("docs/operating.md does not have %q", want)
		}
	}
}
