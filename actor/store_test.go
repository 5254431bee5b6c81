package actor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func openTestStore(tb testing.TB, fs vfs.FS) *Store {
	tb.Helper()
	s, err := OpenStore(StoreConfig{Dir: "state", FS: fs, ShardOf: testShardOf})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrStoreClosed) {
			tb.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestStoreAgainstModel(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 1))
		maker := newBatchMaker(random)
		model := newStoreModel()
		store := openTestStore(t, vfs.NewMem())
		for index := uint64(1); index <= 60; index++ {
			call := maker.call(index)
			if err := store.Apply(call.shard, call.encoded(), call.index, call.header); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			model.apply(call)
			if err := checkStore(store, model); err != nil {
				t.Fatalf("seed %d, after entry %d: %v", seed, index, err)
			}
			if err := checkRandomList(maker, store, model); err != nil {
				t.Fatalf("seed %d, after entry %d: %v", seed, index, err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func checkRandomList(maker *batchMaker, store *Store, model *storeModel) error {
	id := pick(maker, maker.objects)
	bounds := append([]string{"c", "a\x01", "\xff\xff\xff"}, testKeys...)
	r := Range{From: pick(maker, bounds), Reverse: maker.chance(50)}
	if maker.chance(60) {
		r.To, r.HasTo = pick(maker, bounds), true
	}
	return checkList(store, id, model.object(id), r)
}

// The test above is worth nothing if its checker is blind.
func TestCheckStoreSeesALostBatch(t *testing.T) {
	losses := 0
	for seed := range uint64(20) {
		maker := newBatchMaker(rand.New(rand.NewPCG(seed, 2)))
		model := newStoreModel()
		store := openTestStore(t, vfs.NewMem())
		call := maker.call(1)
		if len(call.batches) == 0 {
			continue
		}
		losses++
		last := call.batches[len(call.batches)-1]
		last.Forget = false
		last.Writes = []Write{{Key: "a", Value: fmt.Appendf(nil, "lost %d", seed)}}
		if err := store.Apply(call.shard, call.encoded(), 1, call.header); err != nil {
			t.Fatal(err)
		}
		call.batches = call.batches[:len(call.batches)-1]
		model.apply(call)
		if err := checkStore(store, model); err == nil {
			t.Errorf("seed %d: checkStore did not miss a batch", seed)
		}
	}
	if losses == 0 {
		t.Error("no seed made a batch")
	}
}

// Replicas get the same batches in different portions and must come to the same bytes.
func TestApplyDoesNotDependOnPortions(t *testing.T) {
	for seed := range uint64(30) {
		maker := newBatchMaker(rand.New(rand.NewPCG(seed, 3)))
		var batches [][]byte
		for len(batches) < 50 {
			b := maker.batch()
			if testShardOf(b.Object) == 0 {
				batches = append(batches, b.Append(nil))
			}
		}
		single, whole, some := openTestStore(t, vfs.NewMem()), openTestStore(t, vfs.NewMem()), openTestStore(t, vfs.NewMem())
		for i, b := range batches {
			applyAll(t, single, [][]byte{b}, uint64(i+1))
		}
		applyAll(t, whole, batches, uint64(len(batches)))
		for at := 0; at < len(batches); {
			end := min(len(batches), at+1+maker.random.IntN(9))
			applyAll(t, some, batches[at:end], uint64(end))
			at = end
		}
		want, err := rawRecords(single, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Store{whole, some} {
			if got, err := rawRecords(s, nil, nil); err != nil || !slices.Equal(got, want) {
				t.Fatalf("seed %d: records = %v, %v\nwant what single batches lead to: %v", seed, got, err, want)
			}
		}
	}
}

func applyAll(tb testing.TB, s *Store, batches [][]byte, index uint64) {
	tb.Helper()
	if err := s.Apply(0, batches, index, []byte("header")); err != nil {
		tb.Fatal(err)
	}
}

func TestApplyRefusesAndChangesNothing(t *testing.T) {
	store := openTestStore(t, vfs.NewMem())
	good := counterBatch(ID{}).Append(nil)
	applyAll(t, store, [][]byte{good}, 5)
	before, err := rawRecords(store, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	later := &Batch{Object: ID{31: 9}, Writes: []Write{{Key: "k", Value: []byte{1}}}}
	for what, c := range map[string]struct {
		shard   uint32
		batches [][]byte
		index   uint64
		want    error
	}{
		"an undecodable batch":         {0, [][]byte{later.Append(nil), good[:9]}, 6, ErrBadBatch},
		"another version":              {0, [][]byte{append([]byte{2}, good[1:]...)}, 6, ErrBadBatch},
		"an object of another shard":   {1, [][]byte{good}, 6, nil},
		"the same index":               {0, [][]byte{later.Append(nil)}, 5, nil},
		"a lower index":                {0, nil, 4, nil},
		"a shard that cannot be":       {1 << 16, nil, 6, nil},
		"the shard beyond the last":    {maxShard + 1, nil, 6, nil},
		"a forgetting batch and a bad": {0, [][]byte{(&Batch{Forget: true, Wipe: true}).Append(nil), {1}}, 6, ErrBadBatch},
	} {
		err := store.Apply(c.shard, c.batches, c.index, nil)
		if err == nil || (c.want != nil && !errors.Is(err, c.want)) {
			t.Errorf("Apply of %s: %v, want an error that is %v", what, err, c.want)
		}
		if after, err := rawRecords(store, nil, nil); err != nil || !slices.Equal(after, before) {
			t.Errorf("after Apply of %s the records are %v, %v, want %v", what, after, err, before)
		}
	}
	applyAll(t, store, [][]byte{later.Append(nil)}, 6)
}

func TestPositionOutlivesTheStore(t *testing.T) {
	fs := vfs.NewMem()
	store := openTestStore(t, fs)
	if index, header, err := store.Position(2); index != 0 || header != nil || err != nil {
		t.Errorf("Position of a new shard = %d, %v, %v, want 0, nil, nil", index, header, err)
	}
	if err := store.Apply(2, nil, 1<<40, []byte{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = openTestStore(t, fs)
	if index, header, err := store.Position(2); index != 1<<40 || header == nil || len(header) != 0 || err != nil {
		t.Errorf("Position = %d, %v, %v, want %d and an empty header", index, header, err, 1<<40)
	}
	if err := store.Apply(2, nil, 1<<40, nil); err == nil {
		t.Error("Apply of an index that the state has had before it was opened: no error")
	}
}

func TestAnObjectThatStoresNothingLeavesNoTrace(t *testing.T) {
	store := openTestStore(t, vfs.NewMem())
	socket := NewSocketID(1, 1)
	steps := []*Batch{
		{Class: "ChatRoom", Name: "x", Writes: []Write{{Key: "k", Value: []byte{0}}}, Frame: 4},
		{Alarm: AlarmChange{Op: AlarmSet, Record: AlarmRecord{Due: 3}}, Forget: true},
		{Writes: []Write{{Key: "k", Delete: true}}, Forget: true},
		{Sockets: []SocketChange{{Op: SocketOpen, Socket: socket, Tags: []string{"t"}}, {Op: SocketAttach, Socket: socket, Attachment: []byte{1}}}, Forget: true},
		{Alarm: AlarmChange{Op: AlarmDelete}, Forget: true},
		{Auto: &AutoChange{Reply: &AutoReply{}}, Forget: true},
		{Sockets: []SocketChange{{Op: SocketClosed, Socket: socket}}, Forget: true},
	}
	for i, b := range steps {
		applyAll(t, store, [][]byte{b.Append(nil)}, uint64(i+1))
		if record, ok, err := store.Object(ID{}); !ok || err != nil || record.Name != "x" {
			t.Errorf("after step %d: Object = %+v, %v, %v, want the record", i, record, ok, err)
		}
	}
	applyAll(t, store, [][]byte{(&Batch{Auto: &AutoChange{}, Forget: true}).Append(nil)}, 100)
	records, err := rawRecords(store, nil, nil)
	if err != nil || len(records) != 1 || !strings.HasPrefix(records[0], "000070=") {
		t.Errorf("records = %v, %v, want only the position", records, err)
	}
}

// A wipe of many keys takes another way than one of a few.
func TestWipe(t *testing.T) {
	for _, keys := range []int{0, 1, maxWipePoints - 1, maxWipePoints, maxWipePoints + 1, 3 * maxWipePoints} {
		store := openTestStore(t, vfs.NewMem())
		neighbour := &Batch{Object: ID{31: 1}, Writes: []Write{{Key: "", Value: []byte{0}}}}
		before := &Batch{Object: ID{}}
		for i := range keys {
			before.Writes = append(before.Writes, Write{Key: fmt.Sprintf("%04d", i), Value: []byte{0}})
		}
		wipe := &Batch{Wipe: true, Writes: []Write{{Key: "after", Value: []byte{0, 1}}}}
		applyAll(t, store, [][]byte{neighbour.Append(nil), before.Append(nil)}, 1)
		applyAll(t, store, [][]byte{wipe.Append(nil)}, 2)
		var got []string
		if err := store.List(ID{}, Range{}, func(key string, _ []byte) bool { got = append(got, key); return true }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, []string{"after"}) {
			t.Errorf("after a wipe of %d keys: %q, want only the one written by the same batch", keys, got)
		}
		if empty, err := store.Empty(ID{31: 1}); err != nil || empty {
			t.Errorf("after a wipe of %d keys the neighbour's Empty = %v, %v", keys, empty, err)
		}
	}
}

func TestAlarmSetIsCalledAfterTheCommit(t *testing.T) {
	var store *Store
	var calls []string
	store, err := OpenStore(StoreConfig{Dir: "state", FS: vfs.NewMem(), ShardOf: testShardOf, AlarmSet: func(shard uint32, due int64) {
		alarms, _, err := store.DueAlarms(shard, due, 10)
		calls = append(calls, fmt.Sprint(shard, due, len(alarms), err))
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	set := func(object ID, due int64) []byte {
		return (&Batch{Object: object, Alarm: AlarmChange{Op: AlarmSet, Record: AlarmRecord{Due: due}}}).Append(nil)
	}
	drop := (&Batch{Object: ID{31: 1}, Wipe: true}).Append(nil)
	applyAll(t, store, [][]byte{set(ID{}, 30), set(ID{31: 1}, 20), set(ID{}, 40), drop}, 1)
	applyAll(t, store, [][]byte{counterBatch(ID{}).Append(nil)}, 2)
	if err := store.Apply(0, [][]byte{set(ID{}, 50), {9}}, 3, nil); err == nil {
		t.Error("Apply of a bad batch: no error")
	}
	if want := []string{"0 40 1 <nil>"}; !slices.Equal(calls, want) {
		t.Errorf("calls of AlarmSet = %q, want %q", calls, want)
	}
}

func TestListStopsAndSeesOneMoment(t *testing.T) {
	store := openTestStore(t, vfs.NewMem())
	b := &Batch{}
	for _, key := range []string{"a", "b", "c"} {
		b.Writes = append(b.Writes, Write{Key: key, Value: []byte(key)})
	}
	applyAll(t, store, [][]byte{b.Append(nil)}, 1)
	var got []string
	var values [][]byte
	err := store.List(ID{}, Range{Reverse: true}, func(key string, value []byte) bool {
		got = append(got, key)
		values = append(values, value)
		// A visitor may use the store.
		applyAll(t, store, [][]byte{(&Batch{Wipe: true}).Append(nil)}, uint64(1+len(got)))
		return len(got) < 2
	})
	if err != nil || !slices.Equal(got, []string{"c", "b"}) {
		t.Errorf("List = %q, %v, want c and b", got, err)
	}
	if string(values[0]) != "c" {
		t.Errorf("the first value became %q", values[0])
	}
}

func TestClosedStore(t *testing.T) {
	store := openTestStore(t, vfs.NewMem())
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, getErr := store.Get(ID{}, "k")
	_, _, positionErr := store.Position(0)
	_, metricsErr := store.Metrics()
	for what, err := range map[string]error{
		"Get":      getErr,
		"Position": positionErr,
		"Metrics":  metricsErr,
		"List":     store.List(ID{}, Range{}, func(string, []byte) bool { return true }),
		"Apply":    store.Apply(0, nil, 1, nil),
		"Sync":     store.Sync(),
		"Close":    store.Close(),
	} {
		if !errors.Is(err, ErrStoreClosed) {
			t.Errorf("%s after Close: %v, want ErrStoreClosed", what, err)
		}
	}
}

// Shards are applied and read at the same time, and Close comes in between.
func TestStoreFromManyGoroutines(t *testing.T) {
	store := openTestStore(t, vfs.NewMem())
	var all sync.WaitGroup
	half := make(chan struct{}, testShards)
	for shard := range uint32(testShards) {
		all.Go(func() {
			id := ID{7: byte(shard)}
			for index := uint64(1); ; index++ {
				err := store.Apply(shard, [][]byte{counterBatch(id).Append(nil)}, index, nil)
				if index == 200 {
					half <- struct{}{}
				}
				if errors.Is(err, ErrStoreClosed) {
					return
				}
				if err != nil {
					t.Errorf("Apply(%d): %v", shard, err)
					return
				}
			}
		})
		all.Go(func() {
			id := ID{7: byte(shard)}
			for {
				err := store.List(id, Range{}, func(key string, _ []byte) bool { return key == "count" })
				if _, err2 := store.Metrics(); err == nil {
					err = err2
				}
				if errors.Is(err, ErrStoreClosed) {
					return
				}
				if err != nil {
					t.Errorf("List: %v", err)
					return
				}
			}
		})
	}
	for range testShards {
		<-half
	}
	if err := store.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	all.Wait()
}

// Whole nodes run in bubbles, several in one process: nothing of the database may
// outlive a bubble or wait for something outside of it.
func TestStoreInTwoBubbles(t *testing.T) {
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewMem()
			store := openTestStore(t, fs)
			applyAll(t, store, [][]byte{counterBatch(ID{}).Append(nil)}, 1)
			time.Sleep(time.Hour)
			if err := errors.Join(store.Sync(), store.Close()); err != nil {
				t.Fatal(err)
			}
			store = openTestStore(t, fs)
			if index, _, err := store.Position(0); index != 1 || err != nil {
				t.Errorf("Position = %d, %v, want 1", index, err)
			}
		})
	}
}
