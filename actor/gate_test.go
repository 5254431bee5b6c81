package actor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// Conformance case 7
func TestOthersRunWhileAnEventWaitsOutside(t *testing.T) {
	gate := newDoor()
	class := behavior{serve: routes{
		"/add": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			n, _, err := actor.Get[int](r.Context(), s.Storage(), "n")
			if err != nil {
				return err
			}
			if err := gate.outside(r.Context(), s); err != nil {
				return err
			}
			return actor.Put(r.Context(), s.Storage(), "n", n+1)
		},
		"/n": value,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		first, second := b.begin("/add", ""), b.begin("/add", "")
		if n := b.get("/n?key=n"); n != "-" {
			t.Errorf("between the two halves n = %s, want none", n)
		}
		gate.open()
		b.wantBody(first, "the first", "")
		b.wantBody(second, "the second", "")
		if n := b.get("/n?key=n"); n != "1" {
			t.Errorf("n = %s after two interleaved additions, want 1", n)
		}
	})
}

// Conformance case 7
func TestCallsThatComeBackDoNotDeadlock(t *testing.T) {
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		left := strings.TrimPrefix(r.URL.Path, "/")
		if left == "" {
			fmt.Fprint(w, s.Name())
			return
		}
		ns, err := s.Namespace("Thing")
		if err != nil {
			fail(w, err)
			return
		}
		stub, err := ns.Named(left[:1])
		if err != nil {
			fail(w, err)
			return
		}
		inner, _ := http.NewRequest(http.MethodGet, "/"+left[1:], http.NoBody)
		resp, err := stub.Do(r.Context(), inner)
		if err != nil {
			fail(w, err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		fmt.Fprintf(w, "%s(%s)", s.Name(), body)
	}}.class()
	inBubble(t, class, func(b *bubble) {
		for path, want := range map[string]string{"/ba": "a(b(a))", "/a": "a(a)", "/bcabcab": "a(b(c(a(b(c(a(b)))))))"} {
			if got := b.get(path); got != want {
				t.Errorf("%s = %s, want %s", path, got, want)
			}
		}
	})
}

// gated calls everything that needs the gate.
func gated(ctx context.Context, s *actor.State, socket *actor.Socket) map[string]error {
	errs := make(map[string]error)
	st := s.Storage()
	_, _, errs["Get"] = st.Get(ctx, "k")
	_, errs["GetMany"] = st.GetMany(ctx, []string{"k"})
	errs["Put"] = st.Put(ctx, "k", nil)
	errs["PutMany"] = st.PutMany(ctx, map[string][]byte{"k": nil})
	_, errs["Delete"] = st.Delete(ctx, "k")
	_, errs["DeleteMany"] = st.DeleteMany(ctx, []string{"k"})
	_, errs["List"] = st.List(ctx, actor.ListOptions{})
	errs["DeleteAll"] = st.DeleteAll(ctx)
	errs["Transaction"] = st.Transaction(ctx, func(context.Context, *actor.Transaction) error { return nil })
	errs["Sync"] = st.Sync(ctx)
	_, _, errs["Alarm"] = st.Alarm(ctx)
	errs["SetAlarm"] = st.SetAlarm(ctx, time.Now())
	errs["DeleteAlarm"] = st.DeleteAlarm(ctx)
	_, _, errs["typed Get"] = actor.Get[int](ctx, st, "k")
	errs["typed Put"] = actor.Put(ctx, st, "k", 1)
	_, errs["typed List"] = actor.List[int](ctx, st, actor.ListOptions{})
	errs["Outside"] = s.Outside(ctx, func(context.Context) error { return nil })
	errs["BlockConcurrencyWhile"] = s.BlockConcurrencyWhile(ctx, func(context.Context) error { return nil })
	errs["WaitUntil"] = s.WaitUntil(ctx, func(context.Context) {})
	_, errs["Sockets"] = s.Sockets(ctx, "")
	errs["Broadcast"] = s.Broadcast(ctx, actor.Message{Kind: actor.Binary}, actor.BroadcastOptions{})
	errs["SetAutoReply"] = s.SetAutoReply(ctx, nil)
	_, errs["AutoReply"] = s.AutoReply(ctx)
	ns, _ := s.Namespace("Thing")
	r, _ := http.NewRequest(http.MethodGet, "/", http.NoBody)
	_, errs["Do"] = ns.Unique().Do(ctx, r)
	_, errs["Start"] = ns.Unique().Start(ctx, r)
	_, _, errs["Dial"] = ns.Unique().Dial(ctx, r)
	if socket != nil {
		errs["Send"] = socket.SendText(ctx, "")
		_, errs["Attachment"] = socket.Attachment(ctx)
		errs["SetAttachment"] = socket.SetAttachment(ctx, nil)
		errs["Close"] = socket.Close(ctx, 0, "")
	}
	return errs
}

func wantAll(t *testing.T, where string, errs map[string]error, want error) {
	t.Helper()
	for call, err := range errs {
		if !errors.Is(err, want) {
			t.Errorf("%s %s = %v, want %v", call, where, err, want)
		}
	}
}

func TestNothingWorksWithoutTheGate(t *testing.T) {
	var old context.Context
	var other *actor.State
	var socket *actor.Socket
	class := behavior{serve: routes{
		"/open": func(s *actor.State, w http.ResponseWriter, r *http.Request) (err error) {
			socket, err = s.AcceptSocket(w, r, actor.SocketOptions{})
			old = r.Context() //nolint:fatcontext // the mistake that is tested
			return err
		},
		"/keep": func(s *actor.State, _ http.ResponseWriter, _ *http.Request) error {
			other = s
			return nil
		},
		"/try": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			wantAll(t, "with the context of an event that is over", gated(old, s, socket), actor.ErrNoGate)
			wantAll(t, "without a context of an event", gated(context.Background(), s, socket), actor.ErrNoGate)
			wantAll(t, "with another object's context", gated(r.Context(), other, nil), actor.ErrNoGate)
			err := s.Outside(r.Context(), func(ctx context.Context) error {
				wantAll(t, "in Outside", gated(ctx, s, socket), actor.ErrNoGate)
				if _, err := w.Write([]byte("x")); !errors.Is(err, actor.ErrNoGate) {
					t.Errorf("Write in Outside = %v, want ErrNoGate", err)
				}
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, actor.ErrNoGate) {
					t.Errorf("Flush in Outside = %v, want ErrNoGate", err)
				}
				return nil
			})
			wantErr(t, "Outside", err, nil)
			err = s.BlockConcurrencyWhile(r.Context(), func(ctx context.Context) error {
				return s.Outside(ctx, func(ctx context.Context) error {
					wantAll(t, "in Outside with the gate closed", gated(ctx, s, socket), actor.ErrNoGate)
					return nil
				})
			})
			wantAll(t, "with the gate", gated(r.Context(), s, socket), nil)
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.NewGateway().Dial(b.thing, "/open")
		b.Must(b.Target("Thing", "b"), "GET", "/keep", "")
		b.get("/try")
	})
}

func TestATransactionRefusesOutsideWaits(t *testing.T) {
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		ns, _ := s.Namespace("Thing")
		inner, _ := http.NewRequest(http.MethodGet, "/", http.NoBody)
		err := s.Storage().Transaction(r.Context(), func(ctx context.Context, tx *actor.Transaction) error {
			errs := map[string]error{
				"Outside":   s.Outside(ctx, func(context.Context) error { return nil }),
				"Sync":      s.Storage().Sync(ctx),
				"DeleteAll": tx.DeleteAll(ctx),
				"Flush":     http.NewResponseController(w).Flush(),
			}
			_, errs["Do"] = ns.Unique().Do(ctx, inner)
			_, _, errs["Dial"] = ns.Unique().Dial(ctx, inner)
			wantAll(t, "in a transaction", errs, actor.ErrInTransaction)
			// Writing is no outside wait; what is too much for the buffer waits in it.
			if n, err := w.Write(make([]byte, 200<<10)); n != 200<<10 || err != nil {
				t.Errorf("Write in a transaction = %d, %v, want all of it", n, err)
			}
			return tx.Put(ctx, "k", []byte("v"))
		})
		if err != nil {
			t.Error(err)
		}
	}}.class()
	inBubble(t, class, func(b *bubble) {
		if n := len(b.get("/")); n != 200<<10 {
			t.Errorf("the answer has %d bytes, want %d", n, 200<<10)
		}
		if v := b.stored("k"); v != "v" {
			t.Errorf("stored %q, want v", v)
		}
	})
}

// Conformance case 9
func TestBlockConcurrencyWhileHoldsEventsBackInOrder(t *testing.T) {
	var d diary
	gate := newDoor()
	class := behavior{serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
		d.add("%s", r.URL.Path)
		if r.URL.Path != "/block" {
			return
		}
		err := s.BlockConcurrencyWhile(r.Context(), func(ctx context.Context) error {
			return s.BlockConcurrencyWhile(ctx, func(ctx context.Context) error {
				if err := gate.outside(ctx, s); err != nil {
					return err
				}
				return s.Storage().Put(ctx, "k", []byte("v"))
			})
		})
		d.add("unblocked:%v", err)
	}}.class()
	inBubble(t, class, func(b *bubble) {
		b.begin("/block", "")
		for i := range 5 {
			b.begin(fmt.Sprintf("/%d", i), "")
		}
		d.want(t, "/block")
		gate.open()
		d.want(t, "unblocked:<nil> /0 /1 /2 /3 /4")
		if v := b.stored("k"); v != "v" {
			t.Errorf("stored %q, want v", v)
		}
	})
}

// Conformance case 9
func TestBlockConcurrencyWhileThatFailsEndsTheActivation(t *testing.T) {
	var d diary
	gate := newDoor()
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
			d.add("%s", r.URL.Path)
			block := func(f func(ctx context.Context) error) {
				_ = s.Storage().Put(r.Context(), "k", []byte("v"))
				if err := s.BlockConcurrencyWhile(r.Context(), f); err == nil {
					t.Error("BlockConcurrencyWhile that failed = nil") // while the next activation may have begun
				}
				if err := s.Storage().Put(r.Context(), "late", nil); !errors.Is(err, actor.ErrEnded) {
					t.Errorf("Put after the end = %v, want ErrEnded", err)
				}
			}
			switch r.URL.Path {
			case "/error":
				block(func(ctx context.Context) error { _ = gate.outside(ctx, s); return errors.New("broken") })
			case "/panic":
				block(func(context.Context) error { panic("broken") })
			case "/slow":
				block(func(ctx context.Context) error { sleep(31 * time.Second); return nil })
			case "/slow-outside":
				block(func(ctx context.Context) error {
					return s.Outside(ctx, func(context.Context) error { sleep(31 * time.Second); return nil })
				})
			}
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		failing := b.begin("/error", "")
		next := b.begin("/next", "")
		gate.open()
		b.wantFault(failing, "the failing call")
		b.wantBody(next, "the next call", "")
		d.want(t, "start /error start /next")
		if v := b.stored("k"); v != "v" {
			t.Errorf("what was sealed by the outside wait is %q, want v", v)
		}

		b.wantFault(b.begin("/panic", ""), "the panicking call")
		d.want(t, "/panic")
		for _, path := range []string{"/slow", "/slow-outside"} {
			slow := b.begin(path, "")
			pass(30*time.Second - 1)
			synctest.Wait()
			if slow.Over() {
				t.Fatalf("%s is over before 30 s", path)
			}
			pass(1)
			b.wantErr(slow, path, actor.ErrHandlerTimeout)
			pass(time.Minute)
			d.want(t, "start "+path)
		}
	})
}

// Conformance case 10
func TestHandlersStartAfterTheConstructor(t *testing.T) {
	var d diary
	class := behavior{
		start: func(ctx context.Context, s *actor.State) error {
			d.add("start")
			defer d.add("started")
			return s.BlockConcurrencyWhile(ctx, func(ctx context.Context) error {
				return s.Outside(ctx, func(context.Context) error { sleep(time.Second); return nil })
			})
		},
		serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
			d.add("serve")
			if r.URL.Path == "/socket" {
				_, _ = s.AcceptSocket(w, r, actor.SocketOptions{})
			} else {
				_ = s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Hour))
			}
		},
		alarm: func(context.Context, *actor.State, actor.AlarmInfo) error { d.add("alarm"); return nil },
		message: func(_ context.Context, _ *actor.State, _ *actor.Socket, text string) error {
			d.add("message-%s", text)
			return nil
		},
		closed: func(context.Context, *actor.State, *actor.Socket, actor.CloseInfo) error { d.add("close"); return nil },
	}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		b.get("/")
		d.want(t, "start started serve")
		pass(2 * time.Hour) // evicted long ago when the alarm comes
		d.want(t, "start started alarm")
		s := g.Dial(b.thing, "/socket")
		pass(2 * time.Minute)
		d.take()
		for _, text := range []string{"1", "2"} {
			if err := s.Send(text); err != nil {
				t.Error(err)
			}
		}
		pass(2 * time.Second)
		d.want(t, "start started message-1 message-2")
		pass(2 * time.Minute)
		s.Close(actor.CloseInfo{Code: 1000, Clean: true}, nil)
		pass(2 * time.Second)
		d.want(t, "start started close")
	})
}

func TestAHandlerThatHoldsTheGateTooLong(t *testing.T) {
	hang := newDoor()
	class := behavior{serve: routes{
		"/hang": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			err := s.Storage().Put(r.Context(), "k", []byte("v"))
			hang.wait()
			return err
		},
		"/wait": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			for range 3 { // each outside wait gives the handler its time anew
				sleep(20 * time.Second)
				if err := s.Outside(r.Context(), func(context.Context) error { sleep(time.Hour); return nil }); err != nil {
					return err
				}
			}
			_, err := fmt.Fprint(w, "ok")
			return err
		},
		"/k": value,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantBody(func() *actortest.Call { c := b.begin("/wait", ""); sleep(4 * time.Hour); return c }(), "a handler that waits outside", "ok")

		hanging := b.begin("/hang", "")
		queued := b.begin("/k?key=k", "")
		pass(30*time.Second - 1)
		synctest.Wait()
		if hanging.Over() {
			t.Fatal("the handler was ended before its time")
		}
		pass(1)
		b.wantErr(hanging, "the call of the hanging handler", actor.ErrHandlerTimeout)
		b.wantErr(queued, "a call in the queue", actor.ErrStuck)
		b.wantErr(b.begin("/k?key=k", ""), "a call while the goroutine hangs", actor.ErrStuck)
		if !errors.Is(actor.ErrStuck, actor.ErrOverloaded) {
			t.Error("ErrStuck is not an ErrOverloaded")
		}
		hang.open()
		synctest.Wait()
		b.wantBody(b.begin("/k?key=k", ""), "the key after the goroutine returned", "-")
	})
}

func TestAClassMayAllowLess(t *testing.T) {
	class := behavior{
		start: func(context.Context, *actor.State) error { sleep(10 * time.Second); return nil },
		serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/block" { // has a limit of its own, and so has the start
				_ = s.BlockConcurrencyWhile(r.Context(), func(context.Context) error { sleep(10 * time.Second); return nil })
				return
			}
			sleep(2 * time.Second)
		},
	}.class()
	class.HandlerTimeout = time.Second
	inBubble(t, class, func(b *bubble) {
		c := b.begin("/block", "")
		pass(20 * time.Second)
		b.wantBody(c, "the call that blocks", "")
		c = b.begin("/", "")
		pass(time.Second)
		b.wantErr(c, "the call", actor.ErrHandlerTimeout)
		pass(2 * time.Second)
	})
}

// Conformance case 31
func TestWaitUntilDoesNotDelayTheAnswer(t *testing.T) {
	var d diary
	long, tooLong := 5*time.Minute, time.Hour
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
			job := long
			if r.URL.Path == "/too-long" {
				job = tooLong
			}
			err := s.WaitUntil(r.Context(), func(ctx context.Context) {
				d.add("job")
				err := s.Outside(ctx, func(ctx context.Context) error {
					late := time.NewTimer(job)
					defer late.Stop()
					select {
					case <-late.C:
					case <-ctx.Done():
					}
					return nil
				})
				if err == nil {
					err = s.Storage().Put(ctx, "done", []byte("yes"))
				}
				d.add("%v", err)
			})
			if err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, "answer")
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantBody(b.begin("/", ""), "the call", "answer")
		d.want(t, "start job")
		pass(long - time.Second)
		d.want(t, "")
		if n := b.Host.Stats().Activations; n != 1 {
			t.Errorf("%d activations while the job runs, want 1", n)
		}
		pass(2 * time.Second)
		d.want(t, "<nil>")
		if v := b.stored("done"); v != "yes" {
			t.Errorf("the job's write is %q, want yes", v)
		}
		pass(2 * time.Minute)
		if n := b.Host.Stats().Activations; n != 0 {
			t.Errorf("%d activations after the job, want 0", n)
		}

		b.wantBody(b.begin("/too-long", ""), "the call", "answer")
		pass(14 * time.Minute)
		d.want(t, "start job")
		pass(3 * time.Minute) // more than 15 min: it keeps nobody in memory any more
		d.want(t, actor.ErrEnded.Error())
	})
}

// Conformance case 32
func TestAbortCannotBeCaught(t *testing.T) {
	var d diary
	gate := newDoor()
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: routes{
			"/abort": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				defer func() {
					if p := recover(); p != nil {
						d.add("caught")
					}
				}()
				if err := s.Storage().Put(r.Context(), "sealed", []byte("v")); err != nil {
					return err
				}
				if err := gate.outside(r.Context(), s); err != nil {
					return err
				}
				if err := s.Storage().Put(r.Context(), "unsealed", []byte("v")); err != nil {
					return err
				}
				s.Abort(r.Context(), actor.AbortOptions{Reason: errors.New("enough")})
				d.add("went on")
				return nil
			},
			"/waits": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				return gate.outside(r.Context(), s)
			},
			"/value": value,
		}.serve,
	}.class()
	inBubble(t, class, func(b *bubble) {
		aborting := b.begin("/abort", "")
		waiting := b.begin("/waits", "")
		gate.open()
		b.wantErr(aborting, "the aborted call", actor.ErrAborted)
		synctest.Wait()
		if !waiting.Over() {
			t.Error("another call of the aborted activation is not over")
		}
		d.want(t, "start")
		if v := b.get("/value?key=unsealed"); v != "-" {
			t.Errorf("the unsealed write is %q, want none", v)
		}
		if v := b.get("/value?key=sealed"); v != "v" {
			t.Errorf("the sealed write is %q, want v", v)
		}
		d.want(t, "start")
		if log := b.Log.String(); !strings.Contains(log, "reason=enough") {
			t.Errorf("the log does not tell the reason:\n%s", log)
		}
	})
}
