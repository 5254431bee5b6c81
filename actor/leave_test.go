package actor_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// leave has the host leave the shards of all objects, and gives how long that took.
func (b *bubble) leave(ctx context.Context) time.Duration {
	b.t.Helper()
	began := time.Now()
	b.Host.Leave(ctx, b.Host.Shard(b.thing.ID))
	return time.Since(began)
}

// Leave waits for calls, whose answers leave, and not for what takes long.
func TestLeave(t *testing.T) {
	const look = 2 * time.Millisecond
	for _, tt := range []struct {
		name string
		path string
		ran  time.Duration // before Leave
		took time.Duration // Leave
	}{
		{"nothing is under way", "/", 0, 0},
		{"a call that is outside", "/outside?for=300ms", 100 * time.Millisecond, 200 * time.Millisecond},
		{"a call that holds the gate", "/inside?for=300ms", 100 * time.Millisecond, 200 * time.Millisecond},
		{"a call that is young by then, and takes long", "/outside?for=1h", 100 * time.Millisecond, 900 * time.Millisecond},
		{"a call that takes long", "/outside?for=1h", 1100 * time.Millisecond, 0},
		{"a task that takes long", "/task?for=1h", 100 * time.Millisecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			over := newDoor()
			stay := func(r *http.Request) {
				d, _ := time.ParseDuration(r.URL.Query().Get("for"))
				if d == time.Hour {
					over.wait()
				} else {
					sleep(d)
				}
			}
			class := behavior{serve: routes{
				"/": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
				"/outside": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
					return s.Outside(r.Context(), func(context.Context) error { stay(r); return nil })
				},
				"/inside": func(_ *actor.State, _ http.ResponseWriter, r *http.Request) error { stay(r); return nil },
				"/task": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
					return s.WaitUntil(r.Context(), func(ctx context.Context) {
						_ = s.Outside(ctx, func(context.Context) error { stay(r); return nil })
					})
				},
			}.serve}.class()
			inBubble(t, class, func(b *bubble) {
				defer over.open()
				b.get("/")
				call := b.begin(tt.path, "")
				pass(tt.ran)
				if took := b.leave(b.t.Context()); took < tt.took || took > tt.took+look {
					t.Errorf("Leave took %v, want %v", took, tt.took)
				}
				synctest.Wait()
				want(t, "the call is over", call.Over(), tt.path != "/outside?for=1h")
			})
		})
	}
}

// Calls of clients wait while their shard is left, and share its fate.
func TestCallsWaitForLeave(t *testing.T) {
	inBubble(t, handler(func(*actor.State, http.ResponseWriter, *http.Request) {}), func(b *bubble) {
		shard := b.Host.Shard(b.thing.ID)
		for _, tt := range []struct {
			end  string
			do   func()
			want error
		}{
			{"the shard stays", func() { b.Host.Stay(shard) }, nil},
			{"it has a new ownership here", func() { b.Committer.NextOwnership(); b.Host.SetOwnership(shard, 2) }, nil},
			{"it is given away", func() { b.Committer.Refuse(actor.ErrNotOwner); b.Host.SetOwnership(shard, 0) }, actor.ErrNotOwner},
		} {
			b.leave(b.t.Context())
			ctx, leave := context.WithCancel(b.t.Context())
			left := b.BeginRequest(b.thing, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			waits := b.begin("/", "")
			want(t, "a call is over before "+tt.end, waits.Over(), false)
			leave()
			b.wantErr(left, "a call whose client leaves", actor.ErrCallerLeft)
			tt.do()
			b.wantErr(waits, "a call after "+tt.end, tt.want)
		}
		b.Committer.Refuse(nil)
		b.leave(b.t.Context())
		waits := b.begin("/", "")
		b.Stop()
		b.wantErr(waits, "a call when the node stops", actor.ErrClosing)
	})
}

// sibling gives an object whose shard is that of "a", or is not.
func (b *bubble) sibling(same bool) actor.Target {
	b.t.Helper()
	for i := range 1000 {
		target := b.Target("Thing", fmt.Sprint("sibling", i))
		if (b.Host.Shard(target.ID) == b.Host.Shard(b.thing.ID)) == same {
			return target
		}
	}
	b.t.Fatal("all objects are of one shard, or none are")
	return actor.Target{}
}

// What begins while Leave waits is waited for, too: a call that was queued, and one
// of another object. A client whose body comes late is refused.
func TestLeaveLooksAgain(t *testing.T) {
	const run = 200 * time.Millisecond
	var callee string
	class := behavior{serve: routes{
		"/run": func(*actor.State, http.ResponseWriter, *http.Request) error { sleep(run); return nil },
		"/ask": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			sleep(run / 2)
			_, err := stub(t, s, callee).Do(r.Context(), request("GET", "/run", nil))
			return err
		},
	}.serve}.class()
	for _, tt := range []struct {
		name  string
		begin func(b *bubble) []*actortest.Call
		took  time.Duration
	}{
		{"a queued call", func(b *bubble) []*actortest.Call {
			return []*actortest.Call{b.begin("/run", ""), b.begin("/run", "")}
		}, 2 * run},
		{"a call of an object of another shard", func(b *bubble) []*actortest.Call {
			callee = b.sibling(true).Name
			return []*actortest.Call{b.begin("/run", ""), b.Begin(b.sibling(false), http.MethodPost, "/ask", "")}
		}, run/2 + run},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, class, func(b *bubble) {
				b.Host.Route(struct{ actor.Router }{b.Host}) // as if there were others
				calls := tt.begin(b)
				body, late := io.Pipe()
				r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, "/run", body)
				r.ContentLength = 1
				slow := b.BeginRequest(b.sibling(true), r)
				synctest.Wait()
				go func() {
					sleep(run / 4)
					_, _ = late.Write([]byte("x"))
					late.Close()
				}()
				if took := b.leave(b.t.Context()); took < tt.took || took > tt.took+5*time.Millisecond {
					t.Errorf("Leave took %v, want %v", took, tt.took)
				}
				for i, call := range calls {
					b.wantBody(call, fmt.Sprint("call ", i), "")
				}
				b.wantErr(slow, "a call whose body comes late", actor.ErrNotOwner)
			})
		})
	}
}

// Leave waits until the answers of calls that are over may leave: what they wrote is
// on its way, or their ownership is not proved yet.
func TestLeaveWaitsForOutputs(t *testing.T) {
	for name, hold := range map[string]func(c *actortest.Committer) (release func()){
		"a write": func(c *actortest.Committer) func() { c.Hold(); return c.Release },
		"a proof": func(c *actortest.Committer) func() { c.HoldProofs(); return c.ReleaseProofs },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, behavior{serve: routes{"/put": put, "/value": value}.serve}.class(), func(b *bubble) {
				b.begin("/put?key=k", "1")
				release := hold(b.Committer)
				wrote, read := b.begin("/put?key=k", "2"), b.begin("/value?key=k", "")
				left := make(chan time.Duration, 1)
				go func() { left <- b.leave(b.t.Context()) }()
				pass(100 * time.Millisecond)
				want(t, "calls over before the release", read.Over(), false)
				release()
				if took := <-left; took < 100*time.Millisecond || took > 102*time.Millisecond {
					t.Errorf("Leave took %v, want until the answers could leave", took)
				}
				synctest.Wait()
				want(t, "calls over when Leave is", wrote.Over() && read.Over(), true)
			})
		})
	}
}

// Who gives up leaving has Leave return.
func TestLeaveEndsWithItsContext(t *testing.T) {
	over := newDoor()
	inBubble(t, slow(over), func(b *bubble) {
		defer over.open()
		b.begin("/slow", "")
		ctx, cancel := context.WithTimeout(b.t.Context(), 50*time.Millisecond)
		defer cancel()
		want(t, "Leave took", b.leave(ctx), 50*time.Millisecond)
	})
}
