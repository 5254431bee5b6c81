package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

func TestEventsAreReported(t *testing.T) {
	var d diary
	class := behavior{serve: routes{"/put": put, "/socket": accept, "/panic": func(*actor.State, http.ResponseWriter, *http.Request) error {
		panic("on purpose")
	}}.serve}.class()
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class}, Events: actor.Events{
		Activated: func(class string) { d.add("activated:%s", class) },
		Evicted:   func(_ string, hibernated bool) { d.add("evicted:%t", hibernated) },
		Ended: func(_ string, cause error) {
			d.add("ended:%t", errors.As(cause, new(*actor.FaultError)))
		},
		EventDone: func(kind actor.EventKind, _, _ time.Duration) { d.add("%s", kind) },
		BatchDone: func(bytes int, _ time.Duration, err error) { d.add("batch:%t:%v", bytes > 0, err) },
		Frames:    func(kind actor.FrameKind) { d.add("frame:%d", kind) },
		Refused:   func(err error) { d.add("refused:%v", err) },
	}}
	inBubbleWith(t, cfg, func(b *bubble) {
		b.Committer.Hold() // the event ends before its batch is committed
		b.begin("/put?key=k", "v")
		b.Committer.Release()
		d.want(t, "activated:Thing start request batch:true:<nil>")
		b.Committer.Hold()
		b.NewGateway().Begin(b.thing, "/socket", nil)
		synctest.Wait()
		b.Committer.Release()
		d.want(t, "request batch:true:<nil> frame:1")
		pass(2 * time.Minute)
		d.want(t, "evicted:true")
		b.begin("/panic", "")
		d.want(t, "activated:Thing start ended:true request")
		b.Committer.Refuse(actor.ErrNotOwner)
		b.begin("/put?key=k", "v")
		d.want(t, "refused:"+actor.ErrNotOwner.Error())
	})
}

// Runs of alarms are told however they end, and those that the platform breaks apart
// from those that fail.
func TestEndsOfAlarmsAreReported(t *testing.T) {
	for name, tc := range map[string]struct {
		alarm func(ctx context.Context, s *actor.State) error
		want  string
	}{
		"done":     {func(context.Context, *actor.State) error { return nil }, "done:false"},
		"an error": {func(context.Context, *actor.State) error { return errors.New("no") }, "failed:false" + strings.Repeat(" failed:true", 5) + " dropped:true"},
		"a panic":  {func(context.Context, *actor.State) error { panic("no") }, "failed:false" + strings.Repeat(" failed:true", 5) + " dropped:true"},
		"an abort": {func(ctx context.Context, s *actor.State) error {
			s.Abort(ctx, actor.AbortOptions{DropAlarm: true})
			return nil
		}, "dropped:false"},
		"too long": {func(ctx context.Context, s *actor.State) error {
			return s.Outside(ctx, func(context.Context) error { sleep(16 * time.Minute); return nil })
		}, "failed:false" + strings.Repeat(" failed:true", 5) + " dropped:true"},
	} {
		var d diary
		class := behavior{
			serve: routes{"/set": setAlarm}.serve,
			alarm: func(ctx context.Context, s *actor.State, _ actor.AlarmInfo) error { return tc.alarm(ctx, s) },
		}.class()
		cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class}, Events: actor.Events{
			AlarmRun:      func(_ time.Duration, retry bool, end actor.AlarmEnd) { d.add("%s:%t", end, retry) },
			AlarmDeferred: func() { d.add("deferred") },
		}}
		inBubbleWith(t, cfg, func(b *bubble) {
			b.get("/set?in=1s")
			pass(24 * time.Hour)
			if got := d.take(); got != tc.want {
				t.Errorf("%s: reported %q, want %q", name, got, tc.want)
			}
		})
	}
}

func TestDeferredAlarmsAreReported(t *testing.T) {
	var d diary
	class := behavior{serve: routes{"/set": setAlarm}.serve}.class()
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class}, Events: actor.Events{
		AlarmRun: func(late time.Duration, _ bool, end actor.AlarmEnd) {
			d.add("%s after %v", end, late.Round(time.Second))
		},
		AlarmDeferred: func() { d.add("deferred") },
	}}
	inBubbleWith(t, cfg, func(b *bubble) {
		b.get("/set?in=1s")
		b.Committer.Refuse(actor.ErrOverloaded)
		pass(3500 * time.Millisecond)
		want(t, "objects that rest", b.Host.Stats().AlarmRests, 1)
		b.Committer.Refuse(nil)
		pass(time.Minute)
		d.want(t, "deferred deferred deferred done after 3s")
		want(t, "objects that rest in the end", b.Host.Stats().AlarmRests, 0)
	})
}

func TestVerdictsOnKeysAreReported(t *testing.T) {
	var d diary
	hold := newDoor()
	routes := keyedRoutes()
	routes["/hold"] = func(*actor.State, http.ResponseWriter, *http.Request) error { hold.wait(); return nil }
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": behavior{serve: routes.serve}.class()}, Events: actor.Events{
		Keyed: func(verdict actor.KeyedVerdict) { d.add("%s", verdict) },
	}}
	inBubbleWith(t, cfg, func(b *bubble) {
		b.beginKeyed("k", http.MethodPost, "/add", "")
		b.beginKeyed("k", http.MethodPost, "/add", "")
		b.beginKeyed("k", http.MethodPost, "/two", "")
		d.want(t, "run replayed key_reused")
		b.Committer.Hold() // its answer is not committed yet
		b.beginKeyed("l", http.MethodPost, "/two", "")
		b.beginKeyed("l", http.MethodPost, "/two", "")
		b.Committer.Release()
		synctest.Wait()
		d.want(t, "run in_progress")
		b.get("/value?key=a") // has no key
		d.want(t, "")
	})
}

func TestBroadcastsAndOverrunsAreReported(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/socket": accept,
		"/shout": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			if err := s.Storage().Put(r.Context(), "k", []byte("v")); err != nil {
				return err
			}
			return s.Broadcast(r.Context(), actor.Message{Kind: actor.Binary, Data: make([]byte, actor.MaxFrameBytes-1<<10)}, actor.BroadcastOptions{})
		},
	}.serve}.class()
	cfg := actor.Config{
		Classes: map[string]actor.Class{"Thing": class}, GatewayOver: func(uint64) bool { return false },
		Events: actor.Events{
			Broadcast:     func(class string) { d.add("broadcast:%s", class) },
			OutboxOverrun: func(class string, sockets int) { d.add("overrun:%s:%d", class, sockets) },
		},
	}
	inBubbleWith(t, cfg, func(b *bubble) {
		g := b.NewGateway()
		first := g.Dial(b.thing, "/socket")
		g.Dial(b.thing, "/socket")
		b.Host.RemoveGateway(first.ID().Gateway(), g) // it acknowledges nothing any more
		for range 3 {
			b.get("/shout")
		}
		got := d.take()
		if strings.Count(got, "broadcast:Thing") != 3 || strings.Count(got, "overrun:Thing:2") != 1 {
			t.Errorf("reported %q, want three broadcasts and one overrun of two sockets", got)
		}
	})
}

// Objects count as hibernated from the moment they leave memory with a socket open
// until they are in memory again, or belong to another node.
func TestHibernatedObjectsAreCounted(t *testing.T) {
	class := behavior{serve: routes{"/socket": accept, "/": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil }}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		wantCounts := func(when string, want actor.Stats) {
			t.Helper()
			if got := b.Host.Stats(); got.Activations != want.Activations || got.Hibernated != want.Hibernated {
				t.Errorf("%s: %d in memory, %d hibernated, want %d and %d", when, got.Activations, got.Hibernated, want.Activations, want.Hibernated)
			}
		}
		g := b.NewGateway()
		socket := g.Dial(b.thing, "/socket")
		g.Dial(b.Target("Thing", "b"), "/socket")
		b.Must(b.Target("Thing", "c"), http.MethodGet, "/", "")
		wantCounts("at first", actor.Stats{Activations: 3})
		pass(10 * time.Minute)
		wantCounts("after a while", actor.Stats{Hibernated: 2})
		b.get("/")
		wantCounts("after a call", actor.Stats{Activations: 1, Hibernated: 1})
		socket.Close(actor.CloseInfo{Code: 1000, Clean: true}, nil)
		pass(10 * time.Minute)
		wantCounts("after a close", actor.Stats{Hibernated: 1})
		b.Committer.NextOwnership()
		for shard := range uint32(256) {
			b.Host.SetOwnership(shard, 0)
		}
		wantCounts("of a node that owns nothing", actor.Stats{})
	})
}

// A node counts the objects that it refuses until their quarantine is over.
func TestQuarantinedObjectsAreCounted(t *testing.T) {
	var struck atomic.Int64
	class := behavior{serve: routes{"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") }}.serve}.class()
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class}, Events: actor.Events{
		Struck: func(string, bool) { struck.Add(1) },
	}}
	inBubbleWith(t, cfg, func(b *bubble) {
		want(t, "quarantined objects at first", b.Host.Stats().Quarantined, 0)
		for range 10 {
			b.begin("/panic", "")
		}
		want(t, "strikes", fmt.Sprint(struck.Load()), "2")
		want(t, "quarantined objects", b.Host.Stats().Quarantined, 1)
		pass(time.Minute)
		want(t, "quarantined objects after a minute", b.Host.Stats().Quarantined, 0)
	})
}
