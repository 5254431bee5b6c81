package actor

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func openBenchStore(b *testing.B) *Store {
	b.Helper()
	store, err := OpenStore(StoreConfig{Dir: b.TempDir(), ShardOf: func(ID) uint32 { return 0 }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return store
}

func benchObject(n int) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	return id
}

// BenchmarkApply applies counter increments: of one object or of many, one or
// several to a call.
func BenchmarkApply(b *testing.B) {
	for _, objects := range []int{1, 1000} {
		for _, perCall := range []int{1, 32} {
			b.Run(fmt.Sprintf("objects=%d/batches=%d", objects, perCall), func(b *testing.B) {
				store := openBenchStore(b)
				encoded := make([][]byte, objects)
				for i := range encoded {
					encoded[i] = counterBatch(benchObject(i)).Append(nil)
				}
				header := make([]byte, 24)
				batches := make([][]byte, perCall)
				index, at := uint64(0), 0
				b.ReportAllocs()
				for b.Loop() {
					for i := range batches {
						batches[i] = encoded[at%objects]
						at++
					}
					index++
					if err := store.Apply(0, batches, index, header); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(at), "ns/batch")
			})
		}
	}
}

// BenchmarkGet reads keys of 10,000 objects: those that are there, from memory
// and from flushed files, and those that are not.
func BenchmarkGet(b *testing.B) {
	const objects = 10000
	store := openBenchStore(b)
	for i := range objects {
		if err := store.Apply(0, [][]byte{counterBatch(benchObject(i)).Append(nil)}, uint64(i+1), nil); err != nil {
			b.Fatal(err)
		}
	}
	get := func(b *testing.B, key string, want bool) {
		b.Helper()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, ok, err := store.Get(benchObject(i%objects), key); err != nil || ok != want {
				b.Fatal(ok, err)
			}
		}
	}
	b.Run("memory", func(b *testing.B) { get(b, "count", true) })
	if err := store.db.Flush(); err != nil {
		b.Fatal(err)
	}
	b.Run("flushed", func(b *testing.B) { get(b, "count", true) })
	b.Run("absent", func(b *testing.B) { get(b, "other", false) })
}
