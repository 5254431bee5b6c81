package cluster

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// crashFS is a crashable memory file system that takes, at chosen syncs, a
// picture of what a power loss just before would have left.
type crashFS struct {
	vfs.FS

	mem *vfs.MemFS

	mu       sync.Mutex // guards the following fields; held while a picture is taken
	rng      *rand.Rand
	every    int // a picture at every so-manyth sync, on average; 0: none
	limit    int // of pictures
	before   func() any
	after    func() any
	pictures []picture
}

// picture is what a crash at one moment leaves, with what was known then.
type picture struct {
	fs     *vfs.MemFS
	before any // was the case before the picture was taken
	after  any // is the case since
}

func newCrashFS(mem *vfs.MemFS, seed int64) *crashFS {
	return &crashFS{FS: mem, mem: mem, rng: rand.New(rand.NewPCG(uint64(seed), 0))}
}

// crashAt begins to take pictures. before and after give what is to be kept with
// each, taken just before and just after it.
func (c *crashFS) crashAt(every, limit int, before, after func() any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.every, c.limit, c.before, c.after = every, limit, before, after
}

func (c *crashFS) syncing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.every == 0 || len(c.pictures) >= c.limit || c.rng.IntN(c.every) != 0 {
		return
	}
	p := picture{before: c.before()}
	p.fs = c.mem.CrashClone(vfs.CrashCloneCfg{})
	// Mostly everything unsynced is gone, sometimes a part of it survives: torn
	// writes. But not entries of a directory without those made before them: file
	// systems with a journal keep that order, and Pebble relies on it.
	if percent := []int{0, 0, 20, 50, 90}[c.rng.IntN(5)]; percent > 0 {
		torn := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng})
		if sameNames(torn, p.fs, "/") || sameNames(torn, c.mem, "/") {
			p.fs = torn
		}
	}
	p.after = c.after()
	c.pictures = append(c.pictures, p)
}

// sameNames says whether two file systems have the same files.
func sameNames(a, b vfs.FS, dir string) bool {
	names, err := a.List(dir)
	if err != nil {
		return true // a file
	}
	others, err := b.List(dir)
	slices.Sort(names)
	slices.Sort(others)
	if err != nil || !slices.Equal(names, others) {
		return false
	}
	for _, name := range names {
		if !sameNames(a, b, a.PathJoin(dir, name)) {
			return false
		}
	}
	return true
}

// taken gives the pictures, and takes no more.
func (c *crashFS) taken() []picture {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.every = 0
	return c.pictures
}

func (c *crashFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return crashFile{File: f, fs: c}, nil
}

// Create and the following make files that report their syncs.
func (c *crashFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return c.wrap(c.FS.Create(name, category))
}

func (c *crashFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return c.wrap(c.FS.OpenReadWrite(name, category, opts...))
}

func (c *crashFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return c.wrap(c.FS.ReuseForWrite(oldname, newname, category))
}

func (c *crashFS) OpenDir(name string) (vfs.File, error) { return c.wrap(c.FS.OpenDir(name)) }

type crashFile struct {
	vfs.File

	fs *crashFS
}

func (f crashFile) Sync() error {
	f.fs.syncing()
	return f.File.Sync()
}

func (f crashFile) SyncData() error {
	f.fs.syncing()
	return f.File.SyncData()
}

func (f crashFile) SyncTo(length int64) (bool, error) {
	f.fs.syncing()
	return f.File.SyncTo(length)
}

// cloneControl copies a control store of which every call was durable.
func cloneControl(from ControlStore) (*MemoryControl, error) {
	to := NewMemoryControl()
	first, err := from.FirstIndex()
	if err != nil {
		return nil, err
	}
	last, err := from.LastIndex()
	if err != nil {
		return nil, err
	}
	for i := first; i > 0 && i <= last; i++ {
		var l raft.Log
		if err := from.GetLog(i, &l); err != nil {
			return nil, err
		}
		if err := to.StoreLog(&l); err != nil {
			return nil, err
		}
	}
	for _, key := range []string{"CurrentTerm", "LastVoteTerm"} {
		value, err := from.GetUint64([]byte(key))
		if err != nil {
			return nil, err
		}
		if err := to.SetUint64([]byte(key), value); err != nil {
			return nil, err
		}
	}
	if value, err := from.Get([]byte("LastVoteCand")); err == nil {
		return to, to.Set([]byte("LastVoteCand"), value)
	}
	return to, nil
}
