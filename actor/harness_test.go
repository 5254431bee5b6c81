package actor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// behavior makes a class out of functions; those that are nil do nothing.
type behavior struct {
	start   func(ctx context.Context, s *actor.State) error
	serve   func(s *actor.State, w http.ResponseWriter, r *http.Request)
	alarm   func(ctx context.Context, s *actor.State, info actor.AlarmInfo) error
	message func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error
	closed  func(ctx context.Context, s *actor.State, socket *actor.Socket, info actor.CloseInfo) error
	failed  func(ctx context.Context, s *actor.State, socket *actor.Socket, err error) error
}

func (b behavior) class() actor.Class {
	return actor.Class{New: func(ctx context.Context, s *actor.State) (http.Handler, error) {
		if b.start != nil {
			if err := b.start(ctx, s); err != nil {
				return nil, err
			}
		}
		return &behaving{behavior: b, state: s}, nil
	}}
}

type behaving struct {
	behavior
	state *actor.State
}

func (b *behaving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.serve != nil {
		b.serve(b.state, w, r)
	}
}

func (b *behaving) Alarm(ctx context.Context, info actor.AlarmInfo) error {
	if b.alarm == nil {
		return nil
	}
	return b.alarm(ctx, b.state, info)
}

func (b *behaving) SocketMessage(ctx context.Context, socket *actor.Socket, m actor.Message) error {
	if b.message == nil {
		return nil
	}
	return b.message(ctx, b.state, socket, string(m.Data))
}

func (b *behaving) SocketClose(ctx context.Context, socket *actor.Socket, info actor.CloseInfo) error {
	if b.closed == nil {
		return nil
	}
	return b.closed(ctx, b.state, socket, info)
}

func (b *behaving) SocketError(ctx context.Context, socket *actor.Socket, err error) error {
	if b.failed == nil {
		return nil
	}
	return b.failed(ctx, b.state, socket, err)
}

// routes makes a handler out of one function for each path. A function that
// returns an error answers 500 with it.
type routes map[string]func(s *actor.State, w http.ResponseWriter, r *http.Request) error

func (m routes) serve(s *actor.State, w http.ResponseWriter, r *http.Request) {
	f, ok := m[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if err := f(s, w, r); err != nil {
		fail(w, err)
	}
}

// value is the route that answers with the value of the key in the query.
func value(s *actor.State, w http.ResponseWriter, r *http.Request) error {
	v, ok, err := s.Storage().Get(r.Context(), r.URL.Query().Get("key"))
	if err == nil && !ok {
		v = []byte("-")
	}
	_, _ = w.Write(v)
	return err
}

// put is the route that stores the body under the key in the query.
func put(s *actor.State, w http.ResponseWriter, r *http.Request) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	return s.Storage().Put(r.Context(), r.URL.Query().Get("key"), data)
}

// bubble is a node in a synctest bubble with one class, Thing.
type bubble struct {
	*actortest.Node
	t     *testing.T
	thing actor.Target // the object "a"
}

// inBubble runs a test on a node whose class Thing is the given one.
func inBubble(t *testing.T, class actor.Class, test func(b *bubble)) {
	t.Helper()
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}}, test)
}

func inBubbleWith(t *testing.T, cfg actor.Config, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{Node: actortest.New(t, cfg), t: t}
		b.thing = b.Target("Thing", "a")
		test(b)
	})
}

// get calls the object "a" and gives the body of its answer.
func (b *bubble) get(path string) string {
	b.t.Helper()
	return b.Must(b.thing, http.MethodGet, path, "")
}

// begin calls the object "a" and lets the call go as far as it can.
func (b *bubble) begin(path, body string) *actortest.Call {
	b.t.Helper()
	c := b.Begin(b.thing, http.MethodPost, path, body)
	synctest.Wait()
	return c
}

// wantErr checks the error of a call that must have ended.
func (b *bubble) wantErr(c *actortest.Call, what string, want error) {
	b.t.Helper()
	synctest.Wait()
	if !c.Over() {
		b.t.Fatalf("%s is not over, want %v", what, want)
	}
	if err := c.Err(); !errors.Is(err, want) {
		b.t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// wantBody checks the answer of a call that must have ended well.
func (b *bubble) wantBody(c *actortest.Call, what, want string) {
	b.t.Helper()
	synctest.Wait()
	if !c.Over() {
		b.t.Fatalf("%s is not over, want %q", what, want)
	}
	if resp, body, err := c.Wait(); err != nil || body != want {
		b.t.Errorf("%s = %d %q, %v, want %q", what, resp.StatusCode, body, err, want)
	}
}

// wantFault checks that a call ended with a FaultError whose ID the log has.
func (b *bubble) wantFault(c *actortest.Call, what string) {
	b.t.Helper()
	synctest.Wait()
	var fault *actor.FaultError
	if !c.Over() || !errors.As(c.Err(), &fault) {
		b.t.Fatalf("%s: over %t, want a *FaultError", what, c.Over())
	}
	if log := b.Log.String(); !strings.Contains(log, "fault="+fault.ID) {
		b.t.Errorf("%s: the log does not name fault %s:\n%s", what, fault.ID, log)
	}
}

// stored gives the value of a key as it is in the Store now.
func (b *bubble) stored(key string) string {
	b.t.Helper()
	v, ok, err := b.Store().Get(b.thing.ID, key)
	if err != nil {
		b.t.Fatal(err)
	}
	if !ok {
		return "-"
	}
	return string(v[1:])
}

// diary records what happened in which order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// take gives what was written since the last take.
func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := strings.Join(d.lines, " ")
	d.lines = nil
	return all
}

func (d *diary) want(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got := d.take(); got != want {
		t.Errorf("what happened: %q, want %q", got, want)
	}
}

// door is a place where goroutines wait until a test opens it. Unlike a channel
// it may be made outside of the bubble.
type door struct {
	mu     sync.Mutex
	cond   sync.Cond
	pass   bool
	opened int // times
}

func newDoor() *door {
	d := new(door)
	d.cond.L = &d.mu
	return d
}

func (d *door) wait() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for before := d.opened; !d.pass && d.opened == before; {
		d.cond.Wait()
	}
}

// open lets those pass who wait, even if the door is shut before they look again.
func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pass = true
	d.opened++
	d.cond.Broadcast()
}

// outside waits at the door with the gate open.
func (d *door) outside(ctx context.Context, s *actor.State) error {
	return s.Outside(ctx, func(context.Context) error { d.wait(); return nil })
}

// sleep is for handlers, in bubbles only.
func sleep(d time.Duration) { time.Sleep(d) }

// pass lets time pass for a test, and lets all that happens meanwhile end.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
