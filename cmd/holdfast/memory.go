package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	memoryLook = time.Second
	// memoryDrain is the part of the memory limit, in percent, beyond which a node
	// drains itself; memoryCollect the part of a container's limit that the garbage
	// collector tries to stay within.
	memoryDrain   = 90
	memoryCollect = 95
	percent       = 100
)

// memoryLimit gives how many bytes the process may take: what GOMEMLIMIT says, or
// else what its container may. 0: there is no limit.
func memoryLimit() uint64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return uint64(max(limit, 1))
	}
	limit := containerLimit(os.ReadFile)
	if limit > 0 {
		debug.SetMemoryLimit(int64(limit / percent * memoryCollect))
	}
	return limit
}

// containerLimit gives the least limit of the process's cgroup and those around
// it, of version 2 or 1. 0: there is none.
func containerLimit(read func(name string) ([]byte, error)) (limit uint64) {
	note := func(file string) {
		text, err := read(file)
		if err != nil {
			return
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
		if err != nil || n >= math.MaxInt64/2 { // "max", or the way of version 1 to say it
			return
		}
		if limit == 0 || n < limit {
			limit = max(n, 1)
		}
	}
	own, _ := read("/proc/self/cgroup") // no file, no limit
	for line := range strings.Lines(string(own)) {
		_, place, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, dir, _ := strings.Cut(place, ":")
		root, file := "/sys/fs/cgroup", "memory.max"
		switch controllers {
		case "":
		case "memory":
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for dir = path.Clean("/" + dir); ; dir = path.Dir(dir) {
			note(path.Join(root, dir, file))
			if dir == "/" {
				break
			}
		}
	}
	return limit
}

// memoryUse gives the bytes that the process needs: without what the garbage
// collector could give back, as far as it found that when it last looked.
func memoryUse() uint64 {
	names := []string{
		"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes",
		"/memory/classes/heap/unused:bytes", "/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes",
	}
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	value := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return samples[i].Value.Uint64()
	}
	objects, live := value(4), value(5)
	rest := value(0) - value(1) - value(2) - value(3) - objects
	return rest + min(objects, live)
}

// memoryWatch tells when the process comes near its memory limit.
type memoryWatch struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// watchMemory looks until close, or until it has told.
func watchMemory(limit uint64, use func() uint64, tell func(reason string)) *memoryWatch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &memoryWatch{cancel: cancel}
	w.running.Go(func() {
		ticker := time.NewTicker(memoryLook)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			if used := use(); used >= limit/percent*memoryDrain {
				tell(fmt.Sprintf("%d of the %d MiB that the process may take are in use", used>>20, limit>>20))
				return
			}
		}
	})
	return w
}

func (w *memoryWatch) close() {
	w.cancel()
	w.running.Wait()
}
