package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/objects/history"
)

// crashDisk is a memory disk that notes, at syncs, what a power loss just before
// would leave: all that was synced and nothing else.
type crashDisk struct {
	vfs.FS

	mem *vfs.MemFS

	mu      sync.Mutex // guards the following fields; held while a crash is noted
	every   int        // a crash at every so-manyth sync; 0 = none
	syncs   int
	lies    bool // a sync does nothing and says that it did
	history *history.History
	crashes []crash
}

// crash is what a power loss at one moment leaves, and what clients were told.
type crash struct {
	disk    *vfs.MemFS
	history []history.Op
}

const maxCrashes = 40 // noted in one run

func newCrashDisk() *crashDisk {
	mem := vfs.NewCrashableMem()
	return &crashDisk{FS: mem, mem: mem}
}

func (d *crashDisk) noteCrashes(every int, h *history.History, lies bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.every, d.history, d.lies = every, h, lies
}

// syncing is called before each sync and says whether it shall be done.
func (d *crashDisk) syncing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	if d.every > 0 && d.syncs%d.every == 0 && len(d.crashes) < maxCrashes {
		before := d.history.Copy()
		disk := d.mem.CrashClone(vfs.CrashCloneCfg{})
		d.crashes = append(d.crashes, crash{disk: disk, history: atCrash(before, d.history.Copy())})
	}
	return !d.lies
}

func (d *crashDisk) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return crashFile{File: f, disk: d}, nil
}

func (d *crashDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(d.FS.Create(name, category))
}

func (d *crashDisk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(d.FS.OpenReadWrite(name, category, opts...))
}

func (d *crashDisk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(d.FS.ReuseForWrite(oldname, newname, category))
}

func (d *crashDisk) OpenDir(name string) (vfs.File, error) {
	return d.file(d.FS.OpenDir(name))
}

type crashFile struct {
	vfs.File

	disk *crashDisk
}

func (f crashFile) Sync() error {
	if !f.disk.syncing() {
		return nil
	}
	return f.File.Sync()
}

func (f crashFile) SyncData() error {
	if !f.disk.syncing() {
		return nil
	}
	return f.File.SyncData()
}

func (f crashFile) SyncTo(length int64) (bool, error) {
	if !f.disk.syncing() {
		return true, nil
	}
	return f.File.SyncTo(length)
}

// crashRun is one load on a disk that crashes.
type crashRun struct {
	every  int   // syncs between two crashes
	writes int64 // acknowledged before the load ends
	lies   bool  // the disk forgets what it has synced
	faults func(c actor.Committer, object actor.ID, ownership uint64, batch []byte, done func(error))
}

// run puts a node under load while the disk notes crashes, and then starts a
// node on each of them and compares with what clients were told by then. It also
// compares after the run without a crash. The error is what did not agree.
func (r crashRun) run(t *testing.T) error {
	t.Helper()
	m := newMemMachine(t)
	disk := newCrashDisk()
	m.parts.FS = disk
	if r.faults != nil {
		m.parts.wrapCommitter = func(c actor.Committer) actor.Committer { return faultyCommitter{c, r.faults} }
	}
	m.start()
	h := &history.History{}
	disk.noteCrashes(r.every, h, r.lies)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	loading, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	l := startLoad(loading, t, m.url, m.dial(), h, "crash", r.writes)
	select {
	case <-l.reached:
	case <-l.gone:
	}
	disk.noteCrashes(0, h, r.lies)
	stopLoad()
	errs := []error{l.wait(), checkHistory(ctx, newClient(t, m.dial()), m.url, h.Copy())}
	m.stop()

	m.parts.wrapCommitter = nil
	for i, c := range disk.crashes {
		if err := verifyCrash(ctx, t, m, c); err != nil {
			errs = append(errs, fmt.Errorf("crash %d of %d, after %d writes: %w", i+1, len(disk.crashes), len(c.history), err))
		}
	}
	if len(disk.crashes) == 0 {
		t.Error("no crash was noted: the run shows nothing")
	}
	return errors.Join(errs...)
}

func verifyCrash(ctx context.Context, t *testing.T, m *machine, c crash) error {
	t.Helper()
	m.parts.FS = c.disk
	if err := m.tryStart(); err != nil {
		return err
	}
	return errors.Join(checkHistory(ctx, newClient(t, m.dial()), m.url, c.history), m.tryStop())
}

// A power loss at any sync loses no write that a client was told of.
func TestPowerLoss(t *testing.T) {
	if err := (crashRun{every: 5, writes: 1500}).run(t); err != nil {
		t.Error(err)
	}
}

// tardy acknowledges a batch at once, and commits it when a few more have come.
type tardy struct {
	mu      sync.Mutex // guards the following field
	waiting []func()
}

func (l *tardy) commit(c actor.Committer, object actor.ID, ownership uint64, batch []byte, done func(error)) {
	done(nil)
	const most = 8
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, func() { c.Commit(object, ownership, batch, func(error) {}) })
	if len(l.waiting) > most {
		l.waiting[0]()
		l.waiting = l.waiting[1:]
	}
}

// The test above notices what it is for.
func TestPowerLossCatches(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	type done = func(error)
	broken := map[string]crashRun{
		"a disk that forgets what it synced": {every: 5, writes: 300, lies: true},
		"acknowledged before the commit":     {every: 1, writes: 300, faults: (&tardy{}).commit},
		"acknowledged and never committed, but what comes after it is": {every: 5, writes: 300, faults: func(c actor.Committer, object actor.ID, ownership uint64, batch []byte, done done) {
			if batch[len(batch)-1]%8 == 0 {
				batch = (&actor.Batch{Object: object}).Append(nil)
			}
			c.Commit(object, ownership, batch, done)
		}},
		"committed and called refused": {every: 5, writes: 300, faults: func(c actor.Committer, object actor.ID, ownership uint64, batch []byte, done done) {
			c.Commit(object, ownership, batch, func(err error) {
				if err == nil {
					err = actor.ErrRefused // it was applied, and the caller is told that it was not
				}
				done(err)
			})
		}},
	}
	for name, run := range broken {
		t.Run(name, func(t *testing.T) {
			if err := run.run(t); err == nil {
				t.Error("the checkers found nothing, want an error")
			}
		})
	}
}

// atCrash gives the history of a world that ended at some moment between the two
// copies: only what was acknowledged before counts as acknowledged.
func atCrash(before, after []history.Op) []history.Op {
	world := slices.Clone(after)
	for i := range world {
		if i >= len(before) || !before[i].Acknowledged() {
			world[i].Ended, world[i].Number = time.Time{}, 0
		}
	}
	return world
}
