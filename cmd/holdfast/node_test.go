package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// Nothing of a node is global: two live side by side.
func TestTwoNodesInOneProcess(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	a.start()
	b.start()
	client := newClient(t, nil)
	for want, m := range map[string]*machine{`{"value":2}`: a, `{"value":1}`: b} {
		if m == a {
			post(t, client, m.object("Counter", "same")+"/increment")
		}
		if got := post(t, client, m.object("Counter", "same")+"/increment"); got != want {
			t.Errorf("increment = %s, want %s", got, want)
		}
	}
	if a.node.ClusterID() == b.node.ClusterID() {
		t.Errorf("both nodes are of cluster %s, want one each", a.node.ClusterID())
	}
}

// A start that fails leaves no goroutine, no listener and no lock.
func TestStartFails(t *testing.T) {
	m := newMachine(t)
	m.start()
	other := newMachine(t)
	other.cfg.Data = m.cfg.Data
	if err := other.tryStart(); err == nil {
		t.Error("StartNode(directory in use) = nil, want an error")
	}
	m.parts.Classes = map[string]actor.Class{"Broken": {}}
	m.stop()
	if err := m.tryStart(); err == nil {
		t.Error("StartNode(class without a constructor) = nil, want an error")
	}
	m.parts.Classes = nil
	m.start()
}

// slow is a class whose calls wait outside for a minute.
func slow(_ context.Context, state *actor.State) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			if _, err := state.AcceptSocket(w, r, actor.SocketOptions{}); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return
		}
		err := state.Outside(r.Context(), func(context.Context) error {
			time.Sleep(time.Minute)
			return nil
		})
		if err == nil {
			err = actor.Put(r.Context(), state.Storage(), "done", true)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}), nil
}

// A graceful stop lets a call end, tells operators, closes sockets as a server
// that restarts does, and takes no new calls.
func TestGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemMachine(t)
		m.parts.Classes = map[string]actor.Class{"Slow": {New: slow}}
		m.start()
		client := newClient(t, m.dial())
		dialer := websocket.Dialer{NetDialContext: m.dial()}
		socket, _, err := dialer.DialContext(t.Context(), "ws://node:80/objects/Slow/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		closed := make(chan error, 1)
		go func() {
			_, _, err := socket.ReadMessage() // answers pings, too
			closed <- err
		}()

		answered := make(chan error, 1)
		go func() {
			_, err := tryCall(context.WithoutCancel(t.Context()), client, http.MethodPost, m.object("Slow", "b"), "")
			answered <- err
		}()
		synctest.Wait()
		started := time.Now()
		stopped := make(chan struct{})
		go func() {
			m.stop()
			close(stopped)
		}()
		synctest.Wait()

		if _, err := tryCall(t.Context(), client, http.MethodGet, "http://node:81/readyz", ""); err == nil {
			t.Error("a node that stops says that it is ready")
		}
		if _, err := tryCall(t.Context(), client, http.MethodGet, "http://node:81/livez", ""); err != nil {
			t.Errorf("a node that stops is not live: %v", err)
		}
		if _, err := tryCall(t.Context(), client, http.MethodPost, m.object("Slow", "c"), ""); err == nil {
			t.Error("a node that stops took a new call")
		}
		if err := <-answered; err != nil {
			t.Errorf("call that was running: %v, want it to end", err)
		}
		if took := time.Since(started); took < 59*time.Second {
			t.Errorf("the call ended %v after the stop began, want the rest of its minute", took)
		}
		if err := <-closed; !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
			t.Errorf("socket ended with %v, want close code %d", err, websocket.CloseServiceRestart)
		}
		<-stopped
		client.CloseIdleConnections()
	})
}

// A stop that may not wait cuts off what is running, and loses nothing that was acknowledged.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemMachine(t)
		m.parts.Classes = map[string]actor.Class{"Slow": {New: slow}}
		m.start()
		client := newClient(t, m.dial())
		answered := make(chan error, 1)
		go func() {
			_, err := tryCall(context.WithoutCancel(t.Context()), client, http.MethodPost, m.object("Slow", "b"), "")
			answered <- err
		}()
		synctest.Wait()
		node := m.node
		m.node = nil
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		started := time.Now()
		if err := node.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close() = %v, want %v: a call was cut off", err, context.DeadlineExceeded)
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("Close() took %v, want about the 10 s that it was given", took)
		}
		if err := <-answered; err == nil {
			t.Error("a call that was cut off was answered with 200")
		}
		client.CloseIdleConnections()
		time.Sleep(time.Minute) // the handler comes back from outside and finds nothing to do
	})
}

// fullDisk is a disk of which a test says how much is free.
type fullDisk struct {
	vfs.FS

	free atomic.Uint64
}

func (d *fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load()}, nil
}

// A full disk refuses calls with an error of its own until there is room again,
// and nothing is damaged.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemMachine(t)
		disk := &fullDisk{FS: m.parts.FS}
		disk.free.Store(1 << 40)
		m.parts.FS = disk
		m.start()
		client := newClient(t, m.dial())
		counter := m.object("Counter", "a")
		post(t, client, counter+"/increment")

		disk.free.Store(1 << 20)
		time.Sleep(time.Minute)
		// The node looks at the disk when something is written: this one may get through.
		_, _ = tryCall(t.Context(), client, http.MethodPost, m.object("Counter", "b")+"/increment", "")
		time.Sleep(time.Second)
		_, err := tryCall(t.Context(), client, http.MethodPost, counter+"/increment", "")
		var status *statusError
		if !errors.As(err, &status) || status.status != http.StatusInsufficientStorage {
			t.Errorf("increment on a full disk = %v, want status %d", err, http.StatusInsufficientStorage)
		}
		if got := get(t, client, counter+"/get"); got != `{"value":1}` {
			t.Errorf("read on a full disk = %s, want 1: reads go on", got)
		}
		if _, err := tryCall(t.Context(), client, http.MethodGet, "http://node:81/livez", ""); err != nil {
			t.Errorf("livez on a full disk: %v", err)
		}

		disk.free.Store(1 << 40)
		time.Sleep(time.Minute)
		_, _ = tryCall(t.Context(), client, http.MethodPost, m.object("Counter", "b")+"/increment", "")
		time.Sleep(time.Second)
		if got := post(t, client, counter+"/increment"); got != `{"value":2}` {
			t.Errorf("increment when there is room again = %s, want 2", got)
		}
		client.CloseIdleConnections()
	})
}
