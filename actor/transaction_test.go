package actor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// Conformance case 12
func TestATransactionThatFailsUndoesItsOwnWritesOnly(t *testing.T) {
	broken := errors.New("broken")
	starts := 0
	class := behavior{
		start: func(context.Context, *actor.State) error { starts++; return nil },
		serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
			ctx, st := r.Context(), s.Storage()
			wantErr(t, "Put", st.Put(ctx, "before", []byte("v")), nil)
			err := st.Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
				wantErr(t, "Put", tx.Put(ctx, "outer", []byte("v")), nil)
				wantErr(t, "SetAlarm", tx.SetAlarm(ctx, time.Now().Add(time.Hour)), nil)
				inner := tx.Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
					wantErr(t, "Put", tx.Put(ctx, "before", []byte("changed")), nil)
					wantErr(t, "Put", tx.Put(ctx, "outer", []byte("changed")), nil)
					wantErr(t, "Put", tx.Put(ctx, "inner", []byte("v")), nil)
					wantErr(t, "DeleteAlarm", tx.DeleteAlarm(ctx), nil)
					// What goes through the storage belongs to the transaction too.
					wantErr(t, "Put", st.Put(ctx, "storage", []byte("v")), nil)
					return broken
				})
				if inner != broken { //nolint:errorlint // the very error
					t.Errorf("the inner transaction = %v, want the function's error", inner)
				}
				_, ok, err := tx.Alarm(ctx)
				want(t, "the alarm after the inner transaction", fmt.Sprint(ok, err), "true <nil>")
				return nil
			})
			wantErr(t, "the outer transaction", err, nil)
			err = st.Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
				wantErr(t, "Put", tx.Put(ctx, "outer", []byte("gone")), nil)
				_, err := tx.Delete(ctx, "before")
				wantErr(t, "Delete", err, nil)
				return tx.Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
					return tx.Put(ctx, "inner", []byte("gone with the outer one"))
				})
			})
			wantErr(t, "a nested transaction", err, nil)
			err = st.Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
				wantErr(t, "PutMany", tx.PutMany(ctx, map[string][]byte{"before": []byte("v"), "outer": []byte("v")}), nil)
				_, err := tx.DeleteMany(ctx, []string{"inner"})
				return err
			})
			wantErr(t, "a transaction that is kept", err, nil)
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/")
		for key, want := range map[string]string{"before": "v", "outer": "v", "inner": "-", "storage": "-"} {
			if got := b.stored(key); got != want {
				t.Errorf("stored %s = %q, want %q", key, got, want)
			}
		}
		if _, ok, _ := b.Store().Alarm(b.thing.ID); !ok {
			t.Error("the outer transaction's alarm is not in the Store")
		}
		want(t, "starts", starts, 1)
	})
}

func TestATransactionThatPanicsEndsTheActivation(t *testing.T) {
	class := behavior{serve: routes{
		"/panic": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Storage().Transaction(r.Context(), func(ctx context.Context, tx *actor.Transaction) error {
				_ = tx.Put(ctx, "k", []byte("v"))
				panic("on purpose")
			})
		},
		"/recover": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			func() {
				defer func() { _ = recover() }()
				_ = s.Storage().Transaction(r.Context(), func(ctx context.Context, tx *actor.Transaction) error {
					_ = tx.Put(ctx, "k", []byte("v"))
					panic("on purpose")
				})
			}()
			return s.Storage().Put(r.Context(), "k2", []byte("v"))
		},
		"/value": value,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantFault(b.begin("/panic", ""), "the panicking call")
		b.wantBody(b.begin("/recover", ""), "a call that recovers", "")
		b.wantBody(b.begin("/value?key=k", ""), "the transaction's write", "-")
		b.wantBody(b.begin("/value?key=k2", ""), "the write after it", "v")
	})
}

// Conformance case 13
func TestRollback(t *testing.T) {
	inEvent(t, func(ctx context.Context, s *actor.State) {
		var old *actor.Transaction
		err := s.Storage().Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
			old = tx
			wantErr(t, "Put", tx.Put(ctx, "k", nil), nil)
			tx.Rollback()
			tx.Rollback()
			wantAll(t, "after Rollback", usesOf(ctx, tx), actor.ErrRolledBack)
			return nil
		})
		wantErr(t, "Transaction", err, nil)
		wantAll(t, "after the end", usesOf(ctx, old), actor.ErrRolledBack)
		_, ok, _ := s.Storage().Get(ctx, "k")
		want(t, "what was rolled back is there", ok, false)
		_ = s.Storage().Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
			old = tx
			return tx.Put(ctx, "k", nil)
		})
		wantAll(t, "after a good end", usesOf(ctx, old), actor.ErrRolledBack)
		_, ok, _ = s.Storage().Get(ctx, "k")
		want(t, "what was kept is there", ok, true)
	})
}

func usesOf(ctx context.Context, tx *actor.Transaction) map[string]error {
	errs := make(map[string]error)
	_, _, errs["Get"] = tx.Get(ctx, "k")
	_, errs["GetMany"] = tx.GetMany(ctx, []string{"k"})
	errs["Put"] = tx.Put(ctx, "k", nil)
	errs["PutMany"] = tx.PutMany(ctx, map[string][]byte{"k": nil})
	_, errs["Delete"] = tx.Delete(ctx, "k")
	_, errs["DeleteMany"] = tx.DeleteMany(ctx, []string{"k"})
	_, errs["List"] = tx.List(ctx, actor.ListOptions{})
	_, _, errs["typed Get"] = actor.Get[int](ctx, tx, "k")
	errs["typed Put"] = actor.Put(ctx, tx, "k", 1)
	_, errs["typed List"] = actor.List[int](ctx, tx, actor.ListOptions{})
	_, _, errs["Alarm"] = tx.Alarm(ctx)
	errs["SetAlarm"] = tx.SetAlarm(ctx, time.Now())
	errs["DeleteAlarm"] = tx.DeleteAlarm(ctx)
	errs["Transaction"] = tx.Transaction(ctx, func(context.Context, *actor.Transaction) error { return nil })
	return errs
}

// Transactions of random depth are compared with a map that is copied at each
// begin, while batches of earlier events are committed at any moment.
func TestTransactionsBehaveLikeCopiesOfAMap(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &modelRun{t: t, rng: rand.New(rand.NewPCG(seed, 1)), keys: universe(), m: model{}}
			var f func(ctx context.Context, s *actor.State)
			inBubble(t, scripted(&f), func(b *bubble) {
				for range 30 {
					b.Committer.Hold()
					f = func(ctx context.Context, s *actor.State) {
						r.step(ctx, s.Storage())
						r.transaction(ctx, s, b, 0)
						r.list(ctx, s.Storage(), actor.ListOptions{})
					}
					b.begin("/", "")
					if t.Failed() {
						return
					}
				}
				b.Committer.Release()
				b.Restart()
				f = func(ctx context.Context, s *actor.State) { r.list(ctx, s.Storage(), actor.ListOptions{}) }
				b.get("/")
			})
		})
	}
}

func (r *modelRun) transaction(ctx context.Context, s *actor.State, b *bubble, depth int) {
	before := maps.Clone(r.m)
	undo := r.rng.IntN(3)
	err := s.Storage().Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
		for range r.rng.IntN(5) {
			r.step(ctx, tx)
			if r.rng.IntN(3) == 0 {
				b.Committer.Step(1)
				sleep(time.Millisecond) // the batch of an earlier event is committed meanwhile
			}
			if depth < 3 && r.rng.IntN(3) == 0 {
				r.transaction(ctx, s, b, depth+1)
			}
		}
		switch undo {
		case 0:
			return errors.New("undo")
		case 1:
			tx.Rollback()
		}
		return nil
	})
	want(r.t, "Transaction failed", err != nil, undo == 0)
	if undo < 2 {
		r.m = before
	}
}
