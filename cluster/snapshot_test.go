package cluster

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// testSnapshots is the snapshot store of a replica on fs with a state at position.
func testSnapshots(t *testing.T, fs vfs.FS, sm StateMachine, position uint64, f fence) *snapshotStore {
	t.Helper()
	db := testLogDB(t, fs)
	t.Cleanup(func() { _ = db.close() })
	g, err := db.openGroup(2, 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.MkdirAll("snapshots", 0o700); err != nil {
		t.Fatal(err)
	}
	s := &snapshotStore{shard: 2, log: g, spool: &spool{files: fs, dir: "snapshots"}}
	s.fsm = newShardFSM(2, sm, position, f, stub{})
	s.fsm.configured = func(raft.Configuration, uint64) {}
	return s
}

func testServers() raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{
		{ID: "a/00/1", Address: "a"}, {ID: "b/00/2", Address: "b", Suffrage: raft.Nonvoter},
	}}
}

func TestStubStore(t *testing.T) {
	s := testSnapshots(t, vfs.NewMem(), nil, 0, fence{})
	if list, err := s.List(); len(list) != 0 || err != nil {
		t.Fatalf("List of nothing = %v, %v", list, err)
	}
	conf := testServers()
	for _, index := range []uint64{10, 11, 9} {
		sink, err := s.Create(raft.SnapshotVersionMax, index, 3, conf, 4, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := (shardSnapshot{noSync: true}).Persist(sink); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); (err == nil) != (index > 9) {
			t.Errorf("Close of a stub at %d = %v", index, err)
		}
	}
	cancelled, err := s.Create(raft.SnapshotVersionMax, 99, 3, conf, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cancelled.Cancel(); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	want := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, ID: "3-11", Index: 11, Term: 3, Configuration: conf, ConfigurationIndex: 4}
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], want) {
		t.Errorf("List = %+v, %v, want only %+v", list, err, want)
	}
	if _, _, err := s.Open("3-11"); !errors.Is(err, errNoPicture) {
		t.Errorf("Open before the log was replayed = %v, want errNoPicture", err)
	}
	if _, err := s.Create(raft.SnapshotVersionMax+1, 1, 1, conf, 1, nil); !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("Create of a later version = %v, want ErrUnknownVersion", err)
	}
	empty, err := s.Create(raft.SnapshotVersionMax, 99, 3, conf, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := empty.Close(); !errors.Is(err, errNoContent) {
		t.Errorf("Close of a snapshot that nobody declared or wrote = %v, want errNoContent", err)
	}
}

func TestDecodeStub(t *testing.T) {
	const good = `{"version":1,"index":9,"term":2,"servers":[{"id":"a","address":"a","suffrage":0}],"configuration_index":1}`
	if _, err := decodeStub([]byte(good)); err != nil {
		t.Errorf("decodeStub = %v", err)
	}
	for data, want := range map[string]error{
		`{`:             ErrCorrupt,
		`{"version":2}`: ErrUnknownVersion,
		`{"version":1,"index":9,"term":2,"servers":[{"id":"a"}],"size":5}`:                   ErrCorrupt,
		`{"version":1,"index":9,"term":2,"servers":[{"id":"a"}],"received":"0-1"}`:           ErrCorrupt,
		`{"version":1,"index":9,"term":2,"servers":[{"id":"a"}],"received":"0-1","size":-5}`: ErrCorrupt,
		`{"version":1,"index":0,"term":2,"servers":[{"id":"a"}]}`:                            ErrCorrupt,
		`{"version":1,"index":1,"term":2,"servers":[]}`:                                      ErrCorrupt,
		`{"version":1,"index":1,"term":2,"servers":[{"id":"a","suffrage":9}]}`:               ErrCorrupt,
		`{"version":1,"index":1,"term":2,"servers":[{"id":""}]}`:                             ErrCorrupt,
		`{"version":1,"index":1,"term":2,"servers":[{"id":"a"}],"configuration_index":17}`:   ErrCorrupt,
		`{"version":1,"index":"1","term":2,"servers":[{"id":"a"}],"configuration_index":17}`: ErrCorrupt,
	} {
		if _, err := decodeStub([]byte(data)); !errors.Is(err, want) {
			t.Errorf("decodeStub(%s) = %v, want %v", data, err, want)
		}
	}
}

// TestSnapshotsCutTheLog: by entries and by bytes, and a start after that has
// everything.
func TestSnapshotsCutTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(vfs.NewMem(), NewMemoryControl())
		cfg.snapshotEntries = 50
		var failed []error
		cfg.Events.SnapshotTaken = func(_ placement.ShardID, _ uint64, _ time.Duration, err error) {
			if err != nil {
				failed = append(failed, err)
			}
		}
		n := startNode(t, cfg)
		var want []string
		for i := range 220 {
			want = append(want, fmt.Sprint(i))
			if err := n.write(0, want[i]); err != nil {
				t.Fatal(err)
			}
		}
		big := make([]byte, 3<<20)
		for range 6 {
			if err := n.write(1, string(big)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		status := n.Status()
		if s := status.Shards[0]; s.SnapshotIndex < 150 || s.FirstIndex != 0 && s.FirstIndex <= s.SnapshotIndex-50 || s.LastIndex < 220 {
			t.Errorf("shard 0 = %+v, want a snapshot after every 50 entries and the log cut behind it", s)
		}
		if s := status.Shards[1]; s.SnapshotIndex == 0 {
			t.Errorf("shard 1 = %+v, want a snapshot after %d bytes", s, snapshotBytes)
		}
		if s := status.Shards[2]; s.SnapshotIndex != 0 {
			t.Errorf("shard 2 = %+v, want no snapshot of an idle shard", s)
		}
		if len(failed) > 0 {
			t.Errorf("snapshots failed: %v", failed)
		}
		n.stop(t)
		n = startNode(t, cfg)
		defer n.stop(t)
		if err := n.write(0, "more"); err != nil {
			t.Fatal(err)
		}
		if got, err := n.state.list(0); err != nil || !slices.Equal(got, append(want, "more")) {
			t.Errorf("list(0) after a restart = %d batches, %v, want %d", len(got), err, len(want)+1)
		}
	})
}

func TestCheckFit(t *testing.T) {
	for _, tt := range []struct {
		name                        string
		position, stub, first, last uint64
		ok                          bool
	}{
		{"new", 0, 0, 0, 0, true},
		{"nothing applied yet", 0, 0, 1, 5, true},
		{"behind, the log has the rest", 3, 0, 1, 5, true},
		{"all applied", 5, 0, 1, 5, true},
		{"log cut away", 5, 5, 0, 0, true},
		{"log cut in part", 9, 5, 4, 9, true},
		{"state right at the cut", 5, 5, 6, 9, true},
		{"state before its snapshot", 4, 5, 6, 9, false},
		{"state before its snapshot, log has it", 4, 5, 1, 9, false},
		{"log starts after the state", 4, 0, 6, 9, false},
		{"state after the log", 6, 0, 1, 5, false},
		{"state after the snapshot, no log", 6, 5, 0, 0, false},
		{"no log at all", 6, 0, 0, 0, false},
	} {
		err := checkFit(tt.position, tt.stub, tt.first, tt.last)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrDataLoss) {
			t.Errorf("%s: checkFit = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

// TestStateLost: a state directory that is gone is noticed once the log was cut,
// and a log that is gone at once.
func TestStateLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose string
	}{{"state", stateDir}, {"log", logDir}} {
		t.Run(tt.name, func(t *testing.T) {
			fs := vfs.NewMem()
			cfg := testConfig(fs, NewMemoryControl())
			cfg.snapshotEntries = 10
			n := startNode(t, cfg)
			for i := range 40 {
				if err := n.write(0, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			n.group(0).snapshotNow()
			n.stop(t)
			if err := fs.RemoveAll(testDir + "/" + tt.lose); err != nil {
				t.Fatal(err)
			}
			if _, err := tryStart(t, cfg); !errors.Is(err, ErrDataLoss) {
				t.Errorf("start without %s = %v, want ErrDataLoss", tt.lose, err)
			}
		})
	}
}
