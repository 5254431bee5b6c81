package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// slow is a class whose handler for /slow stays until the door opens.
func slow(dr *door) actor.Class {
	return behavior{serve: func(_ *actor.State, _ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			dr.wait()
		}
	}}.class()
}

// crashIn lets the node crash when a handler has run for that long.
func (b *bubble) crashIn(dr *door, ran time.Duration) *actortest.Call {
	b.t.Helper()
	c := b.begin("/slow", "")
	pass(ran)
	b.Crash(dr.open)
	dr.shut()
	return c
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pass = false
}

// poison gives what is stored of the object "a".
func (b *bubble) poison() actor.PoisonRecord {
	b.t.Helper()
	synctest.Wait()
	p, err := b.Store().Poison(b.thing.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func quarantine(err error) time.Duration {
	var q *actor.QuarantineError
	if !errors.As(err, &q) {
		return 0
	}
	return q.Wait
}

// TestPoison: an object during whose run two nodes in a row crash is refused.
func TestPoison(t *testing.T) {
	for name, broken := range map[string]func(h *actor.Host){
		"sound":                        nil,
		"marks that are not durable":   func(h *actor.Host) { h.Break(actor.FaultUnmarked) },
		"strikes that are not counted": func(h *actor.Host) { h.Break(actor.FaultUncounted) },
	} {
		t.Run(name, func(t *testing.T) {
			dr := newDoor()
			inBubble(t, slow(dr), func(b *bubble) { wantVariant(t, checkPoison(b, dr, broken), broken != nil) })
		})
	}
}

func checkPoison(b *bubble, dr *door, breaks func(h *actor.Host)) error {
	for crash, want := range []time.Duration{0, 0, 30 * time.Second, time.Minute, 2 * time.Minute} {
		if breaks != nil {
			breaks(b.Host)
		}
		if want > 0 {
			if got := quarantine(b.begin("/", "").Err()); got != want {
				return fmt.Errorf("%w: after %d crashes the object is refused for %v, want %v", errVariant, crash, got, want)
			}
			pass(want)
		}
		if err := b.begin("/", "").Err(); err != nil {
			return fmt.Errorf("after %d crashes and %v: %w", crash, want, err)
		}
		b.crashIn(dr, 300*time.Millisecond)
	}
	pass(4*time.Minute + 10*time.Minute)
	if p := b.poison(); p.Strikes == 0 {
		return fmt.Errorf("%w: nothing is known of the object that crashed its node", errVariant)
	}
	// The last crash is found only now, and is the first strike again.
	if err := b.begin("/", "").Err(); err != nil {
		return fmt.Errorf("when the strikes have lapsed: %w", err)
	}
	return nil
}

// TestShortRunsAreNoSuspects: who crashes the node while other objects run for a
// moment does not harm them, and they pay nothing.
func TestShortRunsAreNoSuspects(t *testing.T) {
	dr := newDoor()
	inBubble(t, slow(dr), func(b *bubble) {
		var batches atomic.Int32
		for range 5 {
			b.Committer.SetFate(func(*actortest.Commit) actortest.Fate { batches.Add(1); return actortest.Apply })
			b.crashIn(dr, 240*time.Millisecond)
			b.get("/")
		}
		if n := batches.Load(); n != 0 {
			t.Errorf("handlers that write nothing made %d batches, want none", n)
		}
	})
}

// TestAMarkEndsWithItsRun: at the end of the handler, of its panic, and while it
// waits outside, where others may run for as long.
func TestAMarkEndsWithItsRun(t *testing.T) {
	dr, outside := newDoor(), newDoor()
	class := behavior{serve: routes{
		"/slow":  func(*actor.State, http.ResponseWriter, *http.Request) error { dr.wait(); return nil },
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { dr.wait(); panic("on purpose") },
		"/outside": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			dr.wait()
			return outside.outside(r.Context(), s)
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		for _, path := range []string{"/slow", "/panic", "/outside"} {
			dr.shut()
			c := b.begin(path, "")
			pass(300 * time.Millisecond)
			if p := b.poison(); p.Marked == 0 || p.Class != "Thing" || p.Name != "a" {
				t.Errorf("%s after 300 ms: %+v, want a mark of Thing a", path, p)
			}
			dr.open()
			if p := b.poison(); p != (actor.PoisonRecord{}) {
				t.Errorf("%s after its end: %+v, want nothing", path, p)
			}
			outside.open()
			synctest.Wait()
			if !c.Over() {
				t.Errorf("%s is not over", path)
			}
		}
		if keys, err := b.Store().Keys(); err != nil || keys != 0 {
			t.Errorf("the store has %d keys, %v, want none", keys, err)
		}
	})
}

// TestAStrikeIsDurableBeforeTheObjectRuns: else a crash soon after would count as none.
func TestAStrikeIsDurableBeforeTheObjectRuns(t *testing.T) {
	dr := newDoor()
	inBubble(t, slow(dr), func(b *bubble) {
		b.crashIn(dr, time.Second)
		b.Committer.Hold()
		c := b.begin("/", "")
		pass(time.Minute) // longer than a start may take
		if c.Over() {
			t.Fatalf("the object ran before its strike was durable: %v", c.Err())
		}
		b.Committer.Release()
		b.wantBody(c, "the call", "")
		if p := b.poison(); p.Strikes != 1 {
			t.Errorf("%d strikes are stored, want 1", p.Strikes)
		}
	})
}

// TestPanicsAndTimeouts: five within a minute are one strike, and those of alarms are none.
func TestPanicsAndTimeouts(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "a strike for each panic": true} {
		t.Run(name, func(t *testing.T) {
			class := behavior{
				serve: routes{
					"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
					"/alarm": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
						return s.Storage().SetAlarm(r.Context(), time.Now())
					},
				}.serve,
				alarm: func(context.Context, *actor.State, actor.AlarmInfo) error { panic("on purpose") },
			}.class()
			inBubble(t, class, func(b *bubble) {
				if broken {
					b.Host.Break(actor.FaultHasty)
				}
				wantVariant(t, checkFailures(b), broken)
			})
		})
	}
}

func checkFailures(b *bubble) error {
	panics := func(n int, gap time.Duration) error {
		for range n {
			if err := b.begin("/panic", "").Err(); quarantine(err) != 0 {
				return fmt.Errorf("%w: a panic too few for a quarantine: %w", errVariant, err)
			}
			pass(gap)
		}
		return nil
	}
	// 5 in 64 s are none, nor are 4 at once, and a minute later 4 again.
	if err := errors.Join(panics(20, 16*time.Second), panics(1, time.Minute), panics(4, 0)); err != nil {
		return err
	}
	pass(time.Minute)
	if err := panics(4, 0); err != nil {
		return err
	}
	if p := b.poison(); p.Strikes != 0 {
		return fmt.Errorf("%w: %d strikes for panics that are far between", errVariant, p.Strikes)
	}
	b.get("/alarm")
	pass(5 * time.Minute) // all of its runs fail
	if p := b.poison(); p.Strikes != 0 {
		return fmt.Errorf("%w: %d strikes for alarms", errVariant, p.Strikes)
	}
	if err := panics(10, 0); err != nil {
		return err
	}
	if p, wait := b.poison(), quarantine(b.begin("/", "").Err()); p.Strikes != 2 || wait != 30*time.Second {
		return fmt.Errorf("%w: 10 panics: %d strikes, refused for %v, want 2 and 30 s", errVariant, p.Strikes, wait)
	}
	return nil
}

// TestAQuarantinedObjectsAlarmWaits: and runs at the end of the quarantine.
func TestAQuarantinedObjectsAlarmWaits(t *testing.T) {
	dr := newDoor()
	var d diary
	class := behavior{
		serve: routes{
			"/slow": func(*actor.State, http.ResponseWriter, *http.Request) error { dr.wait(); return nil },
			"/alarm": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				return s.Storage().SetAlarm(r.Context(), time.Now().Add(10*time.Second))
			},
		}.serve,
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		alarm: func(context.Context, *actor.State, actor.AlarmInfo) error { d.add("alarm"); return nil },
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/alarm")
		b.crashIn(dr, time.Second)
		b.crashIn(dr, time.Second)
		d.take()
		if wait := quarantine(b.begin("/slow", "").Err()); wait != 30*time.Second {
			t.Fatalf("refused for %v, want 30 s", wait)
		}
		pass(29 * time.Second)
		d.want(t, "")
		pass(2 * time.Second)
		d.want(t, "start alarm")
	})
}

func TestPardon(t *testing.T) {
	dr := newDoor()
	var d diary
	class := slow(dr)
	construct := class.New
	class.New = func(ctx context.Context, s *actor.State) (http.Handler, error) {
		d.add("start")
		return construct(ctx, s)
	}
	inBubble(t, class, func(b *bubble) {
		b.crashIn(dr, time.Second)
		b.crashIn(dr, time.Second)
		if wait := quarantine(b.begin("/", "").Err()); wait != 30*time.Second {
			t.Fatalf("refused for %v, want 30 s", wait)
		}
		all, err := b.Host.Quarantined()
		if err != nil || len(all) != 1 || all[0].Target != b.thing || all[0].Strikes != 2 || !all[0].Until.Equal(time.Now().Add(30*time.Second)) {
			t.Errorf("Quarantined() = %+v, %v, want %+v with 2 strikes", all, err, b.thing)
		}
		d.take()
		if err := b.Host.Pardon(b.t.Context(), b.thing); err != nil {
			t.Fatalf("Pardon() = %v", err)
		}
		d.want(t, "") // nothing of the object ran
		if p := b.poison(); p != (actor.PoisonRecord{}) {
			t.Errorf("after the pardon: %+v, want nothing", p)
		}
		b.get("/")

		// An object that runs with a strike is forgiven, too, as the next event.
		b.crashIn(dr, time.Second)
		b.get("/")
		if err := b.Host.Pardon(b.t.Context(), b.thing); err != nil || b.poison() != (actor.PoisonRecord{}) {
			t.Errorf("Pardon of an object that runs = %v, %+v is left, want nothing", err, b.poison())
		}
		b.Committer.Own(func(actor.ID) bool { return false })
		if err := b.Host.Pardon(b.t.Context(), b.thing); !errors.Is(err, actor.ErrNotOwner) {
			t.Errorf("Pardon of another node's object = %v, want ErrNotOwner", err)
		}
	})
}

// TestYield: an owner that gives its shard away leaves no marks, except those of
// handlers that do not end.
func TestYield(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		dr := newDoor()
		inBubble(t, slow(dr), func(b *bubble) {
			ran, strikes := time.Second, uint8(0)
			if stuck {
				ran, strikes = time.Minute, 1
			}
			b.begin("/slow", "")
			pass(ran)
			for shard := range uint32(64) {
				b.Host.Yield(shard)
			}
			synctest.Wait()
			b.Crash(dr.open)
			b.get("/")
			if p := b.poison(); p.Strikes != strikes {
				t.Errorf("stuck %v: %d strikes, want %d", stuck, p.Strikes, strikes)
			}
		})
	}
}

// TestAMarkFindsNoRoom: what could not be written because of an overload is
// written with the next event.
func TestAMarkFindsNoRoom(t *testing.T) {
	dr := newDoor()
	inBubble(t, slow(dr), func(b *bubble) {
		full := &fullCommitter{}
		b.Host.WrapCommitter(func(c actor.Committer) actor.Committer { full.Committer = c; return full })
		b.begin("/slow", "")
		pass(time.Second)
		full.full.Store(true)
		dr.open()
		if p := b.poison(); p.Marked == 0 {
			t.Fatal("the mark is gone although the committer took nothing")
		}
		full.full.Store(false)
		b.get("/")
		if p := b.poison(); p != (actor.PoisonRecord{}) {
			t.Errorf("after the next event: %+v, want nothing", p)
		}
	})
}

// fullCommitter refuses batches for want of room.
type fullCommitter struct {
	actor.Committer

	full atomic.Bool
}

func (c *fullCommitter) Commit(object actor.ID, ownership uint64, batch []byte, done func(error)) {
	if c.full.Load() {
		done(actor.ErrOverloaded)
		return
	}
	c.Committer.Commit(object, ownership, batch, done)
}
