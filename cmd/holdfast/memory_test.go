package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestContainerLimit(t *testing.T) {
	const gib = 1 << 30
	for name, tc := range map[string]struct {
		files map[string]string
		want  uint64
	}{
		"no cgroup":           {nil, 0},
		"no limit":            {map[string]string{"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"}, 0},
		"a container":         {map[string]string{"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "1073741824\n"}, gib},
		"a service":           {map[string]string{"/proc/self/cgroup": "0::/a.slice/b.service\n", "/sys/fs/cgroup/a.slice/b.service/memory.max": "1073741824\n"}, gib},
		"the slice around it": {map[string]string{"/proc/self/cgroup": "0::/a.slice/b.service\n", "/sys/fs/cgroup/a.slice/b.service/memory.max": "max\n", "/sys/fs/cgroup/a.slice/memory.max": "1073741824\n"}, gib},
		"version 1":           {map[string]string{"/proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/1\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, gib},
		"version 1, no limit": {map[string]string{"/proc/self/cgroup": "4:memory:/\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"something else":      {map[string]string{"/proc/self/cgroup": "nonsense", "/sys/fs/cgroup/memory.max": "-5"}, 0},
	} {
		got := containerLimit(func(file string) ([]byte, error) {
			if text, ok := tc.files[file]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		if got != tc.want {
			t.Errorf("%s: containerLimit = %d, want %d", name, got, tc.want)
		}
	}
}

func TestMemoryUse(t *testing.T) {
	if used := memoryUse(); used < 1<<20 || used > 1<<40 {
		t.Errorf("memoryUse() = %d, want what a test may take", used)
	}
}

// TestANodeThatIsNotWellDrainsItself: once, whatever else is wrong with it.
func TestANodeThatIsNotWellDrainsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var drains, used atomic.Int64
		a := &ailing{log: slog.New(slog.DiscardHandler), drain: func(context.Context) error { drains.Add(1); return errors.New("no other node") }}
		w := watchMemory(1000, func() uint64 { return uint64(used.Load()) }, a.begin)
		used.Store(899)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := drains.Load(); n != 0 || a.why() != "" {
			t.Errorf("below 90 %%: %d drains, %q, want none", n, a.why())
		}
		used.Store(900)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := drains.Load(); n != 1 || a.why() == "" {
			t.Errorf("at 90 %%: %d drains, %q, want one and why", n, a.why())
		}
		a.begin("handlers do not end")
		w.close()
		a.close()
		if n := drains.Load(); n != 1 {
			t.Errorf("%d drains, want one", n)
		}
	})
}
