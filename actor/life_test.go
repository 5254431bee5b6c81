package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

func TestAnIdleObjectLeavesMemory(t *testing.T) {
	var d diary
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: routes{"/put": put, "/value": value}.serve,
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.begin("/put?key=k", "v")
		pass(30 * time.Second)
		b.get("/value?key=k") // a new use, a new time
		pass(59 * time.Second)
		want(t, "activations", b.Host.Stats().Activations, 1)
		pass(2 * time.Second)
		want(t, "activations", b.Host.Stats().Activations, 0)
		d.want(t, "start")
		want(t, "the value", b.get("/value?key=k"), "v")
		d.want(t, "start")
	})
}

func TestWhatIsUnderWayKeepsAnObjectInMemory(t *testing.T) {
	gate := newDoor()
	class := behavior{serve: routes{
		"/put": put,
		"/wait": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return gate.outside(r.Context(), s)
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		waiting := b.begin("/wait", "")
		pass(time.Hour)
		want(t, "activations while a call waits outside", b.Host.Stats().Activations, 1)
		gate.open()
		b.wantBody(waiting, "the call", "")
		b.Committer.Hold()
		b.begin("/put?key=k", "v")
		pass(time.Hour)
		want(t, "activations while a batch is under way", b.Host.Stats().Activations, 1)
		b.Committer.Release()
		pass(3 * time.Minute)
		want(t, "activations in the end", b.Host.Stats().Activations, 0)
	})
}

// Conformance case 33
func TestAnObjectThatStoresNothingLeavesNoTrace(t *testing.T) {
	g := (*actortest.Gateway)(nil)
	class := behavior{serve: routes{
		"/nothing": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
		"/read":    value,
		"/put":     put,
		"/delete": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			_, err := s.Storage().Delete(r.Context(), "k")
			return err
		},
		"/put-delete": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			err := s.Storage().Put(r.Context(), "k", nil)
			_, err2 := s.Storage().Delete(r.Context(), "k")
			return errors.Join(err, err2)
		},
		"/rollback": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Storage().Transaction(r.Context(), func(ctx context.Context, tx *actor.Transaction) error {
				defer tx.Rollback()
				return tx.Put(ctx, "k", nil)
			})
		},
		"/delete-all": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return errors.Join(s.Storage().Put(r.Context(), "k", nil), s.Storage().DeleteAll(r.Context()))
		},
		"/alarm": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Second))
		},
		"/alarm-delete": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return errors.Join(s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Hour)), s.Storage().DeleteAlarm(r.Context()))
		},
		"/auto": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return errors.Join(s.SetAutoReply(r.Context(), &actor.AutoReply{}), s.SetAutoReply(r.Context(), nil))
		},
		"/socket": accept,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		empty := b.keys()
		g = b.NewGateway()
		for _, life := range []string{"/nothing", "/read", "/put /delete", "/put-delete", "/rollback", "/delete-all", "/put /delete-all", "/alarm", "/alarm-delete", "/auto", "/socket"} {
			for i, path := range strings.Fields(life) {
				if path == "/socket" {
					g.Dial(b.thing, path).Close(actor.CloseInfo{Code: 1000}, nil)
				} else {
					b.begin(path+"?key=k", "v")
				}
				if i > 0 {
					continue
				}
				pass(2 * time.Minute) // also over more than one activation
			}
			pass(2 * time.Minute)
			if got := b.keys(); got != empty {
				t.Errorf("after %s the Store has %d keys, want %d as before", life, got, empty)
			}
		}
		// What is emptied just before the node stops is found at the object's next use.
		b.begin("/put?key=k", "v")
		b.begin("/delete", "")
		b.Restart()
		b.get("/nothing")
		pass(2 * time.Minute)
		if got := b.keys(); got != empty {
			t.Errorf("after a restart the Store has %d keys, want %d as before", got, empty)
		}
	})
}

// keys counts what the Store holds of any object.
func (b *bubble) keys() int {
	b.t.Helper()
	n, err := b.Store().Keys()
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// An object that is used again while its record is being forgotten is a new one.
func TestAnObjectComesBackWhileItIsForgotten(t *testing.T) {
	class := behavior{serve: routes{"/put": put, "/value": value, "/delete": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
		_, err := s.Storage().Delete(r.Context(), "k")
		return err
	}}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.begin("/put?key=k", "v")
		b.begin("/delete", "")
		b.Committer.Hold()
		pass(2 * time.Minute)
		want(t, "batches that wait", b.Committer.Waiting(), 1)
		write := b.begin("/put?key=k", "new")
		b.Committer.Release()
		b.wantBody(write, "the write", "")
		b.wantBody(b.begin("/value?key=k", ""), "the value", "new")
		want(t, "records", b.Records(), 1)
	})
}

func TestTheNumberOfActivationsIsBounded(t *testing.T) {
	var d diary
	hold := newDoor()
	class := behavior{
		start: func(_ context.Context, s *actor.State) error { d.add("%s", s.Name()); return nil },
		serve: func(_ *actor.State, _ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				hold.wait()
			}
		},
	}.class()
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class}, MaxActivations: 3}
	inBubbleWith(t, cfg, func(b *bubble) {
		call := func(name string) *actortest.Call { return b.Begin(b.Target("Thing", name), "GET", "/", "") }
		for _, name := range []string{"a", "b", "c", "a", "d", "a", "b"} {
			b.wantBody(call(name), name, "")
			pass(1)
			if n := b.Host.Stats().Activations; n > 3 {
				t.Errorf("%d activations, want at most 3", n)
			}
		}
		// d took the place of b, which was used longest ago; b that of c.
		d.want(t, "a b c d b")
		for _, name := range []string{"a", "b", "d"} {
			b.Begin(b.Target("Thing", name), "GET", "/hold", "")
		}
		synctest.Wait()
		b.wantErr(call("e"), "a call with all activations busy", actor.ErrOverloaded)
		hold.open()
		synctest.Wait()
		b.wantBody(call("e"), "a call afterwards", "")
	})
}

func TestTheMailboxIsBounded(t *testing.T) {
	hold := newDoor()
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hold":
			hold.wait()
		case "/socket":
			_ = accept(s, w, r)
		}
	}}.class()
	t.Run("calls", func(t *testing.T) {
		inBubble(t, class, func(b *bubble) {
			b.begin("/hold", "")
			var calls []*actortest.Call
			for range 1024 {
				calls = append(calls, b.Begin(b.thing, "GET", "/", ""))
			}
			synctest.Wait()
			b.wantErr(b.begin("/", ""), "the call after 1024", actor.ErrMailboxFull)
			s := b.Host.Stats()
			want(t, "events that wait and run", fmt.Sprint(s.Waiting, s.Running), "1024 1")
			hold.open()
			for _, c := range calls {
				b.wantBody(c, "a call", "")
			}
			s = b.Host.Stats()
			want(t, "events that wait and run", fmt.Sprint(s.Waiting, s.Running), "0 0")
			want(t, "bytes", b.Host.Stats().Bytes, 0)
		})
	})
	hold = newDoor()
	t.Run("bytes", func(t *testing.T) {
		inBubble(t, class, func(b *bubble) {
			b.begin("/hold", "")
			body := strings.Repeat("x", 1<<20)
			for range 16 {
				b.Begin(b.thing, "POST", "/", body)
			}
			synctest.Wait()
			b.wantErr(b.begin("/", "x"), "the call after 16 MiB", actor.ErrMailboxFull)
			want(t, "bytes", b.Host.Stats().Bytes, 16<<20)
			hold.open()
		})
	})
	hold = newDoor()
	t.Run("messages of one socket", func(t *testing.T) {
		inBubble(t, class, func(b *bubble) {
			s := b.NewGateway().Dial(b.thing, "/socket")
			b.begin("/hold", "")
			for range 1024 {
				if err := s.Send(""); err != nil {
					t.Fatal(err)
				}
			}
			sent := make(chan error, 1)
			go func() { sent <- s.Send("") }() // waits at the gateway
			synctest.Wait()
			want(t, "sends that came through", len(sent), 0)
			hold.open()
			wantErr(t, "the send that waited", <-sent, nil)
			synctest.Wait()
			want(t, "messages acknowledged", len(s.Acked()), 1025)
		})
	})
}

func TestTasksAreBounded(t *testing.T) {
	var f func(ctx context.Context, s *actor.State)
	inBubble(t, scripted(&f), func(b *bubble) {
		ran := 0
		f = func(ctx context.Context, s *actor.State) {
			n, err := 0, error(nil)
			for ; err == nil && n < 10_000; n++ {
				err = s.WaitUntil(ctx, func(context.Context) { ran++ })
			}
			wantErr(t, "WaitUntil", err, actor.ErrMailboxFull)
		}
		b.get("/")
		synctest.Wait()
		want(t, "tasks that ran", ran, 1024)
	})
}

func TestTheBytesOfANodeAreBounded(t *testing.T) {
	var f func(ctx context.Context, s *actor.State)
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket" {
			_ = accept(s, w, r)
		} else if f != nil {
			f(r.Context(), s)
		}
	}}.class()
	full := newDoor()
	asker := behavior{serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
		if err := full.outside(r.Context(), s); err != nil {
			t.Error(err)
		}
		_, err := stub(t, s, "b").Do(r.Context(), request("GET", "/", nil))
		wantErr(t, "Do", err, actor.ErrOverloaded)
	}}.class()
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class, "Asker": asker}, MaxBytes: 1 << 20}
	inBubbleWith(t, cfg, func(b *bubble) {
		s := b.NewGateway().Dial(b.thing, "/socket")
		b.Committer.Hold()
		f = func(ctx context.Context, s *actor.State) {
			sockets, _ := s.Sockets(ctx, "")
			wantErr(t, "Put", s.Storage().Put(ctx, "k", nil), nil)
			m := actor.Message{Kind: actor.Binary, Data: make([]byte, 600<<10)}
			wantErr(t, "the first Send", sockets[0].Send(ctx, m), nil)
			wantErr(t, "the second Send", sockets[0].Send(ctx, m), nil)
			wantErr(t, "the third Send", sockets[0].Send(ctx, m), actor.ErrOverloaded)
			wantErr(t, "Broadcast", s.Broadcast(ctx, m, actor.BroadcastOptions{}), actor.ErrOverloaded)
		}
		asking := b.Begin(b.Target("Asker", "a"), "GET", "/", "")
		synctest.Wait()
		writing := b.begin("/", "")
		b.wantErr(b.Begin(b.Target("Thing", "b"), "GET", "/", ""), "a call of another object", actor.ErrOverloaded)
		full.open()
		b.wantBody(asking, "the call that calls another object", "")
		b.Committer.Release()
		b.wantBody(writing, "the call that sent", "")
		want(t, "messages", len(s.Received()), 2)
		want(t, "bytes", b.Host.Stats().Bytes, 0)
		f = nil
		b.wantBody(b.Begin(b.Target("Thing", "b"), "GET", "/", ""), "a call afterwards", "")
	})
}

func TestCloseLetsWhatIsUnderWayEnd(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/slow": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if err := s.Outside(r.Context(), func(context.Context) error { sleep(5 * time.Second); return nil }); err != nil {
				return err
			}
			resp, err := stub(t, s, "helper").Do(r.Context(), request("GET", "/help", nil))
			if err != nil {
				return err
			}
			fmt.Fprint(w, "helped ", resp.StatusCode)
			return s.Storage().Put(r.Context(), "k", []byte("v"))
		},
		"/help":   func(*actor.State, http.ResponseWriter, *http.Request) error { d.add("help"); return nil },
		"/socket": accept,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		s := b.NewGateway().Dial(b.thing, "/socket")
		slow := b.begin("/slow", "")
		closed := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			closed <- b.Host.Close(ctx)
		}()
		synctest.Wait()
		b.wantErr(b.begin("/help", ""), "a call of a node that stops", actor.ErrClosing)
		b.wantErr(b.Begin(b.Target("Thing", "new"), "GET", "/", ""), "a call of a new object", actor.ErrClosing)
		wantErr(t, "a message", s.Send("x"), actor.ErrClosing)
		wantErr(t, "Close", <-closed, nil)
		b.wantBody(slow, "the call that was under way", "helped 200")
		d.want(t, "help")
		want(t, "what it wrote", b.stored("k"), "v")
		wantErr(t, "a second Close", b.Host.Close(context.Background()), nil)
		b.wantErr(b.begin("/help", ""), "a call afterwards", actor.ErrClosing)
	})
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	gate := newDoor()
	class := behavior{serve: routes{
		"/wait": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return gate.outside(r.Context(), s)
		},
		"/block": func(*actor.State, http.ResponseWriter, *http.Request) error { gate.wait(); return nil },
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		waiting, blocking := b.begin("/wait", ""), b.begin("/block", "")
		queued := b.begin("/wait", "")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		wantErr(t, "Close", b.Host.Close(ctx), context.DeadlineExceeded)
		b.wantErr(waiting, "a call that had done something outside", actor.ErrOutcomeUnknown)
		b.wantErr(blocking, "a call that had done nothing", actor.ErrClosing)
		b.wantErr(queued, "a call that did not begin", actor.ErrClosing)
		gate.open()
	})
}

func TestAHostNeedsAWholeConfig(t *testing.T) {
	inBubble(t, handler(count), func(b *bubble) {
		for name, cfg := range map[string]actor.Config{
			"no secret":      {},
			"a short secret": {Secret: make([]byte, 31)},
			"no constructor": {Secret: make([]byte, 32), Classes: map[string]actor.Class{"Thing": {}}},
		} {
			if _, err := actor.NewHost(cfg); err == nil {
				t.Errorf("NewHost with %s = nil, want an error", name)
			}
		}
		wantErr(t, "a call of an unknown class", b.Begin(actor.Target{Class: "None"}, "GET", "/", "").Err(), actor.ErrUnknownClass)
		if _, ok := b.Host.IDs("None"); ok {
			t.Error("IDs of an unknown class")
		}
	})
}
