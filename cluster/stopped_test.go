package cluster

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// TestStoppedLeaderGivesUp: an owner whose replica stops hands over at once, and
// does not get the leadership back.
func TestStoppedLeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		h := newHistory()
		if err := q.write(h, "before"); err != nil {
			t.Fatal(err)
		}
		at, number := q.owner(-1)
		stopped := q.nodes[at].group.Load()
		q.nodes[at].state.failWith(errors.New("an entry of a later version"))
		start := time.Now()
		stopped.offer(number, []byte("unknown"), func(error) {})
		next, _ := q.owner(at)
		if took := time.Since(start); took > DefaultHeartbeatTimeout/2 {
			t.Errorf("the next owner came after %v: it was elected because the last one was silent", took)
		}
		if s := stopped.status(); s.Stopped == nil || s.Ownership != 0 || s.State != "Follower" {
			t.Errorf("status of the stopped replica = %+v", s)
		}
		id := q.nodes[at].id.serverID()
		start = time.Now()
		if err := q.nodes[next].group.Load().handOver(context.Background(), id); err == nil {
			t.Error("handOver to a stopped replica = nil")
		}
		if took := time.Since(start); took > DefaultHeartbeatTimeout/2 {
			t.Errorf("handOver to a stopped replica took %v: it has tried to be elected", took)
		}
		// It does not stand for election either: it would have to fall silent as leader.
		q.stop(next)
		for range 10 * DefaultHeartbeatTimeout / time.Millisecond {
			if s := stopped.status(); s.State == "Leader" {
				t.Fatalf("status of the stopped replica without the last owner = %+v", s)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// countedLog counts the records of errors.
type countedLog struct {
	slog.Handler

	mu     sync.Mutex // guards the following field
	errors []string
}

func (c *countedLog) Enabled(context.Context, slog.Level) bool { return true }

func (c *countedLog) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Level >= slog.LevelError {
		c.errors = append(c.errors, r.Message)
	}
	return nil
}

func (c *countedLog) WithAttrs([]slog.Attr) slog.Handler { return c }

// TestStoppedReplicaIsVisible: an entry that this version does not know stops its
// shard on the node: it is in Status, in the log once, and no other shard minds.
func TestStoppedReplicaIsVisible(t *testing.T) {
	fs, control := vfs.NewMem(), NewMemoryControl()
	log := &countedLog{Handler: slog.DiscardHandler}
	cfg := testConfig(fs, control)
	cfg.Log = slog.New(log)
	var events int
	cfg.Events.ReplicaStopped = func(placement.ShardID, error) { events++ }
	n := startNode(t, cfg)
	defer n.stop(t)
	unknown := append([]byte{entryVersion + 1}, "whatever it means"...)
	if err := n.group(1).raft.Apply(unknown, 0).Error(); err != nil {
		t.Fatal(err)
	}
	<-n.group(1).ended
	if err := n.write(1, "more"); !errors.Is(err, ErrNotOwner) {
		t.Errorf("write to the stopped shard = %v, want ErrNotOwner", err)
	}
	if err := n.write(2, "more"); err != nil {
		t.Errorf("write to another shard = %v", err)
	}
	for _, s := range n.Status().Shards {
		if (s.Shard == 1) != errors.Is(s.Stopped, ErrUnknownVersion) {
			t.Errorf("shard %d stopped by %v", s.Shard, s.Stopped)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if got := strings.Join(log.errors, ", "); events != 1 || len(log.errors) != 1 {
		t.Errorf("%d events and errors %q, want one of each", events, got)
	}
}

// TestStateWithoutLog: a state whose log is missing may be all that is left of
// acknowledged writes. The node says so and clears nothing.
func TestStateWithoutLog(t *testing.T) {
	fs, control := vfs.NewMem(), NewMemoryControl()
	n := startNode(t, testConfig(fs, control))
	if err := n.write(2, "kept"); err != nil {
		t.Fatal(err)
	}
	number := n.group(2).me.number
	n.stop(t)
	dropLog(t, fs, n, number)
	for range 2 { // the second start finds what the first one has left
		if again, err := tryStart(t, testConfig(fs, control)); !errors.Is(err, ErrDataLoss) {
			if err == nil {
				again.stop(t)
			}
			t.Fatalf("start with a state that has no log = %v, want ErrDataLoss", err)
		}
	}
	state := openTestState(t, fs, n.StateDir())
	defer state.close(t)
	if got, err := state.list(2); err != nil || len(got) != 1 || got[0] != "kept" {
		t.Errorf("the state has %q, %v, want what was acknowledged", got, err)
	}
}

// dropLog takes away the log of one replica of shard 2 from a closed node's disk.
func dropLog(t *testing.T, fs vfs.FS, n *testNode, number uint64) {
	t.Helper()
	db, err := openLogDB(logDBConfig{
		fs: fs, path: n.dir.join(logDir), directory: n.dir.id, log: n.cfg.Log, events: &Events{}, fatal: func(err error) { panic(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.dropReplica(2, number), db.close()); err != nil {
		t.Fatal(err)
	}
}

// TestLostLog is the same where others have what the replica had: it is replaced,
// and only then its state goes.
func TestLostLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		m.three()
		load := m.traffic(m.up()...)
		time.Sleep(5 * time.Second)
		b := m.nodes["b"]
		load.remove(b)
		number := b.group(2).me.number
		was := b.testNode
		b.halt()
		dropLog(t, b.fs, was, number)
		m.run("b", m.join())
		load.add(b)
		m.eventually("b has another replica", 2*time.Minute, func() error {
			if g := b.group(2); g == nil || g.me.number == number {
				return errors.New("b has no new replica of shard 2")
			}
			return m.settled("a", "b", "c")
		})
		load.end(true)
	})
}

// TestSnapshotNeedsRoom: neither a snapshot that is to be sent nor one that is
// received may use up what the node itself needs.
func TestSnapshotNeedsRoom(t *testing.T) {
	fs := newFaultyFS()
	fs.free.Store(1000)
	space, err := newSpace(fs, "/", 100, testConfig(nil, nil).Log, &Events{})
	if err != nil {
		t.Fatal(err)
	}
	defer space.close()
	s := &spool{files: fs, dir: "/", space: space}
	if _, _, err := s.fill("sent", strings.NewReader(strings.Repeat("x", 901))); !errors.Is(err, ErrStorageFull) {
		t.Errorf("fill of more than there is room for = %v, want ErrStorageFull", err)
	}
	names, err := fs.List("/")
	if err != nil || len(names) > 0 {
		t.Errorf("files %q, %v are left", names, err)
	}
	space.setLeft(900)
	file, err := s.create("received")
	if err != nil {
		t.Fatal(err)
	}
	sink := &snapshotSink{store: &snapshotStore{spool: s}, file: file}
	if _, err := sink.Write(make([]byte, 451)); !errors.Is(err, ErrStorageFull) {
		t.Errorf("Write of more than there is room for as a file and as state = %v, want ErrStorageFull", err)
	}
	space.setLeft(900)
	if n, err := sink.Write(make([]byte, 450)); n != 450 || err != nil {
		t.Errorf("Write of what there is room for = %d, %v", n, err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}
