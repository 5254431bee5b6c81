package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// setAlarm is the route that sets the alarm to so long from now.
func setAlarm(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
	d, err := time.ParseDuration(r.URL.Query().Get("in"))
	if err != nil {
		return err
	}
	return s.Storage().SetAlarm(r.Context(), time.Now().Add(d))
}

// getAlarm is the route that says in how many milliseconds the alarm fires.
func getAlarm(s *actor.State, w http.ResponseWriter, r *http.Request) error {
	at, ok, err := s.Storage().Alarm(r.Context())
	if ok {
		fmt.Fprint(w, time.Until(at).Milliseconds())
	} else {
		fmt.Fprint(w, "none")
	}
	return err
}

// waking is a class whose alarm runs f and writes into the diary when.
func waking(d *diary, f func(ctx context.Context, s *actor.State, info actor.AlarmInfo) error) actor.Class {
	var start time.Time
	return behavior{
		serve: routes{
			"/set": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				start = time.Now()
				return setAlarm(s, w, r)
			},
			"/get": getAlarm,
			"/delete": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				return s.Storage().DeleteAlarm(r.Context())
			},
			"/value": value,
		}.serve,
		alarm: func(ctx context.Context, s *actor.State, info actor.AlarmInfo) error {
			d.add("%s#%d", time.Since(start).Round(time.Second), info.RetryCount)
			if f == nil {
				return nil
			}
			return f(ctx, s, info)
		},
	}.class()
}

// Conformance case 19
func TestSettingTheAlarm(t *testing.T) {
	var d diary
	inBubble(t, waking(&d, nil), func(b *bubble) {
		b.get("/set?in=1h")
		want(t, "the alarm in ms", b.get("/get"), "3600000")
		b.get("/set?in=2s") // the last one wins
		pass(2*time.Second - time.Millisecond)
		d.want(t, "")
		pass(time.Millisecond)
		d.want(t, "2s#0")
		pass(2 * time.Hour)
		d.want(t, "")
		want(t, "the alarm after its run", b.get("/get"), "none")

		b.get("/set?in=-1h") // at once
		d.want(t, "0s#0")

		b.get("/set?in=1m")
		b.get("/delete")
		want(t, "the deleted alarm", b.get("/get"), "none")
		pass(time.Hour)
		d.want(t, "")
	})
}

// Conformance case 19
func TestAlarmsThatAreRefused(t *testing.T) {
	var f func(ctx context.Context, s *actor.State)
	inBubble(t, scripted(&f), func(b *bubble) {
		f = func(ctx context.Context, s *actor.State) {
			for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0)} {
				wantErr(t, fmt.Sprintf("SetAlarm(%v)", at), s.Storage().SetAlarm(ctx, at), actor.ErrAlarmTime)
			}
			wantErr(t, "SetAlarm", s.Storage().SetAlarm(ctx, time.UnixMilli(1)), nil)
		}
		b.get("/")
	})
	sleeper := handler(func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		wantErr(t, "SetAlarm without an Alarm method", s.Storage().SetAlarm(r.Context(), time.Now()), actor.ErrNoAlarm)
	})
	inBubble(t, sleeper, func(b *bubble) { b.get("/") })
	hopeful := actor.Class{New: func(ctx context.Context, s *actor.State) (http.Handler, error) {
		// In the constructor nobody knows yet what the object can do.
		return http.NotFoundHandler(), s.Storage().SetAlarm(ctx, time.Now().Add(time.Second))
	}}
	inBubble(t, hopeful, func(b *bubble) {
		b.begin("/", "")
		pass(time.Minute)
		if _, ok, _ := b.Store().Alarm(b.thing.ID); ok {
			t.Error("an alarm without an Alarm method was not dropped")
		}
		if log := b.Log.String(); !strings.Contains(log, "no Alarm method") {
			t.Errorf("the log does not tell of the dropped alarm:\n%s", log)
		}
	})
}

// An alarm is kept in milliseconds, and may not fire before its time for that.
func TestAnAlarmIsNeverEarly(t *testing.T) {
	var d diary
	class := behavior{
		serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
			_ = s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Millisecond+1))
		},
		alarm: func(context.Context, *actor.State, actor.AlarmInfo) error { d.add("alarm"); return nil },
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/")
		pass(time.Millisecond)
		d.want(t, "")
		pass(time.Millisecond)
		d.want(t, "alarm")
	})
}

// Conformance case 20
func TestTheAlarmWithinItsRun(t *testing.T) {
	var d diary
	runs := 0
	class := waking(&d, func(ctx context.Context, s *actor.State, info actor.AlarmInfo) error {
		st := s.Storage()
		if runs++; runs > 1 {
			return nil
		}
		_, ok, _ := st.Alarm(ctx)
		want(t, "there is an alarm while it runs", ok, false)
		at := time.Now().Add(30 * time.Second)
		wantErr(t, "SetAlarm", st.SetAlarm(ctx, at), nil)
		got, ok, _ := st.Alarm(ctx)
		want(t, "the new alarm", fmt.Sprint(got.Sub(at), ok), "0s true")
		return errors.New("fails after all")
	})
	inBubble(t, class, func(b *bubble) {
		b.get("/set?in=1s")
		pass(time.Hour)
		d.want(t, "1s#0 31s#0")
	})
}

func TestAnAlarmThatIsDeletedInItsRunIsNotRetried(t *testing.T) {
	for name, remove := range map[string]func(ctx context.Context, st *actor.Storage) error{
		"DeleteAlarm": func(ctx context.Context, st *actor.Storage) error { return st.DeleteAlarm(ctx) },
		"DeleteAll":   func(ctx context.Context, st *actor.Storage) error { return st.DeleteAll(ctx) },
	} {
		var d diary
		class := waking(&d, func(ctx context.Context, s *actor.State, _ actor.AlarmInfo) error {
			wantErr(t, name, remove(ctx, s.Storage()), nil)
			return errors.New("fails after all")
		})
		inBubble(t, class, func(b *bubble) {
			b.get("/set?in=1s")
			pass(time.Hour)
			d.want(t, "1s#0")
		})
	}
}

func TestAnAlarmThatATransactionTookBackIsOver(t *testing.T) {
	var d diary
	class := waking(&d, func(ctx context.Context, s *actor.State, _ actor.AlarmInfo) error {
		return s.Storage().Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
			defer tx.Rollback()
			return tx.SetAlarm(ctx, time.Now().Add(time.Hour))
		})
	})
	inBubble(t, class, func(b *bubble) {
		b.get("/set?in=1s")
		pass(3 * time.Hour)
		d.want(t, "1s#0")
		want(t, "the alarm", b.get("/get"), "none")
	})
}

// Conformance case 21
func TestAnAlarmThatFailsIsRetriedSixTimes(t *testing.T) {
	failures := map[string]func(ctx context.Context, s *actor.State) error{
		"an error": func(context.Context, *actor.State) error { return errors.New("no") },
		"a panic":  func(context.Context, *actor.State) error { panic("no") },
		"an abort": func(ctx context.Context, s *actor.State) error {
			s.Abort(ctx, actor.AbortOptions{})
			return nil
		},
	}
	for name, broken := range failures {
		var times []time.Time
		class := behavior{
			serve: routes{"/set": setAlarm, "/get": getAlarm, "/value": value}.serve,
			alarm: func(ctx context.Context, s *actor.State, info actor.AlarmInfo) error {
				want(t, name+": RetryCount", info.RetryCount, len(times))
				times = append(times, time.Now())
				_ = s.Storage().Put(ctx, "k", []byte("v"))
				return broken(ctx, s)
			},
		}.class()
		inBubble(t, class, func(b *bubble) {
			b.get("/set?in=1s")
			scheduled := time.Now().Add(time.Second)
			pass(2 * time.Second)
			left := b.get("/get") // a retry is pending: the time is set
			want(t, name+": an alarm is set while a retry is pending", left != "none", true)
			pass(time.Hour)
			if len(times) != 7 {
				t.Fatalf("%s: %d runs, want 7", name, len(times))
			}
			want(t, name+": the first run", times[0].Sub(scheduled), 0)
			for i := 1; i < 7; i++ {
				wait := times[i].Sub(times[i-1])
				if least := time.Second << i; wait < least || wait > least+least/4 {
					t.Errorf("%s: retry %d after %v, want %v to %v", name, i, wait, least, least+least/4)
				}
			}
			want(t, name+": the alarm after the last retry", b.get("/get"), "none")
			kept := map[bool]string{true: "v", false: "-"}[name == "an error"]
			want(t, name+": what the runs wrote", b.get("/value?key=k"), kept)
		})
	}
}

func TestARunThatSucceedsEndsTheRetries(t *testing.T) {
	var d diary
	class := waking(&d, func(_ context.Context, _ *actor.State, info actor.AlarmInfo) error {
		if info.RetryCount < 2 {
			return errors.New("no")
		}
		return nil
	})
	inBubble(t, class, func(b *bubble) {
		b.get("/set?in=0s")
		pass(time.Hour)
		if got := d.take(); !strings.HasSuffix(got, "#2") || strings.Count(got, "#") != 3 {
			t.Errorf("runs: %s, want three", got)
		}
		b.get("/set?in=0s")
		synctest.Wait()
		d.take()
		want(t, "the alarm", b.get("/get") != "none", true) // counts from 0 again
	})
}

// Conformance case 32
func TestAnAbortedAlarmMayBeDropped(t *testing.T) {
	var d diary
	class := waking(&d, func(ctx context.Context, s *actor.State, _ actor.AlarmInfo) error {
		s.Abort(ctx, actor.AbortOptions{DropAlarm: true})
		return nil
	})
	inBubble(t, class, func(b *bubble) {
		b.get("/set?in=1s")
		pass(time.Hour)
		d.want(t, "1s#0")
		want(t, "the alarm", b.get("/get"), "none")
	})
}

func TestARunOfAlarmHasALimit(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context, s *actor.State) error{
		"holding the gate": func(context.Context, *actor.State) error { sleep(16 * time.Minute); return nil },
		"waiting outside": func(ctx context.Context, s *actor.State) error {
			return s.Outside(ctx, func(ctx context.Context) error { sleep(16 * time.Minute); return nil })
		},
	} {
		var d diary
		class := waking(&d, func(ctx context.Context, s *actor.State, info actor.AlarmInfo) error {
			if info.RetryCount == 0 {
				return wait(ctx, s)
			}
			return nil
		})
		inBubble(t, class, func(b *bubble) {
			b.get("/set?in=0s")
			pass(15*time.Minute - time.Second)
			synctest.Wait()
			if log := b.Log.String(); strings.Contains(log, "ended=true") {
				t.Errorf("%s: the log before the limit:\n%s", name, log)
			}
			pass(time.Hour)
			got := d.take()
			if !strings.HasPrefix(got, "0s#0 ") || !strings.HasSuffix(got, "#1") || strings.Count(got, "#") != 2 {
				t.Errorf("%s: runs %s, want a second one after the limit", name, got)
			}
		})
	}
}

// Conformance case 22
func TestAnAlarmOutlivesACrashOfItsNode(t *testing.T) {
	var d diary
	gate := newDoor()
	var mu sync.Mutex
	running, most := 0, 0
	class := waking(&d, func(ctx context.Context, s *actor.State, _ actor.AlarmInfo) error {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		_ = s.Storage().Put(ctx, "k", []byte("v"))
		gate.wait()
		mu.Lock()
		running--
		mu.Unlock()
		return nil
	})
	inBubble(t, class, func(b *bubble) {
		b.get("/set?in=1s")
		pass(2 * time.Second)
		d.want(t, "1s#0")
		b.Crash(gate.open) // during the run
		synctest.Wait()
		d.want(t, "2s#0")
		want(t, "stored by the run", b.get("/value?key=k"), "v")
		pass(time.Hour)
		d.want(t, "")

		b.get("/set?in=1s")
		b.Committer.Hold()
		pass(2 * time.Second)
		d.want(t, "1s#0")
		b.Crash(nil) // after the run, before its end was committed
		synctest.Wait()
		d.want(t, "2s#0")
		b.Crash(nil) // after its end was committed
		pass(time.Hour)
		d.want(t, "")
	})
	want(t, "most runs at a time", most, 1)
}

func TestAlarmsThatCameDueWhileTheNodeWasDown(t *testing.T) {
	var d diary
	inBubble(t, waking(&d, nil), func(b *bubble) {
		b.get("/set?in=1m")
		b.Stop()
		pass(time.Hour)
		d.want(t, "")
		b.Restart()
		d.want(t, "1h0m0s#0")
	})
}

func TestAlarmsFollowTheOwnership(t *testing.T) {
	var d diary
	inBubble(t, waking(&d, nil), func(b *bubble) {
		own := func(n uint64, err error) {
			b.Committer.Refuse(err)
			b.Committer.SetOwnership(n)
			for shard := range uint32(4) {
				b.Host.SetOwnership(shard, n)
			}
		}
		b.get("/set?in=1m")
		own(0, actor.ErrNotOwner)
		pass(time.Hour)
		d.want(t, "")
		own(2, nil)
		d.want(t, "1h0m0s#0")
		b.get("/set?in=1m")
		pass(time.Minute)
		d.want(t, "1m0s#0")
	})
}

// An alarm that was moved, with the move not committed yet, neither runs nor
// makes the clock spin.
func TestAnAlarmIsMovedWhileItComesDue(t *testing.T) {
	var d diary
	inBubble(t, waking(&d, nil), func(b *bubble) {
		b.get("/set?in=10s")
		b.Committer.Hold()
		moving := b.begin("/set?in=1h", "")
		pass(time.Minute)
		d.want(t, "")
		b.Committer.Release()
		b.wantBody(moving, "the call that moves the alarm", "")
		pass(time.Hour)
		d.want(t, "1h0m0s#0")
	})
}

// A batch that is lost at the end of a run is not the object's fault: the alarm
// runs again and no failure is counted.
func TestALostEndOfARunIsNotCounted(t *testing.T) {
	var d diary
	class := waking(&d, nil)
	inBubble(t, class, func(b *bubble) {
		b.get("/set?in=1s")
		b.Committer.SetFate(func(*actortest.Commit) actortest.Fate { return actortest.Refuse })
		for range 20 {
			pass(time.Second)
			b.Committer.NextOwnership()
		}
		b.Committer.SetFate(nil)
		pass(10 * time.Second)
		got := d.take()
		if n := strings.Count(got, "#"); n < 10 || strings.Count(got, "#0") != n {
			t.Errorf("runs: %s, want 10 or more with no failure counted", got)
		}
		pass(time.Hour)
		d.want(t, "")
	})
}

// A class that does not start is the object's fault: it must not wake for ever.
func TestAlarmsOfAnObjectThatDoesNotStart(t *testing.T) {
	var broken atomic.Bool
	var starts atomic.Int32
	class := behavior{
		start: func(context.Context, *actor.State) error {
			if starts.Add(1); broken.Load() {
				return errors.New("no")
			}
			return nil
		},
		serve: routes{"/set": setAlarm, "/get": getAlarm}.serve,
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/set?in=5m")
		broken.Store(true)
		starts.Store(0)
		pass(time.Hour)
		want(t, "starts", starts.Load(), 7)
		broken.Store(false)
		want(t, "the alarm", b.get("/get"), "none")
	})
}

// More alarms than may run at once are all run, and no more at once than may.
func TestManyAlarmsAtOnce(t *testing.T) {
	const objects, bound = 700, 256
	var mu sync.Mutex
	running, most, done := 0, 0, map[string]int{}
	class := behavior{
		serve: routes{"/set": setAlarm}.serve,
		alarm: func(ctx context.Context, s *actor.State, _ actor.AlarmInfo) error {
			count := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				running += n
				most = max(most, running)
			}
			count(1)
			defer count(-1)
			err := s.Outside(ctx, func(context.Context) error { sleep(time.Second); return nil })
			mu.Lock()
			done[s.Name()]++
			mu.Unlock()
			return err
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		for i := range objects {
			b.Must(b.Target("Thing", fmt.Sprint(i)), "GET", "/set?in=10s", "")
		}
		pass(10*time.Second + time.Second*(objects/bound+1))
		synctest.Wait()
		if len(done) != objects {
			t.Errorf("%d alarms ran, want %d", len(done), objects)
		}
		for name, n := range done {
			want(t, "runs of "+name, n, 1)
		}
		want(t, "most runs at once", most, bound)
	})
}

// Alarms that cannot run, however many and however long due, do not keep others
// from running; they run when they can.
func TestAlarmsThatCannotRunDoNotStarveOthers(t *testing.T) {
	const gone = 1100 // in each shard more than may run at once
	var d diary
	class := behavior{
		serve: routes{"/set": setAlarm}.serve,
		alarm: func(_ context.Context, s *actor.State, _ actor.AlarmInfo) error { d.add("%s", s.Name()); return nil },
	}.class()
	classes := map[string]actor.Class{"Thing": class, "Gone": class}
	inBubbleWith(t, actor.Config{Classes: classes}, func(b *bubble) {
		for i := range gone {
			b.Must(b.Target("Gone", fmt.Sprint(i)), "GET", "/set?in=1m", "")
		}
		delete(classes, "Gone") // the binary does not have it any more
		b.Restart()
		for i := range 8 {
			b.Must(b.Target("Thing", fmt.Sprint(i)), "GET", "/set?in=2m", "")
		}
		pass(2 * time.Minute)
		want(t, "alarms that ran", len(strings.Fields(d.take())), 8)
		classes["Gone"] = class
		b.Restart()
		pass(2 * time.Second)
		want(t, "alarms that ran after all", len(strings.Fields(d.take())), gone)
	})
}
