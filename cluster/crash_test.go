package cluster

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// crashRun is a node on a crashable file system with one client for each shard.
type crashRun struct {
	cfg       Config
	fs        *crashFS
	histories []*history
	round     int
}

// crashPoint is what was known at the moment of a picture.
type crashPoint struct {
	histories []*history
}

func newCrashRun(seed int64, f faults) *crashRun {
	r := &crashRun{fs: newCrashFS(vfs.NewCrashableMem(), seed)}
	r.cfg = testConfig(r.fs, NewMemoryControl())
	r.cfg.snapshotEntries = 10 // so that a run takes many snapshots
	r.cfg.faults = f
	for range r.cfg.Shards {
		r.histories = append(r.histories, newHistory())
	}
	return r
}

// load starts the node, has every client propose its batches, a few at a time,
// and stops the node. Pictures are taken at about one of every syncs.
func (r *crashRun) load(t *testing.T, batches, every, limit int) {
	t.Helper()
	r.fs.crashAt(every, limit,
		func() any {
			point := crashPoint{}
			for _, h := range r.histories {
				point.histories = append(point.histories, h.copy())
			}
			return point
		},
		func() any {
			// A crash comes at one moment for all: what the control group has had
			// since the picture does no harm, what it lost would.
			control, err := cloneControl(r.cfg.Control)
			if err != nil {
				panic(err)
			}
			return control
		})
	n := startNode(t, r.cfg)
	r.round++
	var running sync.WaitGroup
	for shard := range placement.ShardID(n.Shards()) {
		running.Go(func() { r.client(n, shard, batches) })
	}
	running.Wait()
	n.stop(t)
}

func (r *crashRun) client(n *testNode, shard placement.ShardID, batches int) {
	slots := make(chan struct{}, 8)
	for i := range batches {
		number, err := n.Ownership(shard)
		if err != nil {
			continue // between two ownerships
		}
		slots <- struct{}{}
		batch := fmt.Sprintf("%d/%d/%d/%s", r.round, shard, i, strings.Repeat("x", i%300))
		note := r.histories[shard].note(number, batch)
		n.Propose(shard, number, []byte(batch), func(err error) { note(err); <-slots })
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
}

// survive starts a node on what the crash left and checks every shard against
// what its client knew. It gives the run that goes on from there.
func (r *crashRun) survive(t *testing.T, p picture, seed int64) (*crashRun, error) {
	t.Helper()
	point := p.before.(crashPoint)
	next := &crashRun{fs: newCrashFS(p.fs, seed), histories: point.histories, round: r.round, cfg: r.cfg}
	next.cfg.FS, next.cfg.Control = next.fs, p.after.(*MemoryControl)
	n, err := tryStart(t, next.cfg)
	if err != nil {
		return nil, fmt.Errorf("start after the crash: %w", err)
	}
	defer n.stop(t)
	// What was proposed since the history was copied and before the picture may
	// be there, too: the client's later history knows it.
	for shard, h := range point.histories {
		state, err := n.state.list(uint32(shard))
		if err != nil {
			return nil, err
		}
		known := h.copy()
		known.proposed = r.histories[shard].copy().proposed
		if err := known.check(state); err != nil {
			return nil, fmt.Errorf("shard %d: %w", shard, err)
		}
		h.proposed = known.proposed
	}
	return next, nil
}

// TestCrash loses power at many moments of a run, and again while the survivor
// works on: every acknowledged proposal is there, once and in order.
func TestCrash(t *testing.T) {
	points := 60
	if testing.Short() {
		points = 12
	}
	first := newCrashRun(1, faults{})
	first.load(t, 400, 2, points)
	pictures := first.fs.taken()
	if len(pictures) < points/4 { // how many syncs a run takes is up to the scheduler
		t.Fatalf("%d crash points in the first run, want at least %d", len(pictures), points/4)
	}
	for i, p := range pictures {
		next, err := first.survive(t, p, int64(i))
		if err != nil {
			t.Errorf("crash point %d: %v", i, err)
			continue
		}
		if i%4 != 0 {
			continue
		}
		next.load(t, 100, 10, 3)
		for j, p := range next.fs.taken() {
			if _, err := next.survive(t, p, int64(100*i+j)); err != nil {
				t.Errorf("crash point %d, then %d: %v", i, j, err)
			}
		}
	}
}

// TestCrashWhileForming loses power at every sync of the first start.
func TestCrashWhileForming(t *testing.T) {
	first := newCrashRun(3, faults{})
	first.load(t, 1, 1, 1000)
	pictures := first.fs.taken()
	if len(pictures) < 20 {
		t.Fatalf("%d crash points in the first start, want at least 20", len(pictures))
	}
	for i, p := range pictures {
		if _, err := first.survive(t, p, int64(i)); err != nil {
			t.Errorf("crash point %d: %v", i, err)
		}
	}
}

// TestCrashFindsFaults demands that broken variants fail the same checks.
func TestCrashFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for _, tt := range []struct {
		name   string
		faults faults
		want   func(error) bool
	}{
		{"acknowledge before the sync", faults{ackBeforeSync: true}, func(err error) bool {
			return errors.Is(err, ErrDataLoss) || strings.Contains(err.Error(), "acknowledged and is missing")
		}},
		{"snapshot without sync of the state", faults{stubNoSync: true}, func(err error) bool {
			return errors.Is(err, ErrDataLoss)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := newCrashRun(2, tt.faults)
			run.load(t, 400, 1, 300)
			for i, p := range run.fs.taken() {
				_, err := run.survive(t, p, int64(i))
				if err == nil {
					continue
				}
				if !tt.want(err) {
					t.Errorf("crash point %d: unexpected error %v", i, err)
				}
				return
			}
			t.Error("no crash point showed the fault")
		})
	}
}
