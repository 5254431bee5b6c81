package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// Conformance case 11. In Go the exception of a handler is a panic; what keeps
// the object alive is an error, which a handler turns into a status.
func TestAnErrorStatusKeepsTheWritesAndTheObject(t *testing.T) {
	var d diary
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: routes{
			"/fail": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				if err := s.Storage().Put(r.Context(), "k", []byte("v")); err != nil {
					return err
				}
				return errors.New("sorry")
			},
			"/value": value,
		}.serve,
	}.class()
	inBubble(t, class, func(b *bubble) {
		resp, body, err := b.begin("/fail", "").Wait()
		if err != nil || resp.StatusCode != http.StatusInternalServerError || body != "sorry\n" {
			t.Errorf("the failing call = %d %q, %v, want 500 sorry", resp.StatusCode, body, err)
		}
		b.wantBody(b.begin("/value?key=k", ""), "the value", "v")
		d.want(t, "start")
	})
}

func TestAPanicDropsTheWritesSinceTheLastOutsideWait(t *testing.T) {
	var d diary
	gate := newDoor()
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: routes{
			"/put": put,
			"/panic": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				st := s.Storage()
				if err := st.Put(r.Context(), "sealed", []byte("v")); err != nil {
					return err
				}
				if err := gate.outside(r.Context(), s); err != nil {
					return err
				}
				if err := st.Put(r.Context(), "unsealed", []byte("v")); err != nil {
					return err
				}
				if err := st.SetAlarm(r.Context(), time.Now().Add(time.Hour)); err != nil {
					return err
				}
				fmt.Fprint(w, "never seen")
				panic("on purpose")
			},
			"/value": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				d.add("%s", r.URL.Query().Get("key"))
				return value(s, w, r)
			},
		}.serve,
	}.class()
	inBubble(t, class, func(b *bubble) {
		panicking := b.begin("/panic", "")
		earlier := b.begin("/put?key=earlier", "v")
		b.Committer.Hold()
		inFlight := b.begin("/put?key=in-flight", "v")
		gate.open()
		synctest.Wait()
		// The next activation starts when what the last one sealed is committed.
		var queued []*actortest.Call
		for _, key := range []string{"sealed", "unsealed", "earlier", "in-flight"} {
			queued = append(queued, b.begin("/value?key="+key, ""))
		}
		b.wantBody(earlier, "the earlier write", "")
		d.want(t, "start")
		b.Committer.Release()
		b.wantFault(panicking, "the panicking call")
		b.wantBody(inFlight, "the write under way", "")
		for i, want := range []string{"v", "-", "v", "v"} {
			b.wantBody(queued[i], "the queued call", want)
		}
		d.want(t, "start sealed unsealed earlier in-flight")
		if log := b.Log.String(); !strings.Contains(log, "on purpose") || !strings.Contains(log, "fault_test.go") {
			t.Errorf("the log has no cause or stack of the panic:\n%s", log)
		}
	})
}

func TestEventsThatDidNotBeginOutliveAPanicInOrder(t *testing.T) {
	var d diary
	gate := newDoor()
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
			d.add("%s", r.URL.Path)
			if r.URL.Path == "/panic" {
				_ = s.BlockConcurrencyWhile(r.Context(), func(ctx context.Context) error { return gate.outside(ctx, s) })
				panic("on purpose")
			}
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		panicking := b.begin("/panic", "")
		var calls []*actortest.Call
		want := "start /panic start"
		for i := range 20 {
			path := fmt.Sprintf("/%d", i)
			calls, want = append(calls, b.begin(path, "")), want+" "+path
		}
		gate.open()
		b.wantFault(panicking, "the panicking call")
		for i, c := range calls {
			b.wantBody(c, fmt.Sprintf("call %d", i), "")
		}
		d.want(t, want)
	})
}

func TestAHandlerThatLeavesItsGoroutine(t *testing.T) {
	class := behavior{serve: routes{
		"/exit": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			_ = s.Storage().Put(r.Context(), "k", []byte("v"))
			runtime.Goexit()
			return nil
		},
		"/abort": func(s *actor.State, _ http.ResponseWriter, _ *http.Request) error {
			s.Abort(context.Background(), actor.AbortOptions{}) // the wrong context
			return nil
		},
		"/value": value,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantFault(b.begin("/exit", ""), "the call that exits")
		b.wantFault(b.begin("/abort", ""), "the call that aborts wrongly")
		b.wantBody(b.begin("/value?key=k", ""), "the value", "-")
	})
}

func TestOtherOpenEventsOfABrokenActivation(t *testing.T) {
	gate := newDoor()
	class := behavior{serve: routes{
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
		"/wait": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return gate.outside(r.Context(), s)
		},
		"/read-and-wait": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Storage().Sync(r.Context()) // held up by the batch before
		},
		"/put": put,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		waiting := b.begin("/wait", "")
		b.Committer.Hold()
		b.begin("/put?key=k", "v")
		syncing := b.begin("/read-and-wait", "")
		b.wantFault(b.begin("/panic", ""), "the panicking call")
		b.wantErr(waiting, "a call that had done something outside", actor.ErrOutcomeUnknown)
		b.wantErr(syncing, "a call that had done nothing", actor.ErrRefused)
		gate.open()
	})
}

func TestAConstructorThatFails(t *testing.T) {
	broken := true
	class := behavior{start: func(ctx context.Context, s *actor.State) error {
		if !broken {
			return nil
		}
		if err := s.Storage().Put(ctx, "k", []byte("v")); err != nil {
			return err
		}
		switch s.Name() {
		case "a":
			return errors.New("no luck")
		case "b":
			panic("no luck")
		case "slow":
			sleep(time.Minute)
		case "nothing":
			runtime.Goexit()
		}
		return nil
	}, serve: routes{"/value": value}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		for _, name := range []string{"a", "b", "nothing"} {
			target := b.Target("Thing", name)
			calls := []*actortest.Call{b.Begin(target, "GET", "/", ""), b.Begin(target, "GET", "/", "")}
			for _, c := range calls {
				b.wantFault(c, "a call of "+name)
			}
		}
		slow := b.Target("Thing", "slow")
		calls := []*actortest.Call{b.Begin(slow, "GET", "/", ""), b.Begin(slow, "GET", "/", "")}
		pass(30 * time.Second)
		for _, c := range calls {
			b.wantErr(c, "a call of slow", actor.ErrHandlerTimeout)
		}
		b.wantErr(b.Begin(slow, "GET", "/", ""), "a call while the constructor hangs", actor.ErrStuck)
		pass(time.Minute)
		broken = false
		for _, name := range []string{"a", "b", "nothing", "slow"} {
			if v := b.Must(b.Target("Thing", name), "GET", "/value?key=k", ""); v != "-" {
				t.Errorf("what the failed constructor of %s wrote is %q, want none", name, v)
			}
		}
	})
}

func TestAClassWithoutAnObject(t *testing.T) {
	class := actor.Class{New: func(context.Context, *actor.State) (http.Handler, error) { return nil, nil }} //nolint:nilnil // the case
	inBubble(t, class, func(b *bubble) { b.wantFault(b.begin("/", ""), "the call") })
}

func TestAPanicInAQueuedActivationDoesNotStopTheNode(t *testing.T) {
	class := behavior{serve: func(*actor.State, http.ResponseWriter, *http.Request) { panic("always") }}.class()
	inBubble(t, class, func(b *bubble) {
		var calls []*actortest.Call
		for range 50 {
			calls = append(calls, b.Begin(b.thing, "GET", "/", ""))
		}
		quarantined := 0
		for _, c := range calls {
			if synctest.Wait(); errors.As(c.Err(), new(*actor.QuarantineError)) {
				quarantined++
				continue
			}
			b.wantFault(c, "a call")
		}
		if want := len(calls) - 10; quarantined != want {
			t.Errorf("%d calls were refused by a quarantine, want %d: ten panics in a minute are two strikes", quarantined, want)
		}
	})
}
