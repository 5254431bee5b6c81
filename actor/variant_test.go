package actor_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// The promises that matter most have checkers that return an error, and each
// checker is shown to catch a variant of the runtime that breaks the promise.

// errVariant says what a checker found.
var errVariant = errors.New("promise broken")

// TestOutputGate: what a client sees is in the Store when it sees it.
func TestOutputGate(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "an output gate that does not wait": true} {
		t.Run(name, func(t *testing.T) {
			class := handler(count)
			inBubble(t, class, func(b *bubble) {
				if broken {
					b.Host.Break(actor.FaultUngated)
				}
				wantVariant(t, checkOutputGate(b), broken)
			})
		})
	}
}

func checkOutputGate(b *bubble) (err error) {
	b.Committer.Hold()
	defer b.Committer.Release()
	var calls []*actortest.Call
	for range 8 {
		calls = append(calls, b.begin("/increment", ""), b.begin("/", ""))
	}
	for range 10 {
		synctest.Wait()
		durable, _ := strconv.Atoi(b.stored("n"))
		for _, c := range calls {
			if !c.Over() {
				continue
			}
			if _, body, _ := c.Wait(); err == nil && body > strconv.Itoa(durable) {
				err = fmt.Errorf("%w: a client saw %s when %d was durable", errVariant, body, durable)
			}
		}
		b.Committer.Step(1)
	}
	return err
}

// TestBatchIsAtomic: whatever the moment of a crash, all of a batch is there or nothing.
//
// Conformance case 1
func TestBatchIsAtomic(t *testing.T) {
	for fate, broken := range map[actortest.Fate]bool{
		actortest.LoseDropped: false, actortest.LoseApplied: false, actortest.Tear: true,
	} {
		t.Run(fmt.Sprintf("fate %d", fate), func(t *testing.T) {
			wantVariant(t, checkAtomic(t, fate), broken)
		})
	}
}

// checkAtomic writes two keys and the alarm together, again and again, and lets
// each batch in turn be the last one before a crash.
func checkAtomic(t *testing.T, last actortest.Fate) (err error) {
	t.Helper()
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		n := []byte(r.URL.Query().Get("n"))
		hour, _ := strconv.Atoi(string(n))
		err := errors.Join(
			s.Storage().Put(r.Context(), "a", n),
			s.Storage().Put(r.Context(), "b", n),
			s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Duration(hour)*time.Hour)),
		)
		if err != nil {
			fail(w, err)
		}
	}}.class()
	for crash := 1; crash <= 4; crash++ {
		inBubble(t, class, func(b *bubble) {
			start := time.Now()
			b.Committer.SetFate(loseBatch(crash, last))
			for n := 1; n <= crash; n++ {
				b.begin(fmt.Sprintf("/?n=%d", n), "")
			}
			b.Crash(nil)
			alarm := "-"
			if a, ok, _ := b.Store().Alarm(b.thing.ID); ok {
				alarm = strconv.Itoa(int(time.UnixMilli(a.Scheduled).Sub(start) / time.Hour))
			}
			if x, y := b.stored("a"), b.stored("b"); x != y || x != alarm {
				err = errors.Join(err, fmt.Errorf("%w: after a crash in batch %d: a %s, b %s, alarm %s", errVariant, crash, x, y, alarm))
			}
		})
	}
	return err
}

// TestNothingCommitsOnTopOfALostBatch: what is there is what was written first,
// without a gap, and all that was acknowledged.
func TestNothingCommitsOnTopOfALostBatch(t *testing.T) {
	for fate, broken := range map[actortest.Fate]bool{
		actortest.Refuse: false, actortest.LoseDropped: false, actortest.LoseApplied: false, actortest.AckUnapplied: true,
	} {
		t.Run(fmt.Sprintf("fate %d", fate), func(t *testing.T) {
			wantVariant(t, checkSuccessors(t, fate), broken)
		})
	}
}

func checkSuccessors(t *testing.T, fate actortest.Fate) (err error) {
	t.Helper()
	const writes = 10
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		if err := s.Storage().Put(r.Context(), r.URL.Path, nil); err != nil {
			fail(w, err)
		}
	}}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		b.Committer.SetFate(loseBatch(5, fate))
		var calls []*actortest.Call
		for i := range writes {
			calls = append(calls, b.begin(fmt.Sprintf("/%02d", i), ""))
		}
		b.Committer.Release()
		synctest.Wait()
		gap := false
		for i, c := range calls {
			there := b.stored(fmt.Sprintf("/%02d", i)) != "-"
			if there && gap {
				err = errors.Join(err, fmt.Errorf("%w: write %d is there, one before it is not", errVariant, i))
			}
			if !there && c.Err() == nil {
				err = errors.Join(err, fmt.Errorf("%w: write %d was acknowledged and is not there", errVariant, i))
			}
			gap = gap || !there
		}
	})
	return err
}

func wantVariant(t *testing.T, err error, broken bool) {
	t.Helper()
	switch {
	case broken && !errors.Is(err, errVariant):
		t.Errorf("the checker did not catch the broken variant: %v", err)
	case !broken && err != nil:
		t.Error(err)
	}
}

// TestAnObjectCountsOnEvenIfItsNodeCrashes: restarts at any batch lose no acknowledged increment.
func TestAnObjectCountsOnEvenIfItsNodeCrashes(t *testing.T) {
	inBubble(t, handler(count), func(b *bubble) {
		acked := 0
		for round := range 12 {
			b.Committer.Hold()
			var calls []*actortest.Call
			for range 5 {
				calls = append(calls, b.begin("/increment", ""))
			}
			b.Committer.Step(round % 6)
			synctest.Wait()
			b.Crash(nil)
			for _, c := range calls {
				if _, body, err := c.Wait(); err == nil {
					n, _ := strconv.Atoi(body)
					if n <= acked {
						t.Errorf("round %d: the number %d was given twice", round, n)
					}
					acked = max(acked, n)
				}
			}
			if n, _ := strconv.Atoi(b.get("/")); n < acked {
				t.Fatalf("round %d: the counter is %d after %d was acknowledged", round, n, acked)
			}
		}
	})
}
