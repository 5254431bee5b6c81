package actor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// storeVariant is a way to use a Store. Broken ones show that the checker is not blind.
type storeVariant struct {
	apply func(*Store, *applyCall) error
	sync  func(*Store) error
}

func rightVariant() storeVariant {
	return storeVariant{
		apply: func(s *Store, c *applyCall) error { return s.Apply(c.shard, c.encoded(), c.index, c.header) },
		sync:  (*Store).Sync,
	}
}

// crashPoint is a disk as a power loss left it.
type crashPoint struct {
	disk    *vfs.MemFS
	durable int // calls of Apply that a Sync had covered before
	begun   int // calls of Apply that had begun after
}

// crashRecorder takes the disk at random moments just before it is written or
// synced, from whatever goroutine of the database does that.
type crashRecorder struct {
	disk    *vfs.MemFS
	durable atomic.Int64
	begun   atomic.Int64

	mu      sync.Mutex // guards the following fields
	random  *rand.Rand
	percent int // of unsynced data that survives
	points  []crashPoint
}

const maxCrashPoints = 12

func (r *crashRecorder) maybeCrash(op errorfs.Op) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	chance := 1
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename, errorfs.OpCreate:
		chance = 10
	default:
	}
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && len(r.points) < maxCrashPoints && r.random.IntN(100) < chance {
		r.take()
	}
	return nil
}

// take is called with mu held.
func (r *crashRecorder) take() {
	p := crashPoint{durable: int(r.durable.Load())}
	p.disk = r.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.percent, RNG: r.random})
	p.begun = int(r.begun.Load())
	r.points = append(r.points, p)
}

// crashStride keeps room between the indexes of calls for a variant that cuts a call in two.
const crashStride = 10

// recordCrashes applies random calls, with a Sync now and then, and gives the
// calls and the disks of the crashes.
func recordCrashes(tb testing.TB, seed uint64, percent int, v storeVariant) ([]*applyCall, []crashPoint) {
	tb.Helper()
	random := rand.New(rand.NewPCG(seed, 4))
	r := &crashRecorder{disk: vfs.NewCrashableMem(), random: rand.New(rand.NewPCG(seed, 5)), percent: percent}
	store := openTestStore(tb, errorfs.Wrap(r.disk, errorfs.InjectorFunc(r.maybeCrash)))
	maker := newBatchMaker(random)
	maker.valueBytes = 6 << 10 // so that memtables fill and are flushed
	var calls []*applyCall
	for i := range 150 {
		call := maker.call(uint64(i+1) * crashStride)
		calls = append(calls, call)
		r.begun.Add(1)
		if err := v.apply(store, call); err != nil {
			tb.Fatal(err)
		}
		if maker.chance(5) {
			if err := v.sync(store); err != nil {
				tb.Fatal(err)
			}
			r.durable.Store(int64(len(calls)))
		}
	}
	r.mu.Lock()
	r.take()
	points := r.points
	r.points = slices.Grow(points, maxCrashPoints) // no more of them
	r.mu.Unlock()
	if err := store.Close(); err != nil {
		tb.Fatal(err)
	}
	return calls, points
}

// checkCrash opens what the crash left: it must be exactly what some of the
// calls lead to, from the first on without a gap, and all the durable ones.
func checkCrash(calls []*applyCall, p crashPoint) error {
	store, err := OpenStore(StoreConfig{Dir: "state", FS: p.disk, ShardOf: testShardOf})
	if err != nil {
		return err
	}
	defer store.Close()
	var last uint64
	for shard := range uint32(testShards) {
		index, _, err := store.Position(shard)
		if err != nil {
			return err
		}
		last = max(last, index)
	}
	n := int(last / crashStride)
	if n < p.durable || n > p.begun {
		return fmt.Errorf("the state has %d calls, want %d to %d", n, p.durable, p.begun)
	}
	model := newStoreModel()
	for _, call := range calls[:n] {
		model.apply(call)
	}
	if err := checkStore(store, model); err != nil {
		return fmt.Errorf("not the state after %d calls: %w", n, err)
	}
	return nil
}

func TestACrashLeavesAPrefix(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 2
	}
	for _, percent := range []int{0, 50, 100} {
		lost := 0
		for seed := range seeds {
			calls, points := recordCrashes(t, seed, percent, rightVariant())
			for i, p := range points {
				if err := checkCrash(calls, p); err != nil {
					t.Errorf("seed %d, %d %% of unsynced data kept, crash %d: %v", seed, percent, i, err)
				}
				if p.durable < p.begun {
					lost++
				}
			}
		}
		if lost == 0 {
			t.Errorf("%d %%: no crash had anything to lose", percent)
		}
	}
}

func TestCheckCrashCatchesBrokenVariants(t *testing.T) {
	noSync := rightVariant()
	noSync.sync = func(*Store) error { return nil }
	torn := rightVariant()
	torn.apply = func(s *Store, c *applyCall) error {
		batches := c.encoded()
		half := len(batches) / 2
		if err := s.Apply(c.shard, batches[:half], c.index-crashStride/2, c.header); err != nil {
			return err
		}
		if err := s.Sync(); err != nil { // so that a crash can come in between
			return err
		}
		return s.Apply(c.shard, batches[half:], c.index, c.header)
	}
	for what, v := range map[string]storeVariant{"a Sync that does not sync": noSync, "an Apply in two steps": torn} {
		caught := false
		for seed := range uint64(6) {
			calls, points := recordCrashes(t, seed, 0, v)
			caught = caught || slices.ContainsFunc(points, func(p crashPoint) bool { return checkCrash(calls, p) != nil })
		}
		if !caught {
			t.Errorf("checkCrash accepts %s", what)
		}
	}
}
