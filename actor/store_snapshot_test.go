package actor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// fillStore applies random calls to a store and to a model.
func fillStore(tb testing.TB, s *Store, seed uint64, calls, valueBytes int) *storeModel {
	tb.Helper()
	maker := newBatchMaker(rand.New(rand.NewPCG(seed, 1)))
	maker.valueBytes = valueBytes
	model := newStoreModel()
	for i := range calls {
		call := maker.call(uint64(i + 1))
		model.apply(call)
		if err := s.Apply(call.shard, call.encoded(), call.index, call.header); err != nil {
			tb.Fatal(err)
		}
	}
	return model
}

// streamOf gives the stream of a shard as it is now.
func streamOf(tb testing.TB, s *Store, shard uint32) []byte {
	tb.Helper()
	p, err := s.Snapshot(shard)
	if err != nil {
		tb.Fatal(err)
	}
	defer p.Close()
	var b bytes.Buffer
	n, err := p.WriteTo(&b)
	if err != nil {
		tb.Fatal(err)
	}
	if n != int64(b.Len()) {
		tb.Errorf("WriteTo = %d, want the %d bytes that it wrote", n, b.Len())
	}
	return b.Bytes()
}

func TestRestoreGivesTheSameState(t *testing.T) {
	for seed := range uint64(4) {
		from := openTestStore(t, vfs.NewMem())
		model := fillStore(t, from, seed, 200, 4<<10)
		// What was there before must go, whatever it was.
		fs := vfs.NewMem()
		to := openTestStore(t, fs)
		fillStore(t, to, seed+100, 60, 4<<10)
		for shard := range uint32(testShards) {
			stream := streamOf(t, from, shard)
			if err := to.Restore(shard, bytes.NewReader(stream)); err != nil {
				t.Fatal(err)
			}
			if again := streamOf(t, to, shard); !bytes.Equal(again, stream) {
				t.Errorf("seed %d: the stream of restored shard %d differs", seed, shard)
			}
		}
		if err := checkStore(to, model); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		// It goes on from there, and is still there after the next start.
		maker := newBatchMaker(rand.New(rand.NewPCG(seed, 9)))
		for i := range 40 {
			call := maker.call(uint64(1000 + i))
			model.apply(call)
			if err := to.Apply(call.shard, call.encoded(), call.index, call.header); err != nil {
				t.Fatal(err)
			}
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		if err := checkStore(openTestStore(t, fs), model); err != nil {
			t.Errorf("seed %d, after the next start: %v", seed, err)
		}
	}
}

func TestSnapshotShowsOneMoment(t *testing.T) {
	s := openTestStore(t, vfs.NewMem())
	fillStore(t, s, 1, 100, 4<<10)
	p, err := s.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	want := streamOf(t, s, 1)
	maker := newBatchMaker(rand.New(rand.NewPCG(3, 3)))
	for i := range 100 {
		call := maker.call(uint64(1000 + i))
		if err := s.Apply(call.shard, call.encoded(), call.index, call.header); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	if _, err := p.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the picture changed with the shard")
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
}

func TestSnapshotOfAnEmptyShard(t *testing.T) {
	s := openTestStore(t, vfs.NewMem())
	p, err := s.Snapshot(0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.WriteTo(io.Discard); err == nil {
		t.Error("WriteTo of a shard without a position = nil, want an error")
	}
}

func TestClearRemovesOnlyItsShard(t *testing.T) {
	s := openTestStore(t, vfs.NewMem())
	fillStore(t, s, 5, 100, 4<<10)
	before := streamOf(t, s, 2)
	if err := s.Clear(1); err != nil {
		t.Fatal(err)
	}
	if index, header, err := s.Position(1); index != 0 || header != nil || err != nil {
		t.Errorf("Position(1) = %d, %q, %v, want nothing", index, header, err)
	}
	records, err := rawRecords(s, shardSpan(1).LowerBound, shardSpan(1).UpperBound)
	if err != nil || len(records) != 0 {
		t.Errorf("%d records, %v after Clear, want none", len(records), err)
	}
	if !bytes.Equal(streamOf(t, s, 2), before) {
		t.Error("Clear(1) changed shard 2")
	}
	if err := s.Apply(1, nil, 1, []byte("h")); err != nil {
		t.Errorf("Apply of entry 1 after Clear = %v", err)
	}
}

func TestRestoreTellsTheEarliestAlarm(t *testing.T) {
	from := openTestStore(t, vfs.NewMem())
	for i, due := range []int64{500, 200, 900} {
		b := Batch{Object: ID{7: 1, 31: byte(i)}, Alarm: AlarmChange{Op: AlarmSet, Record: AlarmRecord{Due: due, Scheduled: due}}}
		if err := from.Apply(1, [][]byte{b.Append(nil)}, uint64(i+1), nil); err != nil {
			t.Fatal(err)
		}
	}
	var told []int64
	to, err := OpenStore(StoreConfig{Dir: "state", FS: vfs.NewMem(), ShardOf: testShardOf, AlarmSet: func(shard uint32, due int64) {
		if shard == 1 {
			told = append(told, due)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := to.Restore(1, bytes.NewReader(streamOf(t, from, 1))); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0] != 200 {
		t.Errorf("AlarmSet was called with %v, want once with 200", told)
	}
}

// resum makes the checksums of a stream right again, so that what is behind them
// is tested, too.
func resum(stream []byte) []byte {
	stream = bytes.Clone(stream)
	crc := uint32(0)
	for rest := stream[min(len(stream), 4):]; len(rest) >= frameHeadBytes; {
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-frameHeadBytes {
			break
		}
		crc = crc32.Update(crc, castagnoli(), rest[frameHeadBytes:][:n])
		binary.BigEndian.PutUint32(rest[4:], crc)
		rest = rest[frameHeadBytes+n:]
	}
	return stream
}

func TestRestoreRefusesDamage(t *testing.T) {
	from := openTestStore(t, vfs.NewMem())
	fillStore(t, from, 7, 60, 4<<10)
	stream := streamOf(t, from, 1)
	to := openTestStore(t, vfs.NewMem())
	refused := func(what string, damaged []byte) {
		t.Helper()
		if err := to.Restore(1, bytes.NewReader(damaged)); err == nil {
			t.Errorf("Restore of a stream with %s = nil, want an error", what)
		}
		if index, _, err := to.Position(1); index != 0 || err != nil {
			t.Errorf("Position after a stream with %s = %d, %v, want 0", what, index, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		damaged := bytes.Clone(stream)
		damaged[random.IntN(len(damaged))] ^= 1 << random.IntN(8)
		refused("a flipped bit", damaged)
		refused("its end missing", stream[:random.IntN(len(stream))])
	}
	refused("more behind it", append(bytes.Clone(stream), 0))
	if err := to.Restore(0, bytes.NewReader(stream)); !errors.Is(err, ErrCorruptState) {
		t.Errorf("Restore of another shard's stream = %v, want ErrCorruptState", err)
	}
	later := bytes.Clone(stream)
	later[len(streamMagic)]++
	if err := to.Restore(1, bytes.NewReader(later)); !errors.Is(err, ErrStoreVersion) {
		t.Errorf("Restore of a later version = %v, want ErrStoreVersion", err)
	}
	if err := to.Restore(1, bytes.NewReader(stream)); err != nil {
		t.Errorf("Restore after the failed ones = %v", err)
	}
}

// TestRestoreSurvivesACrash: at every moment of a Restore a power loss leaves the
// old state, or a shard without a position, or the whole new one; and the whole new
// one once Restore has returned.
func TestRestoreSurvivesACrash(t *testing.T) {
	from := openTestStore(t, vfs.NewMem())
	fillStore(t, from, 11, 400, 4<<10)
	stream := streamOf(t, from, 1)
	position, _, err := from.Position(1)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(3) {
		r := &crashRecorder{disk: vfs.NewCrashableMem(), random: rand.New(rand.NewPCG(seed, 5)), percent: int(seed) * 40}
		to := openTestStore(t, errorfs.Wrap(r.disk, errorfs.InjectorFunc(r.maybeCrash)))
		fillStore(t, to, 12, 20, 4<<10)
		old, _, err := to.Position(1)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Restore(1, bytes.NewReader(stream)); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		last := len(r.points)
		r.take()
		points := append([]crashPoint{}, r.points...)
		r.mu.Unlock()
		for i, p := range points {
			s, err := OpenStore(StoreConfig{Dir: "state", FS: p.disk, ShardOf: testShardOf})
			if err != nil {
				t.Errorf("seed %d, crash %d: %v", seed, i, err)
				continue
			}
			index, _, err := s.Position(1)
			switch {
			case err != nil:
				t.Errorf("seed %d, crash %d: %v", seed, i, err)
			case index == position && !bytes.Equal(streamOf(t, s, 1), stream):
				t.Errorf("seed %d, crash %d: a part of the stream has its position", seed, i)
			case i == last && index != position, index > old && index != position:
				t.Errorf("seed %d, crash %d: position %d", seed, i, index)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func FuzzStreamReader(f *testing.F) {
	s := openTestStore(f, vfs.NewMem())
	fillStore(f, s, 1, 30, 8)
	for shard := range uint32(testShards) {
		f.Add(streamOf(f, s, shard))
	}
	f.Add([]byte("HFS\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = resum(data)
		r, err := newStreamReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		var last []byte
		for {
			_, done, err := r.next(func(key, _ []byte) error {
				if bytes.Compare(key, last) <= 0 {
					t.Fatalf("key %q after %q", key, last)
				}
				last = append(last[:0], key...)
				return nil
			})
			if err != nil || done {
				return
			}
		}
	})
}
