package actor_test

import (
	"bytes"
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

// detour is a Router whose objects all live on another node.
type detour struct {
	actor.Router
	dispatch func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error
}

func (d detour) Dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	return d.dispatch(w, r, target, socket)
}

// inTwo runs a test on two nodes: near, which runs the object "a", and far,
// which runs all others.
func inTwo(t *testing.T, class actor.Class, test func(near, far *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class}}
		near := &bubble{Node: actortest.New(t, cfg), t: t}
		cfg.Start = 100
		far := &bubble{Node: actortest.New(t, cfg), t: t}
		near.thing = near.Target("Thing", "a")
		far.thing = near.thing
		near.Host.Route(far.Host)
		far.Host.Route(near.Host)
		near.Committer.Own(func(id actor.ID) bool { return id == near.thing.ID })
		far.Committer.Own(func(id actor.ID) bool { return id != near.thing.ID })
		test(near, far)
	})
}

func TestStubsReachObjectsOfOtherNodes(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB
	class := behavior{serve: routes{
		"/stream": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			body, feed := io.Pipe()
			go func() {
				_, err := feed.Write(big)
				_ = feed.CloseWithError(err)
			}()
			resp, err := stub(t, s, "callee").Do(r.Context(), request("POST", "/echo", body))
			if err != nil {
				return err
			}
			got, err := io.ReadAll(resp.Body)
			want(t, "the echo is what was sent", bytes.Equal(got, big), true)
			want(t, "the trailer", resp.Trailer.Get("X-Sum"), fmt.Sprint(len(big)))
			return err
		},
		"/echo": func(_ *actor.State, w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Trailer", "X-Sum")
			n, err := io.Copy(w, r.Body)
			w.Header().Set("X-Sum", fmt.Sprint(n))
			return err
		},
		"/back": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			resp, err := stub(t, s, "callee").Do(r.Context(), request("GET", "/call-back", nil))
			if err != nil {
				return err
			}
			body, err := io.ReadAll(resp.Body)
			want(t, "the length of a short answer", resp.ContentLength, int64(len(body)))
			fmt.Fprintf(w, "%d %s %s", resp.StatusCode, resp.Header.Get("X-A"), body)
			return err
		},
		"/call-back": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			resp, err := stub(t, s, "a").Do(r.Context(), request("GET", "/ok", nil))
			if err != nil {
				return err
			}
			w.Header().Set("X-A", resp.Status)
			w.WriteHeader(http.StatusTeapot)
			_, err = io.Copy(w, resp.Body)
			return err
		},
		"/fault": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			_, err := stub(t, s, "callee").Do(r.Context(), request("GET", "/panic", nil))
			var fault *actor.FaultError
			want(t, "a panic of the callee is a fault", errors.As(err, &fault), true)
			resp, err := stub(t, s, "callee").Do(r.Context(), request("GET", "/break-off", nil))
			wantErr(t, "Do of a call that breaks off later", err, nil)
			_, err = io.ReadAll(resp.Body)
			wantErr(t, "reading it", err, actor.ErrOutcomeUnknown)
			return nil
		},
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
		"/break-off": func(_ *actor.State, w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("begun"))
			_ = http.NewResponseController(w).Flush()
			panic("on purpose")
		},
		"/ok": func(_ *actor.State, w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write([]byte("fine"))
			return err
		},
	}.serve}.class()
	inTwo(t, class, func(near, _ *bubble) {
		near.get("/stream")
		want(t, "a call that comes back", near.get("/back"), "418 OK fine")
		near.get("/fault")
	})
}

// A call to another node ends with the activation that made it, with its
// deadline, and when nobody reads its answer to the end.
func TestACallToAnotherNodeIsCancelled(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/ask": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			_, err := stub(t, s, "callee").Do(r.Context(), request("GET", "/", nil))
			return err
		},
		"/deadline": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			_, err := stub(t, s, "callee").Do(ctx, request("GET", "/", nil))
			wantErr(t, "Do beyond its deadline", err, actor.ErrOutcomeUnknown)
			wantErr(t, "Do beyond its deadline", err, context.DeadlineExceeded)
			return s.Storage().Put(r.Context(), "k", nil) // the event goes on
		},
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
	}.serve}.class()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{Node: actortest.New(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}}), t: t}
		b.thing = b.Target("Thing", "a")
		b.Host.Route(detour{b.Host, func(_ http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
			<-r.Context().Done()
			d.add("over")
			return actor.ErrCallerLeft
		}})
		b.Committer.Own(func(id actor.ID) bool { return id == b.thing.ID })
		late := b.begin("/deadline", "")
		pass(time.Second)
		b.wantBody(late, "the call", "")
		d.want(t, "over")
		asking := b.begin("/ask", "")
		b.wantFault(b.begin("/panic", ""), "the panicking call")
		d.want(t, "over")
		b.wantErr(asking, "the asking call", actor.ErrOutcomeUnknown)
	})
}

// Conformance case 25
func TestCallsOfOneStubKeepTheirOrderOnTheirWay(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "without numbers": true} {
		t.Run(name, func(t *testing.T) { wantVariant(t, checkOrderOnTheWay(t, broken), broken) })
	}
}

// checkOrderOnTheWay calls an object of another node, and the calls overtake each other.
func checkOrderOnTheWay(t *testing.T, broken bool) (err error) {
	t.Helper()
	var d diary
	const calls = 30
	class := behavior{serve: routes{
		"/many": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			st := stub(t, s, "callee")
			var all []*actor.Call
			for i := range calls {
				if i%7 == 0 {
					_ = s.Storage().Put(r.Context(), "k", nil) // some wait for a commit
				}
				var body io.Reader
				if i%5 == 0 {
					body = io.MultiReader(bytes.NewReader([]byte("a body of unknown length")))
				}
				call, err := st.Start(r.Context(), request("POST", fmt.Sprintf("/note?n=%d", i), body))
				if err != nil {
					return err
				}
				all = append(all, call)
			}
			for _, call := range all {
				if _, err := call.Response(r.Context()); err != nil {
					return err
				}
			}
			return nil
		},
		"/note": func(_ *actor.State, _ http.ResponseWriter, r *http.Request) error {
			d.add("%s", r.URL.Query().Get("n"))
			return nil
		},
	}.serve}.class()
	inTwo(t, class, func(near, far *bubble) {
		if broken {
			near.Host.Break(actor.FaultUnordered)
		}
		near.Host.Route(detour{far.Host, func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
			sleep(time.Duration(len(r.URL.Query().Get("n"))*37%3+1) * time.Millisecond)
			if n := r.URL.Query().Get("n"); n == "3" || n == "14" {
				sleep(50 * time.Millisecond)
			}
			return far.Host.Dispatch(w, r, target, socket)
		}})
		call := near.begin("/many", "")
		pass(time.Minute)
		near.wantBody(call, "the call", "")
		var wanted []string
		for i := range calls {
			wanted = append(wanted, fmt.Sprint(i))
		}
		if got := d.take(); got != strings.Join(wanted, " ") {
			err = fmt.Errorf("%w: the callee saw %s", errVariant, got)
		}
	})
	return err
}

// An object whose node loses it while calls of one stub wait for it gets them
// again, in their order, where it lives now.
func TestCallsThatWaitAreSentAgain(t *testing.T) {
	var d diary
	hang := newDoor()
	class := behavior{serve: routes{
		"/many": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			st := stub(t, s, "callee")
			var all []*actor.Call
			for i := range 5 {
				call, err := st.Start(r.Context(), request("POST", fmt.Sprintf("/note?n=%d", i), nil))
				if err != nil {
					return err
				}
				all = append(all, call)
			}
			for i, call := range all {
				_, err := call.Response(r.Context())
				want(t, fmt.Sprintf("error of call %d", i), err, nil)
			}
			return nil
		},
		"/note": func(_ *actor.State, _ http.ResponseWriter, r *http.Request) error {
			d.add("%s", r.URL.Query().Get("n"))
			return nil
		},
		"/hang": func(*actor.State, http.ResponseWriter, *http.Request) error { hang.wait(); return nil },
	}.serve}.class()
	inTwo(t, class, func(near, far *bubble) {
		callee := near.Target("Thing", "callee")
		near.Committer.Own(func(actor.ID) bool { return true })
		far.Committer.Own(func(actor.ID) bool { return false })
		hanging := near.Begin(callee, "GET", "/hang", "")
		synctest.Wait()
		call := near.begin("/many", "") // posted on this node, behind the one that hangs
		near.Committer.Own(func(id actor.ID) bool { return id == near.thing.ID })
		far.Committer.Own(func(id actor.ID) bool { return id != near.thing.ID })
		near.Host.Disown(callee.ID)
		near.wantErr(hanging, "the call that hangs", actor.ErrNotOwner)
		hang.open()
		near.wantBody(call, "the call", "")
		d.want(t, "0 1 2 3 4")
	})
}
