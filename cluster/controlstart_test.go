package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// TestControlConfiguration: every node knows the index of the control group's
// configuration, also when all it has is a snapshot, and a change that was chosen for
// another one is refused.
func TestControlConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		m.three()
		var index uint64
		agree := func() error {
			index = 0
			for _, n := range m.up() {
				now, committed := n.Node.control.configuration()
				if !committed || now == 0 || index != 0 && now != index {
					return fmt.Errorf("%s: configuration %d, committed %v; another node has %d", n.name, now, committed, index)
				}
				index = now
			}
			return nil
		}
		m.eventually("all know the configuration", time.Minute, agree)
		before := index
		for _, name := range []string{"a", "b", "c"} {
			n := m.nodes[name]
			if err := n.Node.control.raft.Snapshot().Error(); err != nil {
				t.Fatalf("snapshot of %s: %v", name, err)
			}
			n.halt()
			m.run(name, m.join())
		}
		m.eventually("all know the configuration again", time.Minute, agree)
		if index != before {
			t.Errorf("the configuration has index %d after the restarts, had %d", index, before)
		}
		changed := errors.New("no leader")
		for _, n := range m.up() {
			c := n.Node.control
			if _, mine := c.leader(); !mine {
				continue
			}
			future, err := changeConfiguration(c.raft, placement.StepRemove, "d/0011223344556677/99", index-1)
			if err != nil {
				t.Fatal(err)
			}
			changed = future.Error()
		}
		if changed == nil || !strings.Contains(changed.Error(), "configuration changed since") {
			t.Errorf("change for an older configuration = %v, want it refused for that", changed)
		}
	})
}

// TestStartWithoutControlMajority starts a node while the control group, all of
// whose other members are cut off, can elect nobody. A shard of which it is the only
// voter is served by it.
func TestStartWithoutControlMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.run("a", Network{})
		m.run("b", m.join())
		m.eventually("two nodes", time.Minute, func() error { return m.settled("a", "b") })
		m.eventually("all are at home", time.Minute, m.atHome)
		m.eventually("their homes alone vote", time.Minute, func() error { return m.settled("a", "b") })
		// With two nodes a alone votes in the control group, and b in the shards whose
		// home it is.
		var homes []placement.ShardID
		for shard := range placement.ShardID(m.shards) {
			if a.Node.control.table().Shards[shard].Wanted[0] == "b" {
				homes = append(homes, shard)
				if err := m.put(shard, "before"); err != nil {
					t.Fatal(err)
				}
			}
		}
		b := m.nodes["b"]
		b.halt()
		a.halt()
		start := time.Now()
		m.run("b", Network{Join: []string{a.address()}})
		if took := time.Since(start); took > lonelyPatience*controlPatience*DefaultHeartbeatTimeout+time.Second {
			t.Errorf("the start without the control group took %v", took)
		}
		for _, shard := range homes {
			if err := m.put(shard, "after"); err != nil {
				t.Errorf("shard %d: %v", shard, err)
			}
			if got, err := b.state.list(uint32(shard)); err != nil || fmt.Sprint(got) != "[before after]" {
				t.Errorf("shard %d has %q, %v", shard, got, err)
			}
		}
		if len(homes) == 0 {
			t.Error("b is home of no shard: the test has looked at nothing")
		}
		m.run("a", m.join())
		m.eventually("two nodes again", time.Minute, func() error { return m.settled("a", "b") })
	})
}

// TestNeverAnOlderTable starts a node whose control group knows less than what the
// node has acted by: it acts by nothing older.
func TestNeverAnOlderTable(t *testing.T) {
	fs := vfs.NewMem()
	n := startNode(t, testConfig(fs, NewMemoryControl()))
	newer := *n.Node.control.table()
	newer.Index += 1000
	newer.Shards = append([]tableShard{}, newer.Shards...)
	newer.Shards[2].Founder = 77 // whatever an older one cannot have
	if err := n.dir.storeTable(&newer); err != nil {
		t.Fatal(err)
	}
	old := n.Node.control.fsm.current()
	acted, err := n.dir.recallTable()
	if err != nil || acted.Index != newer.Index || acted.Shards[2].Founder != 77 {
		t.Fatalf("recallTable = %+v, %v", acted, err)
	}
	c := &control{acted: acted, fsm: &controlFSM{table: old}}
	if got := c.table(); got != acted {
		t.Errorf("table with an older one applied = index %d, want %d", got.Index, acted.Index)
	}
	applied := *old
	applied.Index = acted.Index
	c.fsm.table = &applied
	if got := c.table(); got != &applied {
		t.Errorf("table with one as new applied = index %d of before, want the applied one", got.Index)
	}
	n.stop(t)
	if err := writeFile(fs, n.dir.appliedPath(), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.dir.recallTable(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("recallTable of a damaged file = %v, want ErrCorrupt", err)
	}
}

// TestTableBeforeForm: a snapshot that is taken before the first command keeps where
// the control group is.
func TestTableBeforeForm(t *testing.T) {
	before := &table{Index: 3, Configuration: tableConfiguration{Index: 2, Servers: []stubServer{{ID: "a/0011223344556677/1", Address: "a"}}}}
	data, err := before.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeTable(data); err != nil || !reflect.DeepEqual(got, before) {
		t.Errorf("decodeTable = %+v, %v, want %+v", got, err, before)
	}
}

// syncWatch notes which directories were synced while a file was there.
type syncWatch struct {
	vfs.FS

	file   string
	synced bool
}

func (w *syncWatch) OpenDir(path string) (vfs.File, error) {
	if _, err := w.Stat(w.file); err == nil && path == filepath.Dir(w.file) {
		w.synced = true
	}
	return w.FS.OpenDir(path)
}

// TestControlFileIsDurable: the entry of the control group's file is synced before
// anything relies on the file.
func TestControlFileIsDurable(t *testing.T) {
	dir := t.TempDir()
	watch := &syncWatch{FS: vfs.Default, file: filepath.Join(dir, "raft.db")}
	file, err := openFileControl(watch, dir, testConfig(nil, nil).Log)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if !watch.synced {
		t.Error("the directory was not synced after raft.db was made")
	}
}
