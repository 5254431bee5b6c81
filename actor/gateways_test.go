package actor_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// lobby is a class that accepts sockets and notes how they end.
type lobby struct {
	mu   sync.Mutex
	ends []string
}

func (l *lobby) class() actor.Class {
	return behavior{
		serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/count" {
				all, _ := s.Sockets(r.Context(), "")
				fmt.Fprint(w, len(all))
				return
			}
			if _, err := s.AcceptSocket(w, r, actor.SocketOptions{}); err != nil {
				fail(w, err)
			}
		},
		closed: func(_ context.Context, _ *actor.State, _ *actor.Socket, info actor.CloseInfo) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ends = append(l.ends, fmt.Sprint(info.Code))
			return nil
		},
	}.class()
}

func (l *lobby) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ends)
}

// The sockets of a gateway that is not connected stay open until it is over, in
// memory or not; then the object hears of each of them once.
func TestSocketsOfAMissingGateway(t *testing.T) {
	var over atomic.Bool
	l := new(lobby)
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": l.class()}, GatewayOver: func(uint64) bool { return over.Load() }}
	inBubbleWith(t, cfg, func(b *bubble) {
		g := b.NewGateway()
		first, second := g.Dial(b.thing, "/"), g.Dial(b.thing, "/")
		start := first.ID().Gateway()
		b.Host.RemoveGateway(start, g)
		time.Sleep(10 * time.Second)
		if got := b.get("/count"); got != "2" {
			t.Errorf("%s sockets while their gateway is missing, want 2", got)
		}
		time.Sleep(10 * time.Minute)
		if got := b.get("/count"); got != "2" { // loaded anew
			t.Errorf("%s sockets after the object was loaded, want 2", got)
		}
		b.Host.AddGateway(start, g)
		second.Close(actor.CloseInfo{Code: 4000}, nil)
		synctest.Wait()
		if got := l.heard(); !slices.Equal(got, []string{"4000"}) {
			t.Errorf("the object heard %q, want 4000", got)
		}
		b.Host.RemoveGateway(start, g)
		over.Store(true)
		time.Sleep(2 * time.Second)
		if got := l.heard(); !slices.Equal(got, []string{"4000", "1006"}) {
			t.Errorf("the object heard %q, want 4000 and 1006", got)
		}
		if got := b.get("/count"); got != "0" {
			t.Errorf("%s sockets after their gateway was over, want 0", got)
		}
	})
}

// A gateway that took another's place is not removed with it.
func TestGatewayThatWasReplacedIsRemoved(t *testing.T) {
	l := new(lobby)
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": l.class()}}, func(b *bubble) {
		old := b.NewGateway()
		socket := old.Dial(b.thing, "/")
		now := b.NewGateway() // of the same start
		b.Host.RemoveGateway(socket.ID().Gateway(), old)
		now.Dial(b.thing, "/")
		time.Sleep(10 * time.Second)
		if got := l.heard(); len(got) > 0 {
			t.Errorf("the object heard %q, want nothing", got)
		}
	})
}

// Nobody could reach a socket whose gateway has gone, so it is not accepted.
func TestAcceptForAMissingGateway(t *testing.T) {
	l := new(lobby)
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": l.class()}, GatewayOver: func(uint64) bool { return false }}
	inBubbleWith(t, cfg, func(b *bubble) {
		g := b.NewGateway()
		b.Host.RemoveGateway(g.Dial(b.thing, "/").ID().Gateway(), g)
		_, call := g.Begin(b.thing, "/", nil)
		if err := call.Err(); err != nil {
			t.Fatal(err)
		}
		if status, body := call.Seen(); status != http.StatusInternalServerError {
			t.Errorf("the object answered %d %q, want the error of AcceptSocket", status, body)
		}
		if got := b.get("/count"); got != "1" {
			t.Errorf("%s sockets, want 1", got)
		}
	})
}

// A message of a socket that the object does not know closes it: nobody may talk
// to an object that does not listen.
func TestMessageOfAnUnknownSocket(t *testing.T) {
	l := new(lobby)
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": l.class()}}, func(b *bubble) {
		g := b.NewGateway()
		socket := g.Dial(b.thing, "/")
		b.Host.SocketClosed(b.thing.ID, socket.ID(), actor.CloseInfo{Code: 1006}, nil)
		synctest.Wait()
		if err := socket.SendNumber(1, actor.Message{Kind: actor.Text, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if info, ok := socket.Closed(); !ok || info.Code != 1012 {
			t.Errorf("Closed() = %v, %v, want 1012", info, ok)
		}
	})
}

// FrameGone comes when the close is durable, not before.
func TestCloseIsAcknowledgedWhenItIsDurable(t *testing.T) {
	l := new(lobby)
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": l.class()}}, func(b *bubble) {
		g := b.NewGateway()
		socket := g.Dial(b.thing, "/")
		gone := func() (n int) {
			for _, f := range g.Frames() {
				if f.Kind == actor.FrameGone && f.Socket == socket.ID() {
					n++
				}
			}
			return n
		}
		closing := actor.Closing{Object: b.thing.ID, Socket: socket.ID(), Info: actor.CloseInfo{Code: 1006}, Lost: func(err error) { t.Error(err) }}
		b.Committer.Hold()
		if err := b.Host.CloseSocket(closing); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if gone() != 0 {
			t.Error("FrameGone came before the close was durable")
		}
		b.Committer.Release()
		synctest.Wait()
		if gone() != 1 {
			t.Errorf("FrameGone came %d times, want once", gone())
		}
		// One that the object does not know any more is acknowledged too.
		if err := b.Host.CloseSocket(closing); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if gone() != 2 || len(l.heard()) != 1 {
			t.Errorf("told again: FrameGone came %d times, the object heard %q, want 2 and one close", gone(), l.heard())
		}
		b.Committer.Refuse(actor.ErrNotOwner)
		if err := b.Host.CloseSocket(closing); err == nil {
			t.Error("CloseSocket without the ownership = nil, want an error")
		}
	})
}

// Attach answers in the object's stream, with the sockets that it does not have,
// and only if the ownership is proven.
func TestAttach(t *testing.T) {
	l := new(lobby)
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": l.class()}}, func(b *bubble) {
		g := b.NewGateway()
		socket := g.Dial(b.thing, "/")
		start := socket.ID().Gateway()
		unknown := actor.NewSocketID(start, 99)
		attach := func(object actor.ID) []actor.Frame {
			t.Helper()
			before := len(g.Frames())
			if err := b.Host.Attach(object, start, []actor.SocketID{socket.ID(), unknown}, 0); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return g.Frames()[before:]
		}
		want := func(when string, got []actor.Frame, gone ...actor.SocketID) {
			t.Helper()
			if len(got) != 1 || got[0].Kind != actor.FrameAttached || !slices.Equal(got[0].Except, gone) {
				t.Errorf("%s: Attach gave %+v, want FrameAttached without %v", when, got, gone)
			}
		}
		want("in memory", attach(b.thing.ID), unknown)
		time.Sleep(10 * time.Minute)
		want("hibernated", attach(b.thing.ID), unknown)
		want("an object without a record", attach(b.Target("Thing", "other").ID), socket.ID(), unknown)
		b.Committer.Unproved(actor.ErrNotOwner)
		if got := attach(b.thing.ID); len(got) > 0 {
			t.Errorf("without a proof Attach gave %+v, want nothing", got)
		}
		if got := attach(b.Target("Thing", "other").ID); len(got) > 0 {
			t.Errorf("without a proof, and without a record, Attach gave %+v, want nothing", got)
		}
		b.Committer.Unproved(nil)
	})
}

// attaching is a gateway that may ask for frames again.
type attaching struct{ *actortest.Gateway }

func (attaching) OwnershipEnded(func(actor.ID) bool) {}

// The opening of a socket that has ended is not sent again, whether the gateway
// acknowledged it or not: it would ask to end that socket, and attach for that.
func TestAttachOpensNoSocketThatHasEnded(t *testing.T) {
	l := new(lobby)
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": l.class()}}, func(b *bubble) {
		g := b.NewGateway()
		b.Host.AddGateway(g.Start(), attaching{g})
		socket := g.Dial(b.thing, "/")
		attach := func() []actor.FrameKind {
			t.Helper()
			before := len(g.Frames())
			if err := b.Host.Attach(b.thing.ID, g.Start(), []actor.SocketID{socket.ID()}, 0); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			var kinds []actor.FrameKind
			for _, f := range g.Frames()[before:] {
				kinds = append(kinds, f.Kind)
			}
			return kinds
		}
		if got, want := attach(), []actor.FrameKind{actor.FrameAttached, actor.FrameOpen}; !slices.Equal(got, want) {
			t.Errorf("Attach with an open socket gave kinds %v, want %v", got, want)
		}
		closing := actor.Closing{Object: b.thing.ID, Socket: socket.ID(), Info: actor.CloseInfo{Code: 1006}, Lost: func(err error) { t.Error(err) }}
		if err := b.Host.CloseSocket(closing); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, want := attach(), []actor.FrameKind{actor.FrameAttached}; !slices.Equal(got, want) {
			t.Errorf("Attach with a socket that has ended gave kinds %v, want %v", got, want)
		}
	})
}

// What an attachment tells is committed: a socket whose close may still be lost is
// not gone.
func TestAttachTellsNoUncommittedClose(t *testing.T) {
	class := behavior{
		serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
			sockets, err := s.Sockets(r.Context(), "")
			switch r.URL.Path {
			case "/count":
				fmt.Fprint(w, len(sockets))
			case "/write":
				err = s.Storage().Put(r.Context(), "k", nil)
			case "/kick":
				err = sockets[0].Close(r.Context(), 4000, "kicked")
			default:
				_, err = s.AcceptSocket(w, r, actor.SocketOptions{})
			}
			if err != nil {
				t.Error(err)
			}
		},
	}.class()
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}}, func(b *bubble) {
		g := b.NewGateway()
		socket := g.Dial(b.thing, "/")
		b.Committer.Hold()
		b.begin("/write", "")
		if err := b.Host.Attach(b.thing.ID, socket.ID().Gateway(), []actor.SocketID{socket.ID()}, 0); err != nil {
			t.Fatal(err)
		}
		b.begin("/kick", "")
		b.Committer.Step(1) // the write, for which the attachment has waited, but not the close
		synctest.Wait()
		attached := false
		for _, f := range g.Frames() {
			if f.Kind == actor.FrameAttached {
				attached = true
				if len(f.Except) > 0 {
					t.Errorf("attached without %v, whose close is not committed", f.Except)
				}
			}
		}
		if !attached {
			t.Error("not attached")
		}
		b.Committer.SetFate(func(*actortest.Commit) actortest.Fate { return actortest.LoseDropped })
		b.Committer.Release()
		synctest.Wait()
		b.Committer.SetFate(nil)
		b.Committer.NextOwnership()
		if count := b.get("/count"); count != "1" {
			t.Errorf("after the close was lost the object has %s sockets, want 1", count)
		}
	})
}
