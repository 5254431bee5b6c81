package actor_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// An alarm that finds its activation lost must leave nothing behind that keeps the next one waiting.
func TestAnAlarmOfALostActivationSettles(t *testing.T) {
	dr := newDoor()
	armed := false
	var bb *bubble
	class := behavior{serve: routes{
		"/set": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			return s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Second))
		},
		"/move": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			dr.wait()
			armed = true
			return s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Hour))
		},
		"/ok": func(s *actor.State, w http.ResponseWriter, r *http.Request) error { return nil },
	}.serve, alarm: func(context.Context, *actor.State, actor.AlarmInfo) error { return nil }}.class()
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class}}
	cfg.Events.EventDone = func(k actor.EventKind, _, _ time.Duration) {
		if armed && k == actor.EventRequest {
			armed = false
			for sh := range uint32(64) {
				bb.Host.SetOwnership(sh, 0)
			}
		}
	}
	inBubbleWith(t, cfg, func(b *bubble) {
		bb = b
		b.get("/set")
		b.begin("/move", "")
		pass(2 * time.Second) // the alarm waits in the mailbox
		dr.open()
		synctest.Wait()
		b.Committer.NextOwnership()
		c := b.begin("/ok", "")
		pass(10 * time.Second)
		pass(10 * time.Minute)
		if !c.Over() {
			t.Fatal("wedged")
		}
		if c.Err() != nil {
			t.Error("ok failed:", c.Err())
		}
	})
}

// Closes of lost sockets that did not begin before a panic come once, not once more from the Store.
func TestALostSocketIsClosedOnce(t *testing.T) {
	var d diary
	first := true
	class := behavior{serve: routes{
		"/accept": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, err := s.AcceptSocket(w, r, actor.SocketOptions{Tags: []string{r.URL.Query().Get("n")}})
			return err
		},
		"/ok": func(s *actor.State, w http.ResponseWriter, r *http.Request) error { return nil },
	}.serve, closed: func(ctx context.Context, s *actor.State, socket *actor.Socket, info actor.CloseInfo) error {
		d.add("%s", socket.Tags()[0])
		if first {
			first = false
			panic("on purpose")
		}
		return nil
	}}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		g.Dial(b.thing, "/accept?n=1")
		g.Dial(b.thing, "/accept?n=2")
		g.Dial(b.thing, "/accept?n=3")
		b.Restart()
		b.get("/ok")
		pass(time.Minute)
		d.want(t, "1 2 3")
	})
}

// An open socket to another object keeps its dialler in memory for a while, not for ever.
func TestADiallerIsEvictedInTheEnd(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/accept": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, err := s.AcceptSocket(w, r, actor.SocketOptions{})
			return err
		},
		"/dial": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, _, err := stub(t, s, "callee").Dial(r.Context(), request("GET", "/accept", nil))
			return err
		},
		"/count": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			all, err := s.Sockets(r.Context(), "")
			d.add("sockets=%d", len(all))
			return err
		},
	}.serve, closed: func(ctx context.Context, s *actor.State, socket *actor.Socket, info actor.CloseInfo) error {
		d.add("closed %d", info.Code)
		return nil
	}}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/dial")
		pass(24 * time.Hour)
		b.Must(b.Target("Thing", "callee"), "GET", "/count", "")
		d.want(t, "closed 1006 sockets=0")
	})
}

// The acceptor learns that the dialler has left memory.
func TestAnEvictedDiallerClosesItsSocket(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/accept": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, err := s.AcceptSocket(w, r, actor.SocketOptions{})
			return err
		},
		"/dial": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, _, err := stub(t, s, "callee").Dial(r.Context(), request("GET", "/accept", nil))
			return err
		},
	}.serve, closed: func(ctx context.Context, s *actor.State, socket *actor.Socket, info actor.CloseInfo) error {
		d.add("closed %d", info.Code)
		return nil
	}}.class()
	inBubbleWith(t, actor.Config{IdleTimeout: 20 * time.Minute, Classes: map[string]actor.Class{"Thing": class}}, func(b *bubble) {
		b.get("/dial")
		pass(24 * time.Hour)
		d.want(t, "closed 1006")
	})
}

// An outside wait on another goroutine must not take the gate for an event that is over.
func TestAnOutsideWaitThatOutlivesItsHandler(t *testing.T) {
	dr := newDoor()
	class := behavior{serve: routes{
		"/go": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			started := make(chan struct{})
			go func() {
				_ = s.Outside(r.Context(), func(context.Context) error { close(started); dr.wait(); return nil })
			}()
			<-started
			return nil
		},
		"/ok": func(s *actor.State, w http.ResponseWriter, r *http.Request) error { return nil },
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/go")
		dr.open()
		synctest.Wait()
		c := b.begin("/ok", "")
		pass(time.Hour)
		if !c.Over() {
			t.Error("wedged")
		}
	})
}

// Messages of a socket take effect in order, without a gap.
func TestNoMessageTakesEffectAfterALostOne(t *testing.T) {
	var d diary
	dr := newDoor()
	class := behavior{serve: routes{
		"/accept": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, err := s.AcceptSocket(w, r, actor.SocketOptions{})
			return err
		},
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
	}.serve, message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
		if text == "1" {
			_ = dr.outside(ctx, s)
		}
		err := s.Storage().Put(ctx, "m"+text, []byte(text))
		if err == nil {
			d.add("took %s", text)
		}
		return err
	}}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		s := g.Dial(b.thing, "/accept")
		_ = s.Send("1")
		_ = s.Send("2")
		synctest.Wait()
		b.begin("/panic", "")
		dr.open()
		synctest.Wait()
		if b.stored("m1") == "-" && b.stored("m2") == "2" {
			t.Error("message 2 took effect though 1 before it was lost")
		}
	})
}

// The next activation waits for a commit as long as it takes.
func TestASlowCommitIsNoHandlerTimeout(t *testing.T) {
	class := behavior{serve: routes{
		"/put":   put,
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
		"/ok":    func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		b.begin("/put?key=k", "v")
		b.begin("/panic", "")
		c := b.begin("/ok", "")
		pass(31 * time.Second)
		if c.Over() {
			t.Error("call that never began:", c.Err())
		}
		b.Committer.Release()
		synctest.Wait()
	})
}

// A call whose frame a client has seen was not refused.
func TestAFrameThatLeftIsAnEffect(t *testing.T) {
	dr := newDoor()
	class := behavior{serve: routes{
		"/accept": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, err := s.AcceptSocket(w, r, actor.SocketOptions{})
			return err
		},
		"/send": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if err := s.Broadcast(r.Context(), actor.Message{Kind: actor.Text, Data: []byte("hi")}, actor.BroadcastOptions{}); err != nil {
				return err
			}
			err := s.Storage().Put(r.Context(), "k", []byte("v")) // dropped with the ownership
			dr.wait()
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		s := g.Dial(b.thing, "/accept")
		c := b.begin("/send", "")
		for sh := range uint32(64) {
			b.Host.SetOwnership(sh, 99)
		}
		synctest.Wait()
		if got := s.Received(); len(got) != 1 || !errors.Is(c.Err(), actor.ErrOutcomeUnknown) {
			t.Errorf("received %v, answer %v, want one frame and ErrOutcomeUnknown", got, c.Err())
		}
		dr.open()
		synctest.Wait()
	})
}

// A call that leaves later was not refused, although its event was cut short.
func TestACallThatWillLeaveIsAnEffect(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/put": put,
		"/call": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			one, err := stub(t, s, "callee").Start(r.Context(), request("GET", "/effect?1", nil))
			if err != nil {
				return err
			}
			if _, err := stub(t, s, "callee").Start(r.Context(), request("GET", "/effect?2", nil)); err != nil {
				return err
			}
			_, err = one.Response(r.Context())
			return err
		},
		"/effect": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			d.add("effect%s", r.URL.RawQuery)
			return nil
		},
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		b.begin("/put?key=k", "v")
		c := b.begin("/call", "")
		b.begin("/panic", "")
		if !errors.Is(c.Err(), actor.ErrOutcomeUnknown) {
			t.Errorf("answer %v, want ErrOutcomeUnknown", c.Err())
		}
		d.want(t, "")
		b.Committer.Release()
		synctest.Wait()
		d.want(t, "effect2")
	})
}

// What WaitUntil starts runs, whatever becomes of the event.
func TestATaskIsAnEffect(t *testing.T) {
	class := behavior{serve: routes{
		"/body": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			_ = s.WaitUntil(r.Context(), func(ctx context.Context) { _ = s.Storage().Put(ctx, "k", []byte("v")) })
			return s.Storage().Sync(r.Context())
		},
		"/put":   put,
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		b.begin("/put?key=x", "v")
		c := b.begin("/body", "") // waits for the batch before it; the task runs meanwhile
		b.begin("/panic", "")
		if !errors.Is(c.Err(), actor.ErrOutcomeUnknown) {
			t.Errorf("answer %v, want ErrOutcomeUnknown", c.Err())
		}
		b.Committer.Release()
		synctest.Wait()
		want(t, "the task's write", b.stored("k"), "v")
	})
}

// fullDisk refuses at once while it is full, as a shard does for want of room.
type fullDisk struct {
	actor.Committer
	full bool
}

func (f *fullDisk) Commit(object actor.ID, ownership uint64, batch []byte, done func(error)) {
	if f.full {
		done(actor.ErrStorageFull)
		return
	}
	f.Committer.Commit(object, ownership, batch, done)
}

// A refusal for want of room takes no batch with it that is under way.
func TestARefusalLeavesEarlierWritesAlone(t *testing.T) {
	inBubble(t, behavior{serve: routes{"/put": put}.serve}.class(), func(b *bubble) {
		disk := &fullDisk{}
		b.Host.WrapCommitter(func(c actor.Committer) actor.Committer {
			disk.Committer = c
			return disk
		})
		b.Committer.Hold()
		one := b.begin("/put?key=one", "1")
		disk.full = true
		two := b.begin("/put?key=two", "2")
		disk.full = false
		b.Committer.Release()
		synctest.Wait()
		if one.Err() != nil || b.stored("one") != "1" {
			t.Errorf("the write under way: %v, stored %q, want success", one.Err(), b.stored("one"))
		}
		if !errors.Is(two.Err(), actor.ErrStorageFull) || b.stored("two") != "-" {
			t.Errorf("the write on a full disk: %v, stored %q, want ErrStorageFull and nothing", two.Err(), b.stored("two"))
		}
	})
}
