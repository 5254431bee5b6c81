package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// memDisk is a disk in memory that loses its power, hangs, or hangs at a moment
// that a test has chosen. Reading never hangs: the page cache has it.
type memDisk struct {
	vfs.FS // never anything but mem

	mem *vfs.MemFS

	mu   sync.Mutex    // guards the following fields
	hung chan struct{} // closed when the disk goes on; nil if it does
	trap *memTrap
}

// memTrap hangs a disk at a sync after a file in a directory was made.
type memTrap struct {
	dir    string
	syncs  int // that pass after the file
	armed  bool
	sprung chan struct{}
}

func newMemDisk() *memDisk { return memDiskOf(vfs.NewCrashableMem()) }

func memDiskOf(mem *vfs.MemFS) *memDisk { return &memDisk{FS: mem, mem: mem} }

// crash gives what a crash now leaves; without power that is what was synced. The
// old disk does not hang any more, so that whoever still uses it comes to an end.
func (d *memDisk) crash(power bool, random *rand.Rand) *memDisk {
	survives := 100
	if power {
		survives = 0
	}
	clone := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: survives, RNG: random})
	d.proceed()
	return memDiskOf(clone)
}

// hang lets whatever changes the disk wait until proceed.
func (d *memDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung == nil {
		d.hung = make(chan struct{})
	}
}

func (d *memDisk) proceed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trap = nil
	if d.hung != nil {
		close(d.hung)
		d.hung = nil
	}
}

// hangAfter has the disk hang when so many syncs have passed since the next file
// was made in a directory of that name. It gives what is closed then.
func (d *memDisk) hangAfter(dir string, syncs int) (sprung <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trap = &memTrap{dir: "/" + dir + "/", syncs: syncs, sprung: make(chan struct{})}
	return d.trap.sprung
}

// change waits until the disk does not hang.
func (d *memDisk) change() {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if hung != nil {
		<-hung
	}
}

// created arms the trap if that is the file.
func (d *memDisk) created(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trap != nil && strings.Contains(name, d.trap.dir) {
		d.trap.armed = true
	}
}

// syncing is a sync that is about to be made.
func (d *memDisk) syncing() {
	d.mu.Lock()
	if t := d.trap; t != nil && t.armed {
		if t.syncs--; t.syncs < 0 {
			d.trap, d.hung = nil, make(chan struct{})
			close(t.sprung)
		}
	}
	d.mu.Unlock()
	d.change()
}

func (d *memDisk) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return memDiskFile{f, d}, nil
}

// Create implements vfs.FS, as do all that follow.
func (d *memDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	d.created(name)
	d.change()
	return d.file(d.FS.Create(name, category))
}

func (d *memDisk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	d.change()
	return d.file(d.FS.OpenReadWrite(name, category, opts...))
}

func (d *memDisk) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	d.change()
	return d.file(d.FS.ReuseForWrite(from, to, category))
}

func (d *memDisk) OpenDir(name string) (vfs.File, error) { return d.file(d.FS.OpenDir(name)) }

func (d *memDisk) Link(from, to string) error {
	d.change()
	return d.FS.Link(from, to)
}

func (d *memDisk) Rename(from, to string) error {
	d.change()
	return d.FS.Rename(from, to)
}

func (d *memDisk) Remove(name string) error {
	d.change()
	return d.FS.Remove(name)
}

func (d *memDisk) RemoveAll(name string) error {
	d.change()
	return d.FS.RemoveAll(name)
}

func (d *memDisk) MkdirAll(name string, mode os.FileMode) error {
	d.change()
	return d.FS.MkdirAll(name, mode)
}

// memDiskFile is a file or directory of a memDisk that can be changed.
type memDiskFile struct {
	vfs.File

	disk *memDisk
}

func (f memDiskFile) Write(data []byte) (int, error) {
	f.disk.change()
	return f.File.Write(data)
}

func (f memDiskFile) WriteAt(data []byte, offset int64) (int, error) {
	f.disk.change()
	return f.File.WriteAt(data, offset)
}

func (f memDiskFile) Sync() error {
	f.disk.syncing()
	return f.File.Sync()
}

func (f memDiskFile) SyncData() error {
	f.disk.syncing()
	return f.File.SyncData()
}

func (f memDiskFile) SyncTo(length int64) (bool, error) {
	f.disk.syncing()
	return f.File.SyncTo(length)
}

// A disk that hangs lets nobody write or sync until it goes on or is given up.
func TestMemDiskHangs(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(*memDisk)
	}{
		{"goes on", (*memDisk).proceed},
		{"is given up", func(d *memDisk) { d.crash(true, nil) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newMemDisk()
				f, err := d.Create("f", vfs.WriteCategoryUnspecified)
				if err != nil {
					t.Fatal(err)
				}
				d.hang()
				begun := time.Now()
				time.AfterFunc(time.Second, func() { end.do(d) })
				if _, err := f.Write([]byte("x")); err != nil || time.Since(begun) != time.Second {
					t.Errorf("Write() = %v after %v, want no error after a second", err, time.Since(begun))
				}
			})
		})
	}
}

// A trap hangs the disk at the sync that it was set for, and not before its file
// is made; what was synced by then survives a power loss.
func TestMemDiskTrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk()
		sprung := d.hangAfter("here", 1)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		write := func(name string) {
			f, err := d.Create(name, vfs.WriteCategoryUnspecified)
			must(err)
			must(f.Sync())
			must(f.Close())
			root, err := d.OpenDir("/")
			must(err)
			must(root.Sync())
			must(root.Close())
		}
		must(d.MkdirAll("/here", 0o700))
		write("/before")
		select {
		case <-sprung:
			t.Fatal("the trap is sprung by a file elsewhere")
		default:
		}
		var after *memDisk
		go func() {
			<-sprung
			after = d.crash(true, nil)
		}()
		write("/here/x")
		write("/later")
		synctest.Wait()
		names, err := after.List("/")
		if slices.Sort(names); err != nil || !slices.Equal(names, []string{"before", "here"}) {
			t.Errorf("List() = %q, %v, want what was synced before the trap", names, err)
		}
	})
}
