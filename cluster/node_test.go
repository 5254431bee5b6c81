package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// TestNodeRealDisk runs a node with all that a real one has: files, raft-boltdb,
// snapshot files; and starts it again.
func TestNodeRealDisk(t *testing.T) {
	cfg := Config{Dir: t.TempDir() + "/a/b", Name: "node-1", FS: vfs.Default}
	n := startNode(t, cfg)
	clusterID, secret := n.ClusterID(), n.IDSecret()
	if len(clusterID) != 32 || len(secret) != 32 || n.Shards() != placement.DefaultShards || n.Name() != "node-1" || n.StartNumber() != 1 {
		t.Fatalf("node = cluster %q, secret of %d bytes, %d shards, name %q, start %d", clusterID, len(secret), n.Shards(), n.Name(), n.StartNumber())
	}
	for shard := range placement.ShardID(n.Shards()) {
		for i := range 3 {
			if err := n.write(shard, fmt.Sprint(shard, "-", i)); err != nil {
				t.Fatalf("write %d to shard %d: %v", i, shard, err)
			}
		}
	}
	before, _ := n.Ownership(7)
	n.stop(t)

	cfg.Name = ""  // the recorded one
	cfg.Shards = 8 // fixed since the cluster was created
	n = startNode(t, cfg)
	defer n.stop(t)
	if n.ClusterID() != clusterID || !slices.Equal(n.IDSecret(), secret) || n.Shards() != placement.DefaultShards || n.Name() != "node-1" || n.StartNumber() != 2 {
		t.Fatalf("second start = cluster %q, %d shards, name %q, start %d, want cluster %q and start 2", n.ClusterID(), n.Shards(), n.Name(), n.StartNumber(), clusterID)
	}
	if after, err := n.Ownership(7); err != nil || after <= before {
		t.Errorf("Ownership(7) after a restart = %d, %v, want more than %d", after, err, before)
	}
	for shard := range placement.ShardID(n.Shards()) {
		want := []string{fmt.Sprint(shard, "-0"), fmt.Sprint(shard, "-1"), fmt.Sprint(shard, "-2")}
		if got, err := n.state.list(uint32(shard)); err != nil || !slices.Equal(got, want) {
			t.Errorf("list(%d) = %q, %v, want %q", shard, got, err, want)
		}
	}
}

// TestNodeBubble runs a node through a day of virtual time.
func TestNodeBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(vfs.NewMem(), NewMemoryControl())
		cfg.HeartbeatTimeout = time.Minute
		n := startNode(t, cfg)
		defer n.stop(t)
		for hour := range 24 {
			number, err := n.Ownership(1)
			if err != nil {
				t.Fatalf("Ownership(1) in hour %d: %v", hour, err)
			}
			if err := n.writeAs(1, number, fmt.Sprint(hour)); err != nil {
				t.Fatalf("write in hour %d: %v", hour, err)
			}
			if err := n.Confirm(1, number); err != nil {
				t.Fatalf("Confirm in hour %d: %v", hour, err)
			}
			time.Sleep(time.Hour)
		}
		got, err := n.state.list(1)
		if err != nil || len(got) != 24 {
			t.Errorf("list(1) = %d batches, %v, want 24", len(got), err)
		}
	})
}

func TestStartIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := startNode(t, testConfig(vfs.NewMem(), NewMemoryControl()))
		defer n.stop(t)
		// The clock moves only when everything waits: for disk and memory it does not.
		if took := time.Since(start); took > 0 {
			t.Errorf("start took %v of virtual time, want none", took)
		}
	})
}

func TestManyWriters(t *testing.T) {
	n := startNode(t, testConfig(vfs.NewMem(), NewMemoryControl()))
	defer n.stop(t)
	histories := make([]*history, n.Shards())
	var running sync.WaitGroup
	for shard := range placement.ShardID(n.Shards()) {
		h := newHistory()
		histories[shard] = h
		running.Go(func() {
			number, err := n.Ownership(shard)
			if err != nil {
				t.Errorf("Ownership(%d): %v", shard, err)
				return
			}
			var answers sync.WaitGroup
			for i := range 2000 {
				batch := fmt.Sprint(shard, "-", i)
				note := h.note(number, batch)
				answers.Add(1)
				n.Propose(shard, number, []byte(batch), func(err error) { note(err); answers.Done() })
			}
			answers.Wait()
		})
	}
	running.Wait()
	for shard, h := range histories {
		got, err := n.state.list(uint32(shard))
		if err != nil || len(got) != 2000 {
			t.Errorf("list(%d) = %d batches, %v, want 2000", shard, len(got), err)
		}
		if err := h.check(got); err != nil {
			t.Errorf("shard %d: %v", shard, err)
		}
	}
}

func TestProposeRefusals(t *testing.T) {
	n := startNode(t, testConfig(vfs.NewMem(), NewMemoryControl()))
	defer n.stop(t)
	number, err := n.Ownership(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		shard     placement.ShardID
		ownership uint64
		batch     []byte
		want      error
	}{
		{"older ownership", 0, number - 1, nil, ErrNotOwner},
		{"later ownership", 0, number + 1, nil, ErrNotOwner},
		{"no ownership", 0, 0, nil, ErrNotOwner},
		{"no such shard", 4, number, nil, ErrNotOwner},
		{"no such shard at all", 1 << 31, number, nil, ErrNotOwner},
		{"too large", 0, number, make([]byte, MaxBatchBytes+1), ErrTooLarge},
		{"largest", 0, number, make([]byte, MaxBatchBytes), nil},
		{"empty", 0, number, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := n.writeAs(tt.shard, tt.ownership, string(tt.batch))
			if !errors.Is(err, tt.want) {
				t.Errorf("Propose = %v, want %v", err, tt.want)
			}
			if tt.want != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("Propose = %v, want an ErrRefused", err)
			}
		})
	}
	if used := n.Status().InFlightBytes; used != 0 {
		t.Errorf("InFlightBytes = %d with nothing in flight", used)
	}
	if got, _ := n.state.list(0); len(got) != 2 {
		t.Errorf("list(0) = %d batches, want the 2 that were not refused", len(got))
	}
}

func TestConfirm(t *testing.T) {
	n := startNode(t, testConfig(vfs.NewMem(), NewMemoryControl()))
	number, err := n.Ownership(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Confirm(2, number); err != nil {
		t.Errorf("Confirm(2, %d) = %v", number, err)
	}
	for _, other := range []uint64{0, number - 1, number + 1} {
		if err := n.Confirm(2, other); !errors.Is(err, ErrNotOwner) {
			t.Errorf("Confirm(2, %d) = %v, want ErrNotOwner", other, err)
		}
	}
	if err := n.Confirm(99, number); !errors.Is(err, ErrNotOwner) {
		t.Errorf("Confirm(99, %d) = %v, want ErrNotOwner", number, err)
	}
	n.stop(t)
	if err := n.Confirm(2, number); !errors.Is(err, ErrNotOwner) {
		t.Errorf("Confirm(2, %d) after Close = %v, want ErrNotOwner", number, err)
	}
	if _, err := n.Ownership(2); !errors.Is(err, ErrNotOwner) {
		t.Errorf("Ownership(2) after Close = %v, want ErrNotOwner", err)
	}
	if err := n.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close = %v, want ErrClosed", err)
	}
	if err := n.Start(context.Background(), n.state); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close = %v, want ErrClosed", err)
	}
}

// TestCloseAnswersAll closes a node under load: what was taken has its answer
// when Close returns, and what was acknowledged is there after the next start.
func TestCloseAnswersAll(t *testing.T) {
	fs, control := vfs.NewMem(), NewMemoryControl()
	cfg := testConfig(fs, control)
	type change struct {
		shard  placement.ShardID
		number uint64
	}
	var mu sync.Mutex
	var changes []change
	cfg.Events.OwnershipChanged = func(shard placement.ShardID, number uint64) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, change{shard, number})
	}
	n := startNode(t, cfg)
	number, err := n.Ownership(0)
	if err != nil {
		t.Fatal(err)
	}
	h := newHistory()
	stop := make(chan struct{})
	slots := make(chan struct{}, 200) // proposals in flight
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case slots <- struct{}{}:
			}
			note := h.note(number, fmt.Sprint(i))
			n.Propose(0, number, []byte(fmt.Sprint(i)), func(err error) { note(err); <-slots })
		}
	})
	for i := range 100 {
		if err := n.writeAs(0, number, fmt.Sprint("x", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	close(stop)
	running.Wait()
	h.mu.Lock()
	if len(h.answers) != len(h.proposed) {
		t.Errorf("%d of %d proposals have an answer after Close", len(h.answers), len(h.proposed))
	}
	h.mu.Unlock()
	mu.Lock()
	var own []change
	for _, c := range changes {
		if c.shard == 0 {
			own = append(own, c)
		}
	}
	mu.Unlock()
	if want := []change{{0, number}, {0, 0}}; !slices.Equal(own, want) {
		t.Errorf("ownership changes of shard 0 = %v, want %v", own, want)
	}
	n.state.close(t)
	n = startNode(t, cfg)
	defer n.stop(t)
	got, err := n.state.list(0)
	if err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(batch string) bool { return batch[0] == 'x' })
	if err := h.check(got); err != nil {
		t.Error(err)
	}
}
