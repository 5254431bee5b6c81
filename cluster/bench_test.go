package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// BenchmarkPropose measures closed-loop proposals of 200 bytes on the real disk:
// each worker proposes its next batch when the last one is answered. p50 at one
// worker is to be compared with one fdatasync (BenchmarkSync).
func BenchmarkPropose(b *testing.B) {
	for _, shards := range []int{1, 32} {
		for _, workers := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("shards=%d/workers=%d", shards, workers), func(b *testing.B) {
				benchPropose(b, shards, workers)
			})
		}
	}
}

func benchPropose(b *testing.B, shards, workers int) {
	b.Helper()
	node, err := Open(context.Background(), Config{Dir: b.TempDir() + "/data", Name: "bench", Shards: shards})
	if err != nil {
		b.Fatal(err)
	}
	state := openTestState(b, vfs.Default, node.StateDir())
	defer state.close(b)
	defer func() {
		if err := node.Close(); err != nil {
			b.Error(err)
		}
	}()
	if err := node.Start(context.Background(), state); err != nil {
		b.Fatal(err)
	}
	batch := make([]byte, 200)
	latencies := make([][]time.Duration, workers)
	var next, failed atomic.Int64
	var running sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for w := range workers {
		running.Go(func() {
			answer := make(chan error, 1)
			done := func(err error) { answer <- err }
			shard := placement.ShardID(w % shards)
			for next.Add(1) <= int64(b.N) {
				start := time.Now()
				number, err := node.Ownership(shard)
				if err != nil {
					failed.Add(1)
					return
				}
				node.Propose(shard, number, batch, done)
				if err := <-answer; err != nil {
					failed.Add(1)
					return
				}
				latencies[w] = append(latencies[w], time.Since(start))
			}
		})
	}
	running.Wait()
	b.StopTimer()
	if failed.Load() > 0 {
		b.Fatalf("%d workers failed", failed.Load())
	}
	all := slices.Concat(latencies...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkSync is the yardstick: append 256 bytes to a file and fdatasync it.
func BenchmarkSync(b *testing.B) {
	f, err := vfs.Default.Create(b.TempDir()+"/file", vfs.WriteCategoryUnspecified)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 256)
	var latencies []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		latencies = append(latencies, time.Since(start))
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-µs")
}

// BenchmarkStart measures opening a node whose log holds what was written since
// the last snapshots, here nearly as much as may be.
func BenchmarkStart(b *testing.B) {
	cfg := Config{Dir: b.TempDir() + "/data", Name: "bench", FS: vfs.Default}
	n := startNode(b, cfg)
	var running sync.WaitGroup
	for shard := range placement.ShardID(n.Shards()) {
		running.Go(func() {
			for range snapshotEntries/2 - 10 {
				if err := n.write(shard, "a batch of about a hundred bytes, which is what a counter needs, give or take a few bytes more or less"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	for b.Loop() {
		n.stop(b)
		n = startNode(b, cfg)
	}
	b.StopTimer()
	n.stop(b)
}
