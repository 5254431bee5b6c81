package actor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func place(number, base uint64) Place { return Place{Start: 1, Stub: 1, Number: number, Base: base} }

func mustTake(t *testing.T, turns *turns, p Place, ownership uint64) *turn {
	t.Helper()
	tn, err := turns.take(t.Context(), p, ownership)
	if err != nil {
		t.Fatalf("take(%+v) = %v", p, err)
	}
	return tn
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		var got []uint64
		done := make(chan struct{})
		go func() {
			mustTake(t, turns, place(6, 5), 1).pass(true)
			got = append(got, 6)
			close(done)
		}()
		synctest.Wait()
		five := mustTake(t, turns, place(5, 5), 1) // the base makes it the first, though 1 to 4 never came here
		synctest.Wait()
		got = append(got, 5)
		five.pass(true)
		<-done
		if len(got) != 2 || got[0] != 5 {
			t.Errorf("admitted %v, want 5 before 6", got)
		}
		if _, err := turns.take(t.Context(), place(5, 5), 1); !errors.Is(err, errPassed) {
			t.Errorf("take(5) after 6 = %v, want %v", err, errPassed)
		}
	})
}

func TestTurnsOfALostCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		began := time.Now()
		if _, err := turns.take(t.Context(), place(2, 1), 1); !errors.Is(err, ErrNotOwner) || time.Since(began) != turnWait {
			t.Errorf("take(2) without 1 = %v after %v, want ErrNotOwner after %v", err, time.Since(began), turnWait)
		}
		mustTake(t, turns, place(2, 2), 1).pass(true) // the caller has given up 1
		if _, err := turns.take(t.Context(), place(1, 1), 1); !errors.Is(err, ErrRefused) {
			t.Errorf("take(1) after 2 = %v, want ErrRefused", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.take(ctx, place(4, 3), 1); !errors.Is(err, ErrCallerLeft) {
			t.Errorf("take of a caller that left = %v, want ErrCallerLeft", err)
		}
	})
}

// A base that grows past the call that is being admitted does not let the next
// one overtake it.
func TestTurnsWaitForWhoIsBeingAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		slow := mustTake(t, turns, place(1, 1), 1)
		if _, err := turns.take(t.Context(), place(2, 2), 1); !errors.Is(err, errTurn) {
			t.Errorf("take(2) while 1 is being admitted = %v, want %v", err, errTurn)
		}
		slow.pass(true)
		mustTake(t, turns, place(2, 2), 1).pass(true)
	})
}

func TestTurnsOfAnotherOwnership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		old := mustTake(t, turns, place(1, 1), 3)
		old.pass(false) // refused: it will come again
		mustTake(t, turns, place(1, 1), 3).pass(true)
		mustTake(t, turns, place(2, 1), 3)
		if _, err := turns.take(t.Context(), place(2, 1), 4); !errors.Is(err, errTurn) {
			t.Errorf("take(2) of a new ownership = %v, want %v: 1 may come again", err, errTurn)
		}
		fresh := mustTake(t, turns, place(1, 1), 4)
		if _, err := turns.take(t.Context(), place(3, 1), 3); !errors.Is(err, ErrNotOwner) {
			t.Errorf("take of an ownership that is over = %v, want ErrNotOwner", err)
		}
		old.pass(true) // of an ownership that is over: nothing
		if _, err := turns.take(t.Context(), place(2, 1), 4); !errors.Is(err, errTurn) {
			t.Errorf("take(2) while 1 is being admitted = %v, want %v", err, errTurn)
		}
		fresh.pass(true)
		mustTake(t, turns, place(2, 1), 4).pass(true)
	})
}

func TestTurnsAreBounded(t *testing.T) {
	turns := newTurns()
	for stub := range uint64(maxTurns + 10) {
		mustTake(t, turns, Place{Start: 1, Stub: stub, Number: 1, Base: 1}, 1).pass(true)
	}
	used := 0
	for of := turns.used.after; of != &turns.used; of = of.after {
		used++
	}
	if n := len(turns.byStub); n != maxTurns || used != n {
		t.Errorf("%d stubs are remembered, and %d in the order of use, want %d", n, used, maxTurns)
	}
	// A stub that was forgotten goes on with its base.
	mustTake(t, turns, Place{Start: 1, Stub: 0, Number: 2, Base: 2}, 1).pass(true)
}
