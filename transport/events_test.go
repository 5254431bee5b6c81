package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// told is what events said.
type told struct {
	mu    sync.Mutex
	words []string
}

func (d *told) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.words = append(d.words, fmt.Sprintf(format, args...))
}

// want checks what was said since the last call.
func (d *told) want(t *testing.T, what string, words ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.words, words) {
		t.Errorf("%s: events %q, want %q", what, d.words, words)
	}
	d.words = nil
}

func (d *told) events() Events {
	return Events{
		Forwarded:       func(end ForwardEnd, took time.Duration) { d.add("%s %v", end, took) },
		Retried:         func() { d.add("again") },
		OwnerWaited:     func(took time.Duration) { d.add("waited %v", took) },
		SocketsGivenUp:  func(sockets int) { d.add("gave up %d", sockets) },
		SocketLinkEnded: func(end LinkEnd) { d.add("link %s", end) },
		SocketOverrun:   func() { d.add("overrun") },
	}
}

// What becomes of a call on its way to the owner is told, each try for itself.
func TestForwardsAreTold(t *testing.T) {
	const running = 3 * time.Second
	run := func(err error) func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
		return func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			time.Sleep(running)
			return err
		}
	}
	for name, tc := range map[string]struct {
		there func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error
		want  []string
	}{
		"answered": {run(nil), []string{"answered 3s"}},
		"failed":   {run(actor.ErrOverloaded), []string{"failed 3s"}},
		"unknown":  {run(actor.ErrOutcomeUnknown), []string{"unknown 3s"}},
		"cut": {func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
			io.WriteString(w, "some")
			w.(http.Flusher).Flush() //nolint:forcetypeassert // that it is one is what is tested
			panic(http.ErrAbortHandler)
		}, []string{"cut 0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, d := newHop(t), &told{}
				h.router.UseEvents(d.events())
				h.there.dispatch = tc.there
				func() {
					defer func() { _ = recover() }() // as net/http does
					h.call(httptest.NewRequest("GET", "/", http.NoBody))
				}()
				d.want(t, name, tc.want...)
			})
		})
	}
}

// A call that finds no owner at first tells how long it looked, and not how long it ran.
func TestSearchesForAnOwnerAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, d := newHop(t), &told{}
		h.router.UseEvents(d.events())
		h.here.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			time.Sleep(time.Hour)
			return nil
		}
		h.owners.set(Owner{}, false)
		go func() {
			time.Sleep(900 * time.Millisecond)
			h.owners.set(Owner{Node: "a", Local: true}, true)
		}()
		if _, err := h.call(httptest.NewRequest("GET", "/", http.NoBody)); err != nil {
			t.Fatal(err)
		}
		d.want(t, "no owner for a while", "waited 900ms")

		h.owners.set(Owner{}, false)
		if _, err := h.call(httptest.NewRequest("GET", "/", http.NoBody)); !errors.Is(err, actor.ErrNotOwner) {
			t.Fatal(err)
		}
		d.want(t, "no owner at all", "waited 5s")

		h.owners.set(Owner{Node: "b"}, true)
		h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			h.owners.set(Owner{Node: "a", Local: true}, true)
			return actor.ErrNotOwner
		}
		if _, err := h.call(httptest.NewRequest("GET", "/", http.NoBody)); err != nil {
			t.Fatal(err)
		}
		d.want(t, "another owner", "refused 0s", "again", "waited 0s")
	})
}

// Sockets whose object has no owner count as parked, until there is one or they are
// given up.
func TestParkedSocketsAreCounted(t *testing.T) {
	d := &told{}
	inFleet(t, RelayConfig{Events: d.events()}, GatewayConfig{}, "a b", func(f *fleet) {
		wantStats := func(when string, want RelayStats) {
			t.Helper()
			got := f.nodes["b"].relay.Stats()
			got.QueuedBytes = 0
			if got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		members := []*member{newMember(f.nodes["b"].open("r", "")), newMember(f.nodes["b"].open("r", "")), newMember(f.nodes["b"].open("s", ""))}
		wantStats("with an owner", RelayStats{Rooms: 2, OwnerLinks: 1})
		if got := f.nodes["a"].relay.Stats(); got.GatewayLinks != 1 || got.Rooms != 0 {
			t.Errorf("the owner has %+v, want one link of a gateway", got)
		}
		f.own("")
		time.Sleep(time.Second)
		wantStats("without an owner", RelayStats{Rooms: 2, ParkedSockets: 3, OwnerLinks: 1})
		f.own("b")
		time.Sleep(2 * time.Second)
		wantStats("with one again", RelayStats{Rooms: 2, OwnerLinks: 1})
		time.Sleep(5 * time.Minute)
		d.mu.Lock()
		if !slices.Equal(d.words, []string{"link idle", "link broken"}) && !slices.Equal(d.words, []string{"link broken", "link idle"}) {
			t.Errorf("the link that is not used: events %q, want both ends told", d.words)
		}
		d.words = nil
		d.mu.Unlock()
		f.own("")
		time.Sleep(35 * time.Second)
		d.mu.Lock()
		slices.Sort(d.words)
		d.mu.Unlock()
		d.want(t, "no owner for longer than the patience", "gave up 1", "gave up 2")
		for _, m := range members {
			m.mu.Lock()
			if !websocket.IsCloseError(m.ended, websocket.CloseTryAgainLater) {
				t.Errorf("a socket ended with %v, want 1013", m.ended)
			}
			m.mu.Unlock()
		}
		wantStats("after that", RelayStats{Rooms: 2})
		f.own("a")
		time.Sleep(5 * time.Second)
		if got := f.nodes["b"].relay.Stats(); got.Rooms != 0 {
			t.Errorf("%+v when the objects know, want no rooms", got)
		}
	})
}

func TestLinkEnds(t *testing.T) {
	for _, tc := range []struct {
		cause error
		want  LinkEnd
	}{
		{errLinkIdle, LinkIdle},
		{ErrClosed, LinkClosing},
		{errBehind, LinkBehind},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), LinkSilent},
		{fmt.Errorf("%w: version 9", errSocketWire), LinkGarbled},
		{io.EOF, LinkBroken},
		{context.Canceled, LinkBroken},
	} {
		if got := linkEnd(tc.cause); got != tc.want {
			t.Errorf("linkEnd(%v) = %s, want %s", tc.cause, got, tc.want)
		}
	}
}
