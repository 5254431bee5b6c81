package actor_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// The committer of these benchmarks is memory: what they show is the runtime's own cost.

func benchClass() actor.Class {
	return handler(func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if err := s.Storage().Put(r.Context(), "k", []byte("value")); err != nil {
				fail(w, err)
			}
			return
		}
		value, _, err := s.Storage().Get(r.Context(), "k")
		if err != nil {
			fail(w, err)
			return
		}
		_, _ = w.Write(value)
	})
}

// sink is a ResponseWriter that costs nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func benchDispatch(b *testing.B, method string, objects int) {
	b.Helper()
	node := actortest.New(b, actor.Config{Classes: map[string]actor.Class{"Thing": benchClass()}})
	targets := make([]actor.Target, objects)
	for i := range targets {
		targets[i] = node.Target("Thing", fmt.Sprint(i))
		node.Must(targets[i], http.MethodPost, "/", "")
	}
	r, err := http.NewRequestWithContext(context.Background(), method, "/", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	w := &sink{header: make(http.Header)}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		clear(w.header)
		if err := node.Host.Dispatch(w, r, targets[i%objects], actor.SocketID{}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkRead(b *testing.B)            { benchDispatch(b, http.MethodGet, 1) }
func BenchmarkWrite(b *testing.B)           { benchDispatch(b, http.MethodPost, 1) }
func BenchmarkReadManyObjects(b *testing.B) { benchDispatch(b, http.MethodGet, 1000) }

// BenchmarkCall reports what one call from object to object costs, of a hundred
// in one event, so that the event itself hardly counts.
func BenchmarkCall(b *testing.B) {
	const calls = 100
	asker := handler(func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		ns, err := s.Namespace("Thing")
		if err != nil {
			fail(w, err)
			return
		}
		st, err := ns.Named("callee")
		if err != nil {
			fail(w, err)
			return
		}
		for range calls {
			var resp *http.Response
			inner, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, "/", http.NoBody)
			if resp, err = st.Do(r.Context(), inner); err != nil {
				fail(w, err)
				return
			}
			_ = resp.Body.Close()
		}
	})
	node := actortest.New(b, actor.Config{Classes: map[string]actor.Class{"Thing": benchClass(), "Asker": asker}})
	target := node.Target("Asker", "a")
	b.ReportAllocs()
	for b.Loop() {
		node.Must(target, http.MethodGet, "/", "")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/calls, "ns/call")
}

// BenchmarkIdleActivation reports what an object holds in memory between its calls.
func BenchmarkIdleActivation(b *testing.B) {
	const objects = 20_000
	for _, kind := range []struct{ name, method string }{{"read", http.MethodGet}, {"written", http.MethodPost}} {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				node := actortest.New(b, actor.Config{
					Classes: map[string]actor.Class{"Thing": benchClass()}, IdleTimeout: time.Hour,
				})
				node.Must(node.Target("Thing", "warm"), kind.method, "/", "")
				before := heap()
				for i := range objects {
					node.Must(node.Target("Thing", fmt.Sprint(i)), kind.method, "/", "")
				}
				b.ReportMetric((heap()-before)/objects, "B/object")
				node.Stop()
			}
		})
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
