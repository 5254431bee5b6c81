package actor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// add counts under a key and answers with the number.
func add(ctx context.Context, s *actor.State, key string) (int, error) {
	n, _, err := actor.Get[int](ctx, s.Storage(), key)
	if err != nil {
		return 0, err
	}
	return n + 1, actor.Put(ctx, s.Storage(), key, n+1)
}

// keyedRoutes are calls that must not take effect twice.
func keyedRoutes() routes {
	return routes{
		"/add": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			n, err := add(r.Context(), s, "a")
			w.Header().Set("X-Count", strconv.Itoa(n))
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, n)
			return err
		},
		"/two": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if _, err := add(r.Context(), s, "a"); err != nil {
				return err
			}
			if err := s.Storage().Sync(r.Context()); err != nil {
				return err
			}
			n, err := add(r.Context(), s, "b")
			fmt.Fprint(w, n)
			return err
		},
		"/missing": func(_ *actor.State, w http.ResponseWriter, r *http.Request) error {
			http.NotFound(w, r)
			return nil
		},
		"/forget": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Storage().DeleteAll(r.Context())
		},
		"/value": value,
	}
}

// beginKeyed makes a call with a key and lets it go as far as it can.
func (b *bubble) beginKeyed(key, method, path, body string) *actortest.Call {
	b.t.Helper()
	return b.beginReader(key, method, path, strings.NewReader(body))
}

func (b *bubble) beginReader(key, method, path string, body io.Reader) *actortest.Call {
	b.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, path, body)
	r.Header["Idempotency-Key"] = []string{key}
	c := b.BeginRequest(b.thing, r)
	synctest.Wait()
	return c
}

// wantAnswer checks the answer of a keyed POST.
func (b *bubble) wantAnswer(key, path, wantBody string, wantReplayed bool) {
	b.t.Helper()
	b.wantAnswerOf(b.beginKeyed(key, http.MethodPost, path, ""), key+" "+path, wantBody, wantReplayed)
}

func (b *bubble) wantAnswerOf(c *actortest.Call, what, wantBody string, wantReplayed bool) {
	b.t.Helper()
	synctest.Wait()
	if !c.Over() {
		b.t.Fatalf("%s is not over, want %q", what, wantBody)
	}
	resp, body, err := c.Wait()
	if replayed := resp.Header.Get("Idempotency-Replayed") == "true"; err != nil || body != wantBody || replayed != wantReplayed {
		b.t.Errorf("%s = %d %q, replayed %t, %v, want %q, replayed %t", what, resp.StatusCode, body, replayed, err, wantBody, wantReplayed)
	}
}

func TestARetryGetsTheAnswer(t *testing.T) {
	class := behavior{serve: keyedRoutes().serve}.class()
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}, IdleTimeout: time.Second}, func(b *bubble) {
		b.wantAnswer("k", "/add", "1", false)
		b.wantAnswer("k", "/add", "1", true)
		b.wantAnswer(`"k"`, "/add", "1", true) // the same key in the form of RFC 8941
		b.wantAnswer("k2", "/add", "2", false)
		resp, _, _ := b.beginKeyed("k", http.MethodPost, "/add", "").Wait()
		want(t, "the status of the answer again", resp.StatusCode, http.StatusCreated)
		want(t, "its header", resp.Header.Get("X-Count"), "1")
		for what, life := range map[string]func(){
			"another owner": func() { b.Committer.NextOwnership() },
			"eviction":      func() { pass(time.Minute) },
			"a restart":     b.Restart,
			"a crash":       func() { b.Crash(nil) },
		} {
			life()
			b.wantAnswerOf(b.beginKeyed("k", http.MethodPost, "/add", ""), "after "+what, "1", true)
		}
		want(t, "the count", b.stored("a"), "2")
	})
}

// An answer of the object is kept whatever its status, and so are the answers of
// calls that wrote nothing or deleted everything.
func TestEveryAnswerOfTheObjectIsKept(t *testing.T) {
	var d diary
	r := keyedRoutes()
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, req *http.Request) {
		d.add("%s", req.URL.Path)
		r.serve(s, w, req)
	}}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantAnswer("m", "/missing", "404 page not found\n", false)
		b.wantAnswer("m", "/missing", "404 page not found\n", true)
		b.wantAnswer("v", "/value?key=a", "-", false)
		b.wantAnswer("a", "/add", "1", false)
		b.wantAnswer("v", "/value?key=a", "-", true)
		b.wantAnswer("f", "/forget", "", false)
		b.wantAnswer("f", "/forget", "", true)
		b.wantAnswer("a", "/add", "1", true)
		want(t, "the count after all was deleted", b.stored("a"), "-")
		d.want(t, "/missing /value /add /forget")
	})
}

func TestCallsThatTakeNoKey(t *testing.T) {
	class := behavior{serve: keyedRoutes().serve}.class()
	inBubble(t, class, func(b *bubble) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			for range 2 {
				if err := b.beginKeyed("k,", method, "/add", "").Err(); err != nil {
					t.Errorf("%s with a key = %v, want it ignored", method, err)
				}
			}
		}
		want(t, "the count", b.stored("a"), "6")
		for _, key := range []string{"", `""`, `"k`, "a b", "a,b", `"k";p`, "gr\xc3\xb6\xc3\x9fe", strings.Repeat("k", 256), `"` + strings.Repeat("k", 256) + `"`} {
			b.wantErr(b.beginKeyed(key, http.MethodPost, "/add", ""), "the key "+key, actor.ErrRequestKey)
		}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/add", http.NoBody)
		r.Header["Idempotency-Key"] = []string{"k", "k"}
		b.wantErr(b.BeginRequest(b.thing, r), "two keys", actor.ErrRequestKey)
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			key := method + strings.Repeat("k", 255-len(method))
			for range 2 {
				b.beginKeyed(key, method, "/add?"+method, "")
			}
		}
		want(t, "the count after one of each method", b.stored("a"), "10")
		b.wantErr(b.beginKeyed("POST"+strings.Repeat("k", 251), http.MethodPatch, "/add?PATCH", ""), "the key of a POST", actor.ErrKeyReused)
	})
}

func TestAKeyBelongsToOneRequest(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "the request is not looked at": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, behavior{serve: keyedRoutes().serve}.class(), func(b *bubble) {
				if broken {
					b.Host.Break(actor.FaultOneFingerprint)
				}
				wantVariant(t, checkFingerprint(b), broken)
			})
		})
	}
}

func checkFingerprint(b *bubble) (err error) {
	for _, settled := range []bool{false, true} { // the answer is under way, or in the Store
		key := fmt.Sprint(settled)
		if !settled {
			b.Committer.Hold()
		}
		first := b.beginKeyed(key, http.MethodPost, "/add?x=1", "body")
		others := []*actortest.Call{
			b.beginKeyed(key, http.MethodPut, "/add?x=1", "body"),
			b.beginKeyed(key, http.MethodPost, "/add?x=2", "body"),
			b.beginKeyed(key, http.MethodPost, "/add?x=1", "bodY"),
			b.beginKeyed(key, http.MethodPost, "/add?x=1b", "ody"),
		}
		b.Committer.Release()
		if e := first.Err(); e != nil {
			return e
		}
		for i, c := range others {
			if !errors.Is(c.Err(), actor.ErrKeyReused) {
				err = fmt.Errorf("%w: request %d with the key of another one = %w", errVariant, i, c.Err())
			}
		}
	}
	return err
}

func TestARetryWhileTheCallRuns(t *testing.T) {
	gate := newDoor()
	r := keyedRoutes()
	r["/wait"] = func(s *actor.State, w http.ResponseWriter, req *http.Request) error {
		err := gate.outside(req.Context(), s)
		fmt.Fprint(w, "done")
		return err
	}
	inBubble(t, behavior{serve: r.serve}.class(), func(b *bubble) {
		call := b.beginKeyed("k", http.MethodPost, "/wait", "")
		b.wantErr(b.beginKeyed("k", http.MethodPost, "/wait", ""), "the retry", actor.ErrKeyInProgress)
		b.wantErr(b.beginKeyed("k", http.MethodPost, "/add", ""), "another request with the key", actor.ErrKeyReused)
		gate.open()
		b.wantAnswerOf(call, "the call", "done", false)
		b.wantAnswer("k", "/wait", "done", true)
	})
}

// The answer under a key is given again only by who is proven to own the object,
// and not before it is durable.
func TestARetryWaitsForItsProof(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "an answer that waits for nothing": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, behavior{serve: keyedRoutes().serve}.class(), func(b *bubble) {
				if broken {
					b.Host.Break(actor.FaultEagerReplay)
				}
				b.Committer.Hold()
				first := b.beginKeyed("k", http.MethodPost, "/add", "")
				again := b.beginKeyed("k", http.MethodPost, "/add", "")
				var err error
				if first.Over() || again.Over() {
					err = fmt.Errorf("%w: an answer left before its batch", errVariant)
				}
				b.Committer.Release()
				b.wantAnswerOf(first, "the call", "1", false)
				b.wantAnswerOf(again, "the retry", "1", true)
				b.Committer.HoldProofs()
				late := b.beginKeyed("k", http.MethodPost, "/add", "")
				reused := b.beginKeyed("k", http.MethodPost, "/two", "")
				if late.Over() || reused.Over() {
					err = errors.Join(err, fmt.Errorf("%w: an answer left without a proof", errVariant))
				}
				b.Committer.Unproved(actor.ErrNotOwner)
				b.Committer.ReleaseProofs()
				synctest.Wait()
				if !errors.Is(late.Err(), actor.ErrNotOwner) || !errors.Is(reused.Err(), actor.ErrNotOwner) {
					err = errors.Join(err, fmt.Errorf("%w: without the ownership: %w, %w", errVariant, late.Err(), reused.Err()))
				}
				wantVariant(t, err, broken)
			})
		})
	}
}

// Whatever becomes of each batch, and whether the node crashes then or goes on: no
// write takes effect twice, an answer is given only when all of the call's writes
// are there, and a call that broke off never runs again.
func TestACallWithAKeyTakesEffectOnce(t *testing.T) {
	for _, variant := range []struct {
		name   string
		broken func(h *actor.Host)
	}{
		{"sound", nil},
		{"the answer is recorded first", func(h *actor.Host) { h.Break(actor.FaultEarlyAnswer) }},
		{"a call that has started runs again", func(h *actor.Host) { h.Break(actor.FaultRerun) }},
	} {
		t.Run(variant.name, func(t *testing.T) {
			var err error
			for _, c := range lossCases() {
				inBubble(t, behavior{serve: keyedRoutes().serve}.class(), func(b *bubble) {
					if e := c.check(b, variant.broken); e != nil {
						err = errors.Join(err, fmt.Errorf("%+v: %w", c, e))
					}
				})
			}
			wantVariant(t, err, variant.broken != nil)
		})
	}
}

// lossCase says which batch of a call is lost, and how.
type lossCase struct {
	path  string
	batch int            // counted from 1; may be one that there is not
	crash bool           // the node crashes before it is applied
	fate  actortest.Fate // otherwise
}

func lossCases() (all []lossCase) {
	for _, path := range []string{"/add", "/two"} {
		for batch := 1; batch <= 4; batch++ {
			all = append(all, lossCase{path: path, batch: batch, crash: true})
			for _, fate := range []actortest.Fate{actortest.Refuse, actortest.LoseDropped, actortest.LoseApplied} {
				all = append(all, lossCase{path: path, batch: batch, fate: fate})
			}
		}
	}
	return all
}

func (c lossCase) check(b *bubble, breaks func(h *actor.Host)) (err error) {
	broken := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("%w: %s", errVariant, fmt.Sprintf(format, args...)))
	}
	if breaks != nil {
		breaks(b.Host)
	}
	b.Committer.Hold()
	call := b.beginKeyed("k", http.MethodPost, c.path, "")
	if c.crash {
		for range c.batch - 1 {
			b.Committer.Step(1)
			synctest.Wait()
		}
		b.Crash(nil)
		if breaks != nil {
			breaks(b.Host)
		}
	} else {
		b.Committer.SetFate(loseBatch(c.batch, c.fate))
		b.Committer.Release()
		synctest.Wait()
		b.Committer.SetFate(nil)
		b.Committer.NextOwnership()
	}
	outcomes := []error{call.Err()}
	for range 2 {
		outcomes = append(outcomes, b.beginKeyed("k", http.MethodPost, c.path, "").Err())
		if x, y := b.stored("a"), b.stored("b"); x > "1" || y > "1" || y > x {
			broken("after %v: a is %s, b %s", outcomes, x, y)
		}
	}
	first, retry, last := outcomes[0], outcomes[1], outcomes[2]
	switch {
	case !errors.Is(last, retry):
		broken("the retries differ: %v", outcomes)
	case first == nil && retry != nil:
		broken("an answer was given, and not again: %v", outcomes)
	case errors.Is(first, actor.ErrRefused) && retry != nil:
		broken("after a refusal: %v", outcomes)
	case retry == nil && (b.stored("a") != "1" || c.path == "/two" && b.stored("b") != "1"):
		broken("an answer without its writes: a is %s, b %s", b.stored("a"), b.stored("b"))
	case retry != nil && (!errors.Is(retry, actor.ErrPartiallyApplied) || c.path == "/add" || b.stored("b") != "-"):
		broken("a is %s, b %s after %v", b.stored("a"), b.stored("b"), outcomes)
	}
	return err
}

// What a call does outside leaves after it is durable that the call has started.
func TestEffectsOutsideWaitForTheStart(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/call": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			ns, _ := s.Namespace("Thing")
			inner, _ := http.NewRequest(http.MethodPost, "/inner", http.NoBody)
			stub, err := ns.Named("other")
			if err != nil {
				return err
			}
			_, err = stub.Do(r.Context(), inner)
			fmt.Fprint(w, "called")
			return err
		},
		"/inner": func(*actor.State, http.ResponseWriter, *http.Request) error { d.add("inner"); return nil },
		"/outside": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			fmt.Fprint(w, "was outside")
			return s.Outside(r.Context(), func(context.Context) error { d.add("outside"); return nil })
		},
	}.serve}.class()
	for path, effect := range map[string]string{"/call": "inner", "/outside": "outside"} {
		inBubble(t, class, func(b *bubble) {
			b.Committer.Hold()
			b.beginKeyed("k", http.MethodPost, path, "")
			d.want(t, "")
			b.Crash(nil)
			d.want(t, "")
			b.Committer.Hold()
			b.beginKeyed("k", http.MethodPost, path, "")
			b.Committer.Step(1)
			d.want(t, effect)
			b.Crash(nil)
			b.wantErr(b.beginKeyed("k", http.MethodPost, path, ""), "the retry of "+path, actor.ErrPartiallyApplied)
			b.beginKeyed("k2", http.MethodPost, path, "").Wait()
			b.beginKeyed("k2", http.MethodPost, path, "").Wait()
			d.want(t, effect)
		})
	}
}

// A frame of a call with a key belongs to the call's batch even if it wrote nothing
// else: a retry makes it again only if it was not sent.
func TestFramesOfACallWithAKeyAreSentOnce(t *testing.T) {
	class := behavior{serve: routes{
		"/socket": accept,
		"/shout": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Broadcast(r.Context(), actor.Message{Kind: actor.Text, Data: []byte("hey")}, actor.BroadcastOptions{})
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		socket := b.NewGateway().Dial(b.thing, "/socket")
		b.Committer.Hold()
		b.beginKeyed("k", http.MethodPost, "/shout", "")
		wantReceived(t, socket, "")
		b.Committer.Release()
		wantReceived(t, socket, "hey")
		b.beginKeyed("k", http.MethodPost, "/shout", "")
		wantReceived(t, socket, "hey")
	})
}

func TestACallWithAKeyThatFails(t *testing.T) {
	r := keyedRoutes()
	r["/panic"] = func(s *actor.State, _ http.ResponseWriter, req *http.Request) error {
		if _, err := add(req.Context(), s, "a"); err != nil {
			return err
		}
		if req.URL.Query().Has("late") {
			if err := s.Storage().Sync(req.Context()); err != nil {
				return err
			}
		}
		panic("on purpose")
	}
	inBubble(t, behavior{serve: r.serve}.class(), func(b *bubble) {
		for range 2 {
			b.wantFault(b.beginKeyed("k", http.MethodPost, "/panic", ""), "a panic before anything was committed")
		}
		want(t, "the count", b.stored("a"), "-")
		n, err := b.Store().Keys()
		want(t, "what is left", fmt.Sprint(n, err), "0 <nil>")
		b.wantFault(b.beginKeyed("late", http.MethodPost, "/panic?late", ""), "a panic after the first batch")
		b.wantErr(b.beginKeyed("late", http.MethodPost, "/panic?late", ""), "its retry", actor.ErrPartiallyApplied)
		want(t, "the count", b.stored("a"), "1")
	})
}

func TestAnAnswerThatIsTooLargeToKeep(t *testing.T) {
	class := behavior{serve: routes{
		"/body": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if _, err := add(r.Context(), s, "a"); err != nil {
				return err
			}
			if r.URL.Query().Has("late") {
				if err := s.Storage().Sync(r.Context()); err != nil {
					return err
				}
				if _, err := add(r.Context(), s, "a"); err != nil {
					return err
				}
			}
			size, _ := strconv.Atoi(r.URL.Query().Get("n"))
			for ; size > 0; size -= 1 << 10 {
				if _, err := w.Write(bytes.Repeat([]byte("x"), min(size, 1<<10))); err != nil {
					return err
				}
				http.NewResponseController(w).Flush() // buffered all the same
			}
			return nil
		},
		"/header": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("X-Long", strings.Repeat("x", 17<<10))
			_, err := add(r.Context(), s, "a")
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		most := strings.Repeat("x", actor.MaxKeyedAnswerBytes)
		b.wantAnswer("most", fmt.Sprint("/body?n=", actor.MaxKeyedAnswerBytes), most, false)
		b.wantAnswer("most", fmt.Sprint("/body?n=", actor.MaxKeyedAnswerBytes), most, true)
		for range 2 {
			b.wantErr(b.beginKeyed("more", http.MethodPost, fmt.Sprint("/body?n=", actor.MaxKeyedAnswerBytes+1), ""), "an answer with a byte more", actor.ErrAnswerTooLarge)
			b.wantErr(b.beginKeyed("header", http.MethodPost, "/header", ""), "an answer with a long header", actor.ErrAnswerTooLarge)
		}
		want(t, "the count", b.stored("a"), "1")
		late := fmt.Sprint("/body?late&n=", actor.MaxKeyedAnswerBytes+1)
		b.wantErr(b.beginKeyed("late", http.MethodPost, late, ""), "a long answer after a batch", actor.ErrAnswerTooLarge)
		b.wantErr(b.beginKeyed("late", http.MethodPost, late, ""), "its retry", actor.ErrPartiallyApplied)
		want(t, "the count", b.stored("a"), "2")
	})
}

// The answer finds room in a batch that the object has filled.
func TestAFullBatchHasRoomForTheAnswer(t *testing.T) {
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		value := make([]byte, 1<<10)
		var err error
		for i := 0; err == nil; i++ {
			err = s.Storage().Put(r.Context(), strconv.Itoa(i), value)
		}
		if !errors.Is(err, actor.ErrBatchTooLarge) {
			t.Errorf("Put = %v, want ErrBatchTooLarge", err)
		}
		w.Write(make([]byte, actor.MaxKeyedAnswerBytes))
	}}.class()
	inBubble(t, class, func(b *bubble) {
		largest := 0
		b.Committer.SetFate(func(c *actortest.Commit) actortest.Fate {
			largest = max(largest, len(c.Batch.Append(nil)))
			return actortest.Apply
		})
		if err := b.beginKeyed("k", http.MethodPost, "/", "").Err(); err != nil {
			t.Fatal(err)
		}
		if largest > actor.MaxBatchBytes || largest < actor.MaxBatchBytes-1<<20 {
			t.Errorf("the batch has %d bytes, want nearly and at most %d", largest, actor.MaxBatchBytes)
		}
	})
}

func TestTheBodyOfACallWithAKey(t *testing.T) {
	class := behavior{serve: func(_ *actor.State, w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}}.class()
	inBubble(t, class, func(b *bubble) {
		slow, client := io.Pipe()
		call := b.beginReader("slow", http.MethodPost, "/", slow)
		for range 3 {
			client.Write([]byte("x"))
			pass(5 * time.Second) // it would be streamed without a key
		}
		client.Close()
		b.wantAnswerOf(call, "a slow body", "3 <nil>", false)
		most := strings.Repeat("x", 1<<20)
		b.wantAnswerOf(b.beginKeyed("most", http.MethodPost, "/", most), "the longest body", "1048576 <nil>", false)
		b.wantAnswerOf(b.beginReader("most", http.MethodPost, "/", io.MultiReader(strings.NewReader(most))), "the same in pieces", "1048576 <nil>", true)
		b.wantErr(b.beginKeyed("more", http.MethodPost, "/", most+"x"), "a longer body", actor.ErrKeyedBody)
		b.wantErr(b.beginReader("more", http.MethodPost, "/", io.MultiReader(strings.NewReader(most+"x"))), "the same in pieces", actor.ErrKeyedBody)
	})
}

// Keys reach an object by way of a stub too.
func TestAStubsCallWithAKey(t *testing.T) {
	r := keyedRoutes()
	r["/via"] = func(s *actor.State, w http.ResponseWriter, req *http.Request) error {
		ns, _ := s.Namespace("Thing")
		stub, err := ns.Named("other")
		if err != nil {
			return err
		}
		var body io.Reader = strings.NewReader("body")
		if req.URL.Query().Has("stream") {
			body = io.MultiReader(body)
		}
		inner, _ := http.NewRequest(http.MethodPost, "/add", body)
		inner.Header.Set("Idempotency-Key", "inner")
		resp, err := stub.Do(req.Context(), inner)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		fmt.Fprint(w, resp.StatusCode, " ", string(answer), " ", resp.Header.Get("Idempotency-Replayed"))
		return err
	}
	inBubble(t, behavior{serve: r.serve}.class(), func(b *bubble) {
		want(t, "the call", b.get("/via"), "201 1 ")
		want(t, "the call again", b.get("/via"), "201 1 true")
		_, body, err := b.begin("/via?stream", "").Wait()
		want(t, "a streamed body", fmt.Sprint(body, err), actor.ErrKeyedBody.Error()+"\n<nil>")
	})
}

// Records go when they expire, by a batch of the owner, and an object that has
// nothing else leaves no trace.
func TestRequestKeysExpire(t *testing.T) {
	class := behavior{serve: keyedRoutes().serve}.class()
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}, KeyTTL: time.Hour}, func(b *bubble) {
		keys := func() string {
			n, err := b.Store().Keys()
			return fmt.Sprint(n, err)
		}
		b.wantAnswer("nothing", "/value?key=a", "-", false)
		want(t, "records of a call that stored nothing", keys(), "3 <nil>") // record, expiry, totals
		pass(time.Hour - time.Second)
		b.wantAnswer("nothing", "/value?key=a", "-", true)
		pass(2 * time.Second)
		want(t, "records after its expiry", keys(), "0 <nil>")

		b.wantAnswer("one", "/add", "1", false)
		pass(time.Hour / 2)
		b.wantAnswer("two", "/add", "2", false)
		pass(time.Hour/2 + time.Second)
		b.wantAnswer("two", "/add", "2", true)
		b.wantAnswer("one", "/add", "3", false)
		b.Crash(nil)
		pass(time.Hour + time.Second)
		want(t, "records after the last expiry, on the next owner", keys(), "2 <nil>") // the object, and its key
	})
}

// An expired key whose batch of removal does not come through runs anew, and a
// removal that comes late leaves the new record alone.
func TestALateRemovalOfAKey(t *testing.T) {
	class := behavior{serve: keyedRoutes().serve}.class()
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}, KeyTTL: time.Hour}, func(b *bubble) {
		b.wantAnswer("k", "/add", "1", false)
		b.Committer.Hold()
		pass(time.Hour + time.Second)
		want(t, "batches that wait", b.Committer.Waiting(), 1)
		anew := b.beginKeyed("k", http.MethodPost, "/add", "")
		b.Committer.Release()
		b.wantAnswerOf(anew, "the call after the expiry", "2", false)
		b.wantAnswer("k", "/add", "2", true)
		late := &actor.Batch{Object: b.thing.ID, Keyed: []actor.KeyedChange{{Op: actor.KeyedExpired, Key: "k", Expires: 1}}}
		b.Committer.Commit(b.thing.ID, 1, late.Append(nil), func(error) {})
		synctest.Wait()
		b.wantAnswer("k", "/add", "2", true)
	})
}

func TestTheSweeperTriesAgain(t *testing.T) {
	class := behavior{serve: keyedRoutes().serve}.class()
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}, KeyTTL: time.Hour}, func(b *bubble) {
		const objects = 600 // more than are swept at a time
		for i := range objects {
			c := b.Begin(b.Target("Thing", fmt.Sprint(i)), http.MethodPost, "/value?key=a", "")
			c.Wait()
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/value?key=a", http.NoBody)
			r.Header.Set("Idempotency-Key", "k")
			b.BeginRequest(b.Target("Thing", fmt.Sprint(i)), r).Wait()
		}
		n, err := b.Store().Keys()
		want(t, "records", fmt.Sprint(n, err), fmt.Sprint(3*objects, err))
		b.Committer.SetFate(loseBatch(1, actortest.Refuse))
		pass(time.Hour + time.Second)
		b.Committer.SetFate(nil)
		b.Committer.NextOwnership()
		pass(10 * time.Second)
		n, err = b.Store().Keys()
		want(t, "records after their expiry", fmt.Sprint(n, err), "0 <nil>")
	})
}

// At the bound new keys are refused; nothing that was promised is dropped.
func TestTheBoundOfRequestKeys(t *testing.T) {
	class := behavior{serve: keyedRoutes().serve}.class()
	inBubbleWith(t, actor.Config{Classes: map[string]actor.Class{"Thing": class}, KeyTTL: time.Hour}, func(b *bubble) {
		b.Host.BoundRequestKeys(3, actor.MaxRequestKeyBytes)
		for i := range 3 {
			b.wantAnswer(fmt.Sprint(i), "/add", fmt.Sprint(i+1), false)
		}
		b.wantErr(b.beginKeyed("more", http.MethodPost, "/add", ""), "one key more", actor.ErrTooManyRequestKeys)
		b.wantBody(b.begin("/add", ""), "a call without a key", "4")
		for i := range 3 {
			b.wantAnswer(fmt.Sprint(i), "/add", fmt.Sprint(i+1), true)
		}
		pass(time.Hour + time.Second)
		b.wantAnswer("more", "/add", "5", false)
		b.Host.BoundRequestKeys(3, 10)
		b.wantErr(b.beginKeyed("bytes", http.MethodPost, "/add", ""), "a key beyond the bound of bytes", actor.ErrTooManyRequestKeys)
		b.wantAnswer("more", "/add", "5", true)
	})
}

// A transaction that is undone takes neither key nor answer with it.
func TestATransactionLeavesTheKeyAlone(t *testing.T) {
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		err := s.Storage().Transaction(r.Context(), func(ctx context.Context, tx *actor.Transaction) error {
			return errors.Join(tx.Put(ctx, "a", nil), errors.New("undo it"))
		})
		fmt.Fprint(w, err)
	}}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantAnswer("k", "/", "undo it", false)
		b.wantAnswer("k", "/", "undo it", true)
		want(t, "the key", b.stored("a"), "-")
	})
}
