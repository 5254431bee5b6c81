package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// Sizes of installRun.
const (
	installOld = 20  // entries that the follower has
	installNew = 300 // last entry of the snapshot
)

// installRun installs a snapshot on a follower whose disk may lose power at any sync.
type installRun struct {
	old, full []string // what the follower's state holds before and after
	stream    []byte
	faults    faults
	noSync    bool // the state machine's Restore does not sync
	disk      *crashFS
}

func installMe() replicaID {
	return replicaID{node: "b", directory: directoryID{2}, number: 2}
}

func installServers() raft.Configuration {
	leader := replicaID{node: "a", directory: directoryID{1}, number: 1}
	return raft.Configuration{Servers: append(leader.configuration().Servers, installMe().configuration().Servers...)}
}

// newInstallRun makes the snapshot out of the state of another replica.
func newInstallRun(t *testing.T, f faults, noSync bool, seed int64) *installRun {
	t.Helper()
	r := &installRun{faults: f, noSync: noSync, disk: newCrashFS(vfs.NewCrashableMem(), seed)}
	source := openTestState(t, vfs.NewMem(), "state")
	defer source.close(t)
	for i := range uint64(installNew) {
		batch := fmt.Sprint("batch ", i+1)
		r.full = append(r.full, batch)
		if i < installOld {
			r.old = append(r.old, batch)
		}
		header := fence{ownership: 1, term: 1, n: i + 1}.append(nil)
		if err := source.Apply(0, [][]byte{[]byte(batch)}, i+1, header); err != nil {
			t.Fatal(err)
		}
	}
	p, err := source.Snapshot(0)
	if err != nil {
		t.Fatal(err)
	}
	var stream sliceWriter
	if _, err := p.WriteTo(&stream); err != nil {
		t.Fatal(err)
	}
	r.stream = stream
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// installNode is the follower's parts without the library.
type installNode struct {
	db        *logDB
	state     *testState
	snapshots *snapshotStore
}

func (r *installRun) open(t *testing.T, fs vfs.FS) (n installNode, err error) {
	t.Helper()
	for _, dir := range []string{"log", "snapshots"} {
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			return n, err
		}
	}
	if err := syncDirectory(fs, "/"); err != nil {
		return n, err
	}
	n.db, err = openLogDB(logDBConfig{
		fs: fs, path: "log", directory: directoryID{2}, create: true, log: slog.New(slog.DiscardHandler),
		events: &Events{}, fatal: func(err error) { panic(err) },
	})
	if err != nil {
		return n, err
	}
	n.state = openTestState(t, fs, "state")
	n.state.restoreNoSync = r.noSync
	log, err := n.db.openGroup(0, installMe().number)
	if err != nil {
		return n, err
	}
	n.snapshots = &snapshotStore{shard: 0, log: log, spool: &spool{files: fs, dir: "snapshots"}, faults: r.faults}
	position, _, err := n.state.Position(0)
	n.snapshots.fsm = newShardFSM(0, n.state, position, fence{}, stub{})
	n.snapshots.fsm.configured = func(raft.Configuration, uint64) {}
	return n, err
}

func (n installNode) close(t *testing.T) {
	t.Helper()
	if err := n.db.close(); err != nil {
		t.Error(err)
	}
	n.state.close(t)
}

// load makes the follower's log and state, and then installs the snapshot in the
// order in which the library does it, while the disk takes pictures.
func (r *installRun) load(t *testing.T) {
	t.Helper()
	n, err := r.open(t, r.disk)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close(t)
	logs := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(installServers())}}
	for i := uint64(2); i <= installOld; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: 1, Data: []byte("entry")})
	}
	if err := n.snapshots.log.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	for i, batch := range r.old {
		if err := n.state.Apply(0, [][]byte{[]byte(batch)}, uint64(i+1), fence{}.append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	n.snapshots.fsm.position.Store(installOld)
	r.disk.crashAt(1, 1000, func() any { return nil }, func() any { return nil })
	sink, err := n.snapshots.Create(raft.SnapshotVersionMax, installNew, 1, installServers(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(r.stream); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	_, content, err := n.snapshots.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	received, err := n.snapshots.log.loadStub(keyReceived)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.snapshots.install(received, content); err != nil {
		t.Fatal(err)
	}
	if err := content.Close(); err != nil {
		t.Fatal(err)
	}
	r.disk.syncing() // the last picture: everything is done
}

// survive starts the replica on what a crash left. It must have the old state and
// log, or the new state and nothing behind it in the log.
func (r *installRun) survive(t *testing.T, fs vfs.FS, done bool) error {
	t.Helper()
	n, err := r.open(t, fs)
	if err != nil {
		return err
	}
	defer n.close(t)
	space, err := newSpace(fs, "/", 0, slog.New(slog.DiscardHandler), &Events{})
	if err != nil {
		return err
	}
	defer space.close()
	g, err := openGroup(groupConfig{
		shard: 0, me: installMe(), db: n.db, spool: n.snapshots.spool, sm: n.state, trans: soloTransport{address: "b"},
		timeout: DefaultHeartbeatTimeout, budget: &budget{limit: maxNodeBytes}, space: space, snapshot: func(*group) {},
		opened: func(*group) {}, snapshotEntries: snapshotEntries, log: slog.New(slog.DiscardHandler), events: &Events{},
	}, raft.Configuration{})
	if err != nil {
		return err
	}
	defer func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}()
	list, err := n.state.list(0)
	if err != nil {
		return err
	}
	status := g.status()
	isNew := slices.Equal(list, r.full) && status.SnapshotIndex == installNew && status.FirstIndex == 0 && status.LastIndex == installNew
	isOld := len(list) <= installOld && slices.Equal(list, r.old[:len(list)]) && status.SnapshotIndex == 0 && status.LastIndex == installOld
	if !isNew && (!isOld || done) {
		return fmt.Errorf("state of %d batches with %+v", len(list), status)
	}
	if names, err := fs.List("snapshots"); err != nil || len(names) > 0 {
		return fmt.Errorf("snapshot files are left: %v, %w", names, err)
	}
	return nil
}

// TestInstallCrash loses power at every sync of an install, and again at every
// sync of the start that finishes it.
func TestInstallCrash(t *testing.T) {
	r := newInstallRun(t, faults{}, false, 1)
	r.load(t)
	pictures := r.disk.taken()
	if len(pictures) < 4 {
		t.Fatalf("%d crash points, want at least those of file, directory, mark, state and log", len(pictures))
	}
	for i, p := range pictures {
		again := newCrashFS(p.fs, int64(i))
		again.crashAt(1, 100, func() any { return nil }, func() any { return nil })
		if err := r.survive(t, again, i == len(pictures)-1); err != nil {
			t.Errorf("crash point %d: %v", i, err)
		}
		for j, p := range again.taken() {
			if err := r.survive(t, p.fs, i == len(pictures)-1); err != nil {
				t.Errorf("crash point %d, then %d: %v", i, j, err)
			}
		}
	}
}

// TestInstallCrashFindsFaults demands that broken variants fail the same checks.
func TestInstallCrashFindsFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults faults
		noSync bool
	}{
		{"the log goes before the state comes", faults{logBeforeState: true}, false},
		{"the state is not synced before the log goes", faults{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// One sync is the decisive one, and what was not synced may survive by chance.
			for seed := range int64(20) {
				r := newInstallRun(t, tt.faults, tt.noSync, seed)
				r.load(t)
				for _, p := range r.disk.taken() {
					if err := r.survive(t, p.fs, false); errors.Is(err, ErrDataLoss) {
						return
					}
				}
			}
			t.Error("no crash point showed the fault")
		})
	}
}

// TestInstallRefusesOld: a snapshot that is late does not set the state back.
func TestInstallRefusesOld(t *testing.T) {
	r := newInstallRun(t, faults{}, false, 1)
	n, err := r.open(t, vfs.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close(t)
	n.snapshots.fsm.position.Store(installNew)
	sink, err := n.snapshots.Create(raft.SnapshotVersionMax, installNew, 1, installServers(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(r.stream); !errors.Is(err, errOldSnapshot) {
		t.Errorf("Write of a snapshot that the state has = %v, want errOldSnapshot", err)
	}
	if err := sink.Cancel(); err != nil {
		t.Error(err)
	}
	// One that was received while the state went on.
	n.snapshots.fsm.position.Store(installOld)
	if sink, err = n.snapshots.Create(raft.SnapshotVersionMax, installNew, 1, installServers(), 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(r.stream); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	n.snapshots.fsm.position.Store(installNew + 5)
	received, err := n.snapshots.log.loadStub(keyReceived)
	if err != nil || received.Index != installNew {
		t.Fatalf("mark = %+v, %v, want one at %d", received, err, installNew)
	}
	if err := n.snapshots.install(received, nil); !errors.Is(err, errOldSnapshot) {
		t.Errorf("install = %v, want errOldSnapshot", err)
	}
	if received, err = n.snapshots.log.loadStub(keyReceived); err != nil || received.Index != 0 {
		t.Errorf("mark after the refusal = %+v, %v, want none", received, err)
	}
}
