package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// handler makes a class out of a function.
func handler(serve func(state *actor.State, w http.ResponseWriter, r *http.Request)) actor.Class {
	return actor.Class{New: func(_ context.Context, state *actor.State) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(state, w, r) }), nil
	}}
}

func fail(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// count is the smallest class that keeps something.
func count(state *actor.State, w http.ResponseWriter, r *http.Request) {
	n, _, err := actor.Get[int](r.Context(), state.Storage(), "n")
	if err != nil {
		fail(w, err)
		return
	}
	if r.URL.Path == "/increment" {
		n++
		if err := actor.Put(r.Context(), state.Storage(), "n", n); err != nil {
			fail(w, err)
			return
		}
	}
	fmt.Fprint(w, n)
}

func counter(tb testing.TB) (*actortest.Node, actor.Target) {
	tb.Helper()
	node := actortest.New(tb, actor.Config{Classes: map[string]actor.Class{"Counter": handler(count)}})
	return node, node.Target("Counter", "a")
}

// Conformance case 6: a read and a write that follows it need no lock.
func TestParallelIncrementsGiveEachNumberOnce(t *testing.T) {
	node, a := counter(t)
	const calls = 100
	var mu sync.Mutex
	got := make(map[int]int)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			n, err := strconv.Atoi(node.Must(a, "POST", "/increment", ""))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			got[n]++
		})
	}
	wg.Wait()
	for n := 1; n <= calls; n++ {
		if got[n] != 1 {
			t.Errorf("number %d was given %d times, want once", n, got[n])
		}
	}
	node.Restart()
	if n := node.Must(a, "GET", "/", ""); n != "100" {
		t.Errorf("after a restart the counter is %s, want 100", n)
	}
}

func TestARefusedBatchIsARefusalAndLeavesNothing(t *testing.T) {
	node, a := counter(t)
	node.Must(a, "POST", "/increment", "")
	for fate, want := range map[actortest.Fate]error{
		actortest.Refuse:      actor.ErrRefused,
		actortest.LoseDropped: actor.ErrOutcomeUnknown,
	} {
		node.Committer.SetFate(func(*actortest.Commit) actortest.Fate { return fate })
		if _, err := node.Call(a, "POST", "/increment", ""); !errors.Is(err, want) {
			t.Errorf("Call with fate %d = %v, want %v", fate, err, want)
		}
		node.Committer.SetFate(nil)
		node.Committer.NextOwnership()
		if n := node.Must(a, "GET", "/", ""); n != "1" {
			t.Errorf("after fate %d the counter is %s, want 1", fate, n)
		}
	}
}
