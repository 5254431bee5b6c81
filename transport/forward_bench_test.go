//go:build unix

package transport

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// forwardBenchCallers is how many clients the busy case of BenchmarkForward has.
const forwardBenchCallers = 32

// BenchmarkForward measures a small POST that one node forwards to another over
// TLS on loopback: both ends, without the client's connection. cpu-µs/op is the
// processor time of the process, so it holds on a busy machine too.
func BenchmarkForward(b *testing.B) {
	for _, callers := range []int{1, forwardBenchCallers} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			call := newForwardBench(b)
			turns := make(chan struct{})
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range turns {
						call()
					}
				})
			}
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				turns <- struct{}{}
			}
			close(turns)
			wg.Wait()
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N)/1e3, "cpu-µs/op")
		})
	}
}

// newForwardBench gives a function that forwards one call.
func newForwardBench(b *testing.B) func() {
	b.Helper()
	key, err := NewLinkKey(clusterKey(1))
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	ids := actor.NewIDSource([]byte("secret"), "C")
	id, err := ids.Named("x")
	if err != nil {
		b.Fatal(err)
	}
	owner := &funcLocal{ids, func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, `{"value":42}`)
		return err
	}}
	server, link := NewPeerServer(owner, log), NewLink(key, nil, log)
	link.Handle(LinkHTTP, server.Accept)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = link.Serve(listener) })
	wg.Go(func() { _ = server.Serve() })
	peers := NewPeers(func(ctx context.Context, _ string) (net.Conn, error) {
		return link.Dial(ctx, listener.Addr().String(), LinkHTTP)
	})
	b.Cleanup(func() {
		peers.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		if err := link.Close(); err != nil {
			b.Error(err)
		}
		wg.Wait()
	})
	owners := &fixedResolver{owner: Owner{Node: "b"}, ok: true, changed: make(chan struct{})}
	router := NewRouter(&funcLocal{ids: ids}, owners, peers)
	const body = `{"by":1,"reason":"a benchmark"}`
	plain := httptest.NewRequest("POST", "/increment?x=1", nil)
	plain.Header.Set("Content-Type", "application/json")
	plain.Header.Set("User-Agent", "bench/1.0")
	plain.Header.Set("Accept-Encoding", "gzip")
	return func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r := plain.WithContext(ctx)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		w := &countingWriter{header: make(http.Header)}
		if err := router.Dispatch(w, r, actor.Target{Class: "C", ID: id, Name: "x"}, actor.SocketID{}); err != nil || w.bytes != len(`{"value":42}`) {
			b.Errorf("forwarded call = %v with %d bytes", err, w.bytes)
		}
	}
}

// countingWriter is an answer that only its length is kept of.
type countingWriter struct {
	header http.Header
	bytes  int
}

func (w *countingWriter) Header() http.Header { return w.header }

func (w *countingWriter) WriteHeader(int) {}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.bytes += len(p)
	return len(p), nil
}

// processorTime is what the process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
