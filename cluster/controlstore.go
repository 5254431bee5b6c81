package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// ControlStore keeps the log, the votes and the snapshots of the control group.
// What a call has stored is durable when it returns.
type ControlStore interface {
	raft.LogStore
	raft.StableStore
	raft.SnapshotStore
}

// controlSnapshots is how many snapshots of the control group are kept.
const controlSnapshots = 2

// boltLockTimeout bounds the wait for the lock of the control group's file,
// which only a foreign tool can hold: the directory's own lock comes first.
const boltLockTimeout = time.Second

// fileControl is the ControlStore of a real node: one bolt file and snapshot files.
type fileControl struct {
	*raftboltdb.BoltStore
	*raft.FileSnapshotStore
}

// openFileControl opens or makes the store in that directory of the real file
// system, by whatever name fsys knows that.
//
// The library syncs what it writes to its file, but not the entry of a file that it
// makes: a power loss could take a whole control group away that the directory's
// identity, written later, says is there.
func openFileControl(fsys vfs.FS, dir string, log *slog.Logger) (*fileControl, error) {
	path := filepath.Join(dir, "raft.db")
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{Timeout: boltLockTimeout}})
	if err != nil {
		return nil, fmt.Errorf("cluster: open control group in %s: %w: %w", path, ErrCorrupt, err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, controlSnapshots, raftLogger{log: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: open control group in %s: %w", dir, err), bolt.Close())
	}
	if err := syncDirectory(fsys, dir); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	return &fileControl{BoltStore: bolt, FileSnapshotStore: snapshots}, nil
}

// MemoryControl is a ControlStore that lives in memory, for nodes on a memory
// file system. A node that is opened again gets the same one again.
type MemoryControl struct {
	*raft.InmemStore
	*raft.InmemSnapshotStore
}

// NewMemoryControl gives an empty store.
func NewMemoryControl() *MemoryControl {
	return &MemoryControl{InmemStore: raft.NewInmemStore(), InmemSnapshotStore: raft.NewInmemSnapshotStore()}
}
