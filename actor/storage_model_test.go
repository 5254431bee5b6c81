package actor_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
)

type model map[string]string

func (m model) list(o actor.ListOptions) []actor.Entry {
	var entries []actor.Entry
	keys := slices.Sorted(maps.Keys(m))
	if o.Reverse {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		inside := key >= o.Start && (o.StartAfter == "" || key > o.StartAfter) && (o.End == "" || key < o.End) && strings.HasPrefix(key, o.Prefix)
		if inside && (o.Limit == 0 || len(entries) < o.Limit) {
			entries = append(entries, actor.Entry{Key: key, Value: []byte(m[key])})
		}
	}
	return entries
}

func universe() []string {
	var keys []string
	for _, a := range []string{"a", "b", "é", "\uFFFD", "😀"} {
		for _, b := range []string{"", "a", "b", "\x00", "\U0010FFFF"} {
			keys = append(keys, a+b)
		}
	}
	return keys
}

func randomOptions(rng *rand.Rand, keys []string) actor.ListOptions {
	pick := func() string {
		if rng.IntN(2) == 0 {
			return ""
		}
		return keys[rng.IntN(len(keys))]
	}
	o := actor.ListOptions{End: pick(), Prefix: pick(), Reverse: rng.IntN(2) == 0}
	if rng.IntN(2) == 0 {
		o.Start = pick()
	} else {
		o.StartAfter = pick()
	}
	if rng.IntN(2) == 0 {
		o.Limit = 1 + rng.IntN(6)
	}
	return o
}

type modelRun struct {
	t    *testing.T
	rng  *rand.Rand
	keys []string
	m    model
}

func (r *modelRun) key() string { return r.keys[r.rng.IntN(len(r.keys))] }

func (r *modelRun) step(ctx context.Context, kv actor.KV) {
	t := r.t
	switch r.rng.IntN(9) {
	case 0, 1:
		key, v := r.key(), fmt.Sprint(r.rng.IntN(1000))
		wantErr(t, "Put", kv.Put(ctx, key, []byte(v)), nil)
		r.m[key] = v
	case 2:
		values := map[string][]byte{}
		for range r.rng.IntN(5) {
			key, v := r.key(), fmt.Sprint(r.rng.IntN(1000))
			values[key], r.m[key] = []byte(v), v
		}
		wantErr(t, "PutMany", kv.PutMany(ctx, values), nil)
	case 3:
		key := r.key()
		_, had := r.m[key]
		existed, err := kv.Delete(ctx, key)
		wantErr(t, "Delete", err, nil)
		want(t, fmt.Sprintf("Delete(%q)", key), existed, had)
		delete(r.m, key)
	case 4:
		keys, had := []string{r.key(), r.key(), r.key()}, 0
		for _, key := range keys {
			if _, ok := r.m[key]; ok {
				had++
				delete(r.m, key)
			}
		}
		n, err := kv.DeleteMany(ctx, keys)
		wantErr(t, "DeleteMany", err, nil)
		want(t, fmt.Sprintf("DeleteMany(%q)", keys), n, had)
	case 5:
		key := r.key()
		v, ok, err := kv.Get(ctx, key)
		wantErr(t, "Get", err, nil)
		wanted, there := r.m[key]
		want(t, fmt.Sprintf("Get(%q)", key), fmt.Sprint(string(v), ok), fmt.Sprint(wanted, there))
	case 6:
		keys := []string{r.key(), r.key(), r.key()}
		got, err := kv.GetMany(ctx, keys)
		wantErr(t, "GetMany", err, nil)
		for _, key := range keys {
			v, ok := got[key]
			wanted, there := r.m[key]
			want(t, fmt.Sprintf("GetMany at %q", key), fmt.Sprint(string(v), ok), fmt.Sprint(wanted, there))
		}
	default:
		r.list(ctx, kv, randomOptions(r.rng, r.keys))
	}
}

func (r *modelRun) list(ctx context.Context, kv actor.KV, o actor.ListOptions) {
	entries, err := kv.List(ctx, o)
	wantErr(r.t, "List", err, nil)
	same := func(a, b actor.Entry) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }
	if wanted := r.m.list(o); !slices.EqualFunc(entries, wanted, same) {
		r.t.Errorf("List(%+v) = %q, want %q", o, entries, wanted)
	}
}

func TestStorageBehavesLikeAMap(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &modelRun{t: t, rng: rand.New(rand.NewPCG(seed, 0)), keys: universe(), m: model{}}
			var f func(ctx context.Context, s *actor.State)
			inBubble(t, scripted(&f), func(b *bubble) {
				for range 40 {
					// A part of the batches stays in the view, the rest gets to the Store.
					switch r.rng.IntN(4) {
					case 0:
						b.Committer.Hold()
					case 1:
						b.Committer.Step(1)
					case 2:
						b.Committer.Release()
					}
					wipe := r.rng.IntN(12) == 0
					f = func(ctx context.Context, s *actor.State) {
						for range r.rng.IntN(6) {
							r.step(ctx, s.Storage())
						}
						if wipe {
							wantErr(t, "DeleteAll", s.Storage().DeleteAll(ctx), nil)
							clear(r.m)
						}
						for range r.rng.IntN(6) {
							r.step(ctx, s.Storage())
						}
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
