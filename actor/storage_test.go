package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// inEvent runs f as the one event of an object. f must not call t.Fatal.

func inEvent(t *testing.T, f func(ctx context.Context, s *actor.State)) {
	t.Helper()
	inBubble(t, scripted(&f), func(b *bubble) { b.get("/") })
}

// scripted is a class whose calls run *f, which a test may change between calls.

func scripted(f *func(ctx context.Context, s *actor.State)) actor.Class {
	return behavior{serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) { (*f)(r.Context(), s) }}.class()
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// Conformance case 18

func TestLimitsOfStorage(t *testing.T) {
	keys := func(n int) (keys []string, values map[string][]byte) {
		values = make(map[string][]byte, n)
		for i := range n {
			keys = append(keys, fmt.Sprint(i))
			values[keys[i]] = []byte("v")
		}
		return keys, values
	}
	long := strings.Repeat("k", actor.MaxKeyBytes)
	large := make([]byte, actor.MaxValueBytes)
	inEvent(t, func(ctx context.Context, s *actor.State) {
		st := s.Storage()
		wantErr(t, "Put of the longest key", st.Put(ctx, long, nil), nil)
		wantErr(t, "Put of the largest value", st.Put(ctx, "large", large), nil)
		many, values := keys(actor.MaxKeysPerCall)
		wantErr(t, "PutMany of 128", st.PutMany(ctx, values), nil)
		got, err := st.GetMany(ctx, many)
		wantErr(t, "GetMany of 128", err, nil)
		want(t, "the number of keys that GetMany of 128 gives", len(got), 128)
		n, err := st.DeleteMany(ctx, many)
		wantErr(t, "DeleteMany of 128", err, nil)
		want(t, "DeleteMany of 128", n, 128)

		before, _ := st.List(ctx, actor.ListOptions{})
		for what, key := range map[string]string{"a key that is too long": long + "k", "an empty key": "", "a key that is not UTF-8": "\xff"} {
			_, _, err := st.Get(ctx, key)
			wantErr(t, "Get of "+what, err, actor.ErrKey)
			_, err = st.GetMany(ctx, []string{"k", key})
			wantErr(t, "GetMany of "+what, err, actor.ErrKey)
			wantErr(t, "Put of "+what, st.Put(ctx, key, nil), actor.ErrKey)
			wantErr(t, "PutMany of "+what, st.PutMany(ctx, map[string][]byte{"new": nil, key: nil}), actor.ErrKey)
			_, err = st.Delete(ctx, key)
			wantErr(t, "Delete of "+what, err, actor.ErrKey)
			_, err = st.DeleteMany(ctx, []string{"large", key})
			wantErr(t, "DeleteMany of "+what, err, actor.ErrKey)
		}
		larger := append(large, 0)
		wantErr(t, "Put of a value that is too large", st.Put(ctx, "new", larger), actor.ErrValueTooLarge)
		wantErr(t, "PutMany of it", st.PutMany(ctx, map[string][]byte{"new": nil, "other": larger}), actor.ErrValueTooLarge)
		many, values = keys(actor.MaxKeysPerCall + 1)
		_, err = st.GetMany(ctx, many)
		wantErr(t, "GetMany of 129", err, actor.ErrTooManyKeys)
		wantErr(t, "PutMany of 129", st.PutMany(ctx, values), actor.ErrTooManyKeys)
		_, err = st.DeleteMany(ctx, many)
		wantErr(t, "DeleteMany of 129", err, actor.ErrTooManyKeys)
		after, _ := st.List(ctx, actor.ListOptions{})
		want(t, "the number of keys after what failed", len(after), len(before))
	})
}

func TestABatchHasABound(t *testing.T) {
	const mib = 1 << 20
	var f func(ctx context.Context, s *actor.State)
	inBubble(t, scripted(&f), func(b *bubble) {
		f = func(ctx context.Context, s *actor.State) {
			st := s.Storage()
			for i := range 15 {
				wantErr(t, "Put of 1 MiB", st.Put(ctx, fmt.Sprint(i), make([]byte, mib)), nil)
			}
			wantErr(t, "Put beyond 16 MiB", st.Put(ctx, "new", make([]byte, mib)), actor.ErrBatchTooLarge)
			wantErr(t, "PutMany beyond 16 MiB", st.PutMany(ctx, map[string][]byte{"new": nil, "new2": make([]byte, mib)}), actor.ErrBatchTooLarge)
			_, ok, err := st.Get(ctx, "new")
			wantErr(t, "Get", err, nil)
			want(t, "what did not fit is there", ok, false)
			wantErr(t, "Put of the same key again", st.Put(ctx, "0", make([]byte, mib)), nil)
			wantErr(t, "Put of something small", st.Put(ctx, "small", nil), nil)
			err = st.Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
				wantErr(t, "Put that takes the place of another", tx.Put(ctx, "1", make([]byte, mib+mib/2)), nil)
				wantErr(t, "Put beyond 16 MiB", tx.Put(ctx, "2", make([]byte, mib+mib/2)), actor.ErrBatchTooLarge)
				return errors.New("roll back")
			})
			want(t, "Transaction failed", err != nil, true)
			wantErr(t, "Put after the rollback", st.Put(ctx, "2", make([]byte, mib+mib/2)), nil)
			wantErr(t, "Sync", st.Sync(ctx), nil)
			wantErr(t, "Put after a sync", st.Put(ctx, "new", make([]byte, mib)), nil)
		}
		b.get("/")
		f = func(ctx context.Context, s *actor.State) {
			// What the batch's parts add to keys and values counts too: many small keys.
			st := s.Storage()
			var err error
			for i := range 7 {
				wantErr(t, "Put of 2 MiB", st.Put(ctx, fmt.Sprint(i), make([]byte, 2*mib-1)), nil)
			}
			n := 0
			for ; err == nil && n < 2_000_000; n++ {
				err = st.Put(ctx, fmt.Sprintf("%07d", n), nil)
			}
			wantErr(t, "Put of many small keys", err, actor.ErrBatchTooLarge)
			wantErr(t, "DeleteAll", st.DeleteAll(ctx), nil)
			wantErr(t, "Put after DeleteAll", st.Put(ctx, "k", nil), nil)
		}
		b.get("/")
	})
}

// Conformance case 14

func TestKeysAreOrderedByTheirBytes(t *testing.T) {
	order := []string{"a", "é", "\uFFFD", "😀"}
	var f func(ctx context.Context, s *actor.State)
	check := func(ctx context.Context, s *actor.State) {
		for _, reverse := range []bool{false, true} {
			entries, err := s.Storage().List(ctx, actor.ListOptions{Reverse: reverse})
			wantErr(t, "List", err, nil)
			var got []string
			for _, e := range entries {
				got = append(got, e.Key)
			}
			if reverse {
				slices.Reverse(got)
			}
			if !slices.Equal(got, order) {
				t.Errorf("List, reverse %t: %q, want %q", reverse, got, order)
			}
		}
	}
	inBubble(t, scripted(&f), func(b *bubble) {
		b.Committer.Hold()
		f = func(ctx context.Context, s *actor.State) {
			for _, i := range []int{2, 0, 3, 1} {
				wantErr(t, "Put", s.Storage().Put(ctx, order[i], nil), nil)
			}
			check(ctx, s)
		}
		b.begin("/", "")
		f = check
		c := b.begin("/", "")
		b.Committer.Release()
		b.wantBody(c, "the list before the commit", "")
		b.get("/")
		b.Restart()
		b.get("/")
	})
}

// model is what an object's storage must look like: a plain map.

// universe gives the few keys that the property tests use, so that they meet often.

// kv is what the property tests drive: Storage or Transaction.

// step does one random thing to the storage and to the model, and compares what is seen.

// Conformance case 15

// Conformance case 15

func TestListRefusesContradictions(t *testing.T) {
	inEvent(t, func(ctx context.Context, s *actor.State) {
		for _, o := range []actor.ListOptions{{Start: "a", StartAfter: "a"}, {Limit: -1}} {
			_, err := s.Storage().List(ctx, o)
			wantErr(t, fmt.Sprintf("List(%+v)", o), err, actor.ErrListOptions)
			_, err = actor.List[int](ctx, s.Storage(), o)
			wantErr(t, fmt.Sprintf("typed List(%+v)", o), err, actor.ErrListOptions)
		}
	})
}

func TestAListHasABound(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	var f func(ctx context.Context, s *actor.State)
	inBubble(t, scripted(&f), func(b *bubble) {
		f = func(ctx context.Context, s *actor.State) {
			for i := range 6 {
				_ = s.Storage().Put(ctx, fmt.Sprintf("%d-%s", time.Now().UnixNano(), fmt.Sprint(i)), make([]byte, actor.MaxValueBytes))
			}
		}
		for range 6 {
			pass(1)
			b.get("/")
		}
		f = func(ctx context.Context, s *actor.State) {
			_, err := s.Storage().List(ctx, actor.ListOptions{})
			wantErr(t, "List of 72 MiB", err, actor.ErrListTooLarge)
			entries, err := s.Storage().List(ctx, actor.ListOptions{Limit: 30})
			wantErr(t, "List of 60 MiB", err, nil)
			want(t, "the length of the list", len(entries), 30)
		}
		b.get("/")
	})
}

// Conformance case 23. In Go DeleteAll deletes the alarm too, as the original

// does from 2026-02-24 on, and is refused in a transaction.

func TestDeleteAllTakesTheAlarm(t *testing.T) {
	var f func(ctx context.Context, s *actor.State)
	inBubble(t, scripted(&f), func(b *bubble) {
		f = func(ctx context.Context, s *actor.State) {
			st := s.Storage()
			wantErr(t, "Put", st.Put(ctx, "k", nil), nil)
			wantErr(t, "SetAlarm", st.SetAlarm(ctx, time.Now().Add(time.Hour)), nil)
		}
		b.get("/")
		f = func(ctx context.Context, s *actor.State) {
			st := s.Storage()
			wantErr(t, "Put", st.Put(ctx, "before", nil), nil)
			_ = st.Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
				wantErr(t, "DeleteAll in a transaction", tx.DeleteAll(ctx), actor.ErrInTransaction)
				return nil
			})
			wantErr(t, "DeleteAll", st.DeleteAll(ctx), nil)
			_, ok, err := st.Alarm(ctx)
			wantErr(t, "Alarm", err, nil)
			want(t, "the alarm is there", ok, false)
			wantErr(t, "Put", st.Put(ctx, "after", nil), nil)
		}
		b.get("/")
		for i, want := range map[string]string{"k": "-", "before": "-", "after": ""} {
			if got := b.stored(i); got != want {
				t.Errorf("stored %s = %q, want %q", i, got, want)
			}
		}
		if _, ok, _ := b.Store().Alarm(b.thing.ID); ok {
			t.Error("the alarm is in the Store")
		}
		f = func(ctx context.Context, s *actor.State) {
			st := s.Storage()
			wantErr(t, "DeleteAll", st.DeleteAll(ctx), nil)
			wantErr(t, "SetAlarm after DeleteAll", st.SetAlarm(ctx, time.Now().Add(time.Hour)), nil)
		}
		b.get("/")
		if _, ok, _ := b.Store().Alarm(b.thing.ID); !ok {
			t.Error("an alarm that was set after DeleteAll is not in the Store")
		}
	})
}

func TestValuesAreCopies(t *testing.T) {
	type item struct{ Tags []string }
	var f func(ctx context.Context, s *actor.State)
	inBubble(t, scripted(&f), func(b *bubble) {
		check := func(ctx context.Context, s *actor.State) {
			st := s.Storage()
			raw, _, err := st.Get(ctx, "raw")
			wantErr(t, "Get", err, nil)
			want(t, "raw", string(raw), "abc")
			raw[0] = 'X'
			many, _ := st.GetMany(ctx, []string{"raw"})
			want(t, "raw by GetMany", string(many["raw"]), "abc")
			many["raw"][0] = 'X'
			list, _ := st.List(ctx, actor.ListOptions{Prefix: "raw"})
			want(t, "raw by List", string(list[0].Value), "abc")
			list[0].Value[0] = 'X'
			raw, _, _ = st.Get(ctx, "raw")
			want(t, "raw after its copies were changed", string(raw), "abc")

			typed, ok, err := actor.Get[item](ctx, st, "typed")
			wantErr(t, "typed Get", err, nil)
			want(t, "typed", fmt.Sprint(typed.Tags, ok), "[a <b>] true")
			entries, err := actor.List[item](ctx, st, actor.ListOptions{Prefix: "typed"})
			wantErr(t, "typed List", err, nil)
			want(t, "typed List", fmt.Sprint(entries), "[{typed {[a <b>]}}]")
			_, ok, err = actor.Get[item](ctx, st, "none")
			want(t, "typed Get of nothing", fmt.Sprint(ok, err), "false <nil>")
			_, _, err = actor.Get[item](ctx, st, "raw")
			wantErr(t, "typed Get of raw bytes", err, actor.ErrEncoding)
			_, err = actor.List[item](ctx, st, actor.ListOptions{})
			wantErr(t, "typed List of raw bytes", err, actor.ErrEncoding)
			_, _, err = actor.Get[int](ctx, st, "typed")
			want(t, "typed Get of another type fails", err != nil, true)
		}
		f = func(ctx context.Context, s *actor.State) {
			st := s.Storage()
			raw, tags := []byte("abc"), item{[]string{"a", "<b>"}}
			wantErr(t, "Put", st.Put(ctx, "raw", raw), nil)
			wantErr(t, "typed Put", actor.Put(ctx, st, "typed", tags), nil)
			raw[0], tags.Tags[0] = 'X', "X"
			want(t, "Put of what JSON cannot say fails", actor.Put(ctx, st, "bad", func() {}) != nil, true)
			check(ctx, s)
		}
		b.Committer.Hold()
		b.begin("/", "")
		f = check
		c := b.begin("/", "")
		b.Committer.Release()
		b.wantBody(c, "the check before the commit", "")
		b.get("/")
		b.Restart()
		b.get("/")
	})
}
