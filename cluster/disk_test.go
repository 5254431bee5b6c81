package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// faultyFS is a memory file system whose disk can be full, or whose log can fail.
type faultyFS struct {
	vfs.FS

	free   atomic.Uint64
	failed atomic.Pointer[error] // what writes and syncs of the log give
}

func newFaultyFS() *faultyFS {
	f := &faultyFS{FS: vfs.NewMem()}
	f.free.Store(1 << 30)
	return f
}

func (f *faultyFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free.Load(), TotalBytes: 1 << 30}, nil
}

func (f *faultyFS) failWith(err error) { f.failed.Store(&err) }

func (f *faultyFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return faultyFile{File: file, fs: f}, err
}

func (f *faultyFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, category)
	return faultyFile{File: file, fs: f}, err
}

type faultyFile struct {
	vfs.File

	fs *faultyFS
}

func (f faultyFile) fault() error {
	if err := f.fs.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (f faultyFile) Write(data []byte) (int, error) {
	if err := f.fault(); err != nil {
		return 0, err
	}
	return f.File.Write(data)
}

func (f faultyFile) SyncData() error { return errors.Join(f.fault(), f.File.SyncData()) }

func (f faultyFile) Sync() error { return errors.Join(f.fault(), f.File.Sync()) }

// TestDiskFull: below the reserve writes are refused before anything is written,
// reads go on, and writes are taken again when there is room.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFaultyFS()
		cfg := testConfig(fs, NewMemoryControl())
		cfg.MinFreeBytes = 10 << 20
		var mu sync.Mutex
		var events []bool
		cfg.Events.StorageFull = func(full bool, _ uint64) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, full)
		}
		n := startNode(t, cfg)
		defer n.stop(t)
		number, err := n.Ownership(0)
		if err != nil {
			t.Fatal(err)
		}
		fs.free.Store(9 << 20)
		time.Sleep(spaceCheckPeriod + time.Millisecond)
		if got, want := n.Disk(), (Disk{FreeBytes: 1 << 30, SizeBytes: 1 << 30, ReserveBytes: 10 << 20}); got != want {
			t.Errorf("Disk() = %+v before anybody looked again, want %+v", got, want)
		}
		synctest.Wait() // it asked for a look
		if got := n.Disk().FreeBytes; got != 9<<20 {
			t.Errorf("Disk() has %d free bytes after a look, want %d", got, 9<<20)
		}
		// The first batch may come before the look that it asks for.
		_ = n.writeAs(0, number, "perhaps")
		synctest.Wait()
		if err := n.writeAs(0, number, "full"); !errors.Is(err, ErrStorageFull) || !errors.Is(err, ErrRefused) {
			t.Errorf("write to a full disk = %v, want ErrStorageFull", err)
		}
		if now, err := n.Ownership(0); err != nil || now != number {
			t.Errorf("Ownership with a full disk = %d, %v, want %d: reads go on", now, err, number)
		}
		if err := n.Confirm(0, number); err != nil {
			t.Errorf("Confirm with a full disk = %v: reads go on", err)
		}
		if !n.Status().StorageFull {
			t.Error("Status: StorageFull = false")
		}
		fs.free.Store(1 << 30)
		time.Sleep(spaceCheckPeriod + time.Millisecond)
		_ = n.write(0, "asks") // somebody writes, so somebody looks
		synctest.Wait()
		if err := n.write(0, "room"); err != nil {
			t.Errorf("write with room = %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if want := []bool{true, false}; !slices.Equal(events, want) {
			t.Errorf("StorageFull events = %v, want %v", events, want)
		}
		if got, err := n.state.list(0); err != nil || slices.Contains(got, "full") || !slices.Contains(got, "room") {
			t.Errorf("list = %q, %v", got, err)
		}
	})
}

// TestSpaceBetweenLooks: a burst may not eat the reserve before the next look.
func TestSpaceBetweenLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFaultyFS()
		fs.free.Store(110)
		s, err := newSpace(fs, "/", 10, testConfig(nil, nil).Log, &Events{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		if !s.admit(100 / spaceCost) {
			t.Error("admit of what there is room for = false")
		}
		if s.admit(1) {
			t.Error("admit beyond what there is room for = true")
		}
		synctest.Wait()
		if !s.admit(1) {
			t.Error("admit after another look = false")
		}
	})
}

// TestIdleNodeLooksAtNothing: the disk is asked only while somebody writes.
func TestIdleNodeLooksAtNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFaultyFS()
		s, err := newSpace(fs, "/", 10, testConfig(nil, nil).Log, &Events{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		before := s.checked.Load()
		time.Sleep(time.Hour)
		if s.checked.Load() != before {
			t.Error("the disk was asked in an idle hour")
		}
	})
}

// failEnv makes the test binary a node whose disk fails. It holds the data
// directory and, behind a comma, the error number.
const failEnv = "HOLDFAST_TEST_FAIL_DISK"

// fatalExit is the exit code of that process when Fatal was called.
const fatalExit = 7

// TestFailingDisk is no test of its own: TestFailedSyncEndsTheProcess runs it in
// a second process, which never comes to its end.
func TestFailingDisk(t *testing.T) {
	dir, number, ok := strings.Cut(os.Getenv(failEnv), ",")
	if !ok {
		t.Skip("runs only as the second process of TestFailedSyncEndsTheProcess")
	}
	cause, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	fs := newFaultyFS()
	fs.FS = vfs.Default
	n := startNode(t, Config{Dir: dir, Name: "a", Shards: 2, FS: fs, Fatal: func(err error) {
		fmt.Fprintln(os.Stdout, "fatal", err)
		os.Exit(fatalExit) //nolint:forbidigo // this process stands in for main
	}})
	for i := range 20 {
		if err := n.write(0, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	fs.failWith(syscall.Errno(cause))
	fmt.Fprintln(os.Stdout, "acknowledged", n.write(0, "lost"))
}

// TestFailedSyncEndsTheProcess: when a write or sync of the log fails, Fatal is
// called and nothing is acknowledged any more; what was is there in the next life.
func TestFailedSyncEndsTheProcess(t *testing.T) {
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		t.Run(cause.Error(), func(t *testing.T) {
			dir := t.TempDir() + "/data"
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailingDisk$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d", failEnv, dir, int(cause)))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != fatalExit {
				t.Fatalf("the process with the failing disk ended with %v:\n%s", err, out)
			}
			if text := string(out); !strings.Contains(text, "fatal") || !strings.Contains(text, cause.Error()) || strings.Contains(text, "acknowledged") {
				t.Errorf("the process said %q, want the cause %q and no answer", text, cause)
			}
			n := startNode(t, Config{Dir: dir, FS: vfs.Default})
			defer n.stop(t)
			if got, err := n.state.list(0); err != nil || len(got) < 20 {
				t.Errorf("%d of 20 acknowledged batches in the next life, %v", len(got), err)
			}
			if err := n.write(0, "on"); err != nil {
				t.Errorf("write in the next life = %v", err)
			}
		})
	}
}
