package actor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// fullBatch uses every field of the format.
func fullBatch() *Batch {
	socket := NewSocketID(7, 9)
	return &Batch{
		Object: ID{0: 1, 31: 2},
		Class:  "ChatRoom",
		Name:   "größe",
		Wipe:   true,
		Forget: true,
		Writes: []Write{
			{Key: "", Value: []byte{0}},
			{Key: "a", Delete: true},
			{Key: "a\x00", Value: []byte{}},
			{Key: "b", Value: []byte("\x01{}")},
		},
		Alarm: AlarmChange{Op: AlarmSet, If: 1 << 40, Record: AlarmRecord{Due: -5, Scheduled: math.MaxInt64, Retries: 255}},
		Sockets: []SocketChange{
			{Op: SocketOpen, Socket: socket, Tags: []string{"x", ""}, Protocol: "chat"},
			{Op: SocketMessage, Socket: socket, Number: math.MaxUint64},
			{Op: SocketAttach, Socket: socket, Attachment: []byte{1, 2}},
			{Op: SocketAttach, Socket: socket, Attachment: []byte{}},
			{Op: SocketAttach, Socket: socket},
			{Op: SocketSession, Socket: socket, Session: Session{0: 1, 31: 2}, Conn: NewSocketID(8, 10), Number: 300},
			{Op: SocketClosed, Socket: socket},
		},
		Auto:  &AutoChange{Reply: &AutoReply{Request: "ping", Reply: "pong"}},
		Frame: 300,
	}
}

func TestBatchRoundTrip(t *testing.T) {
	full := fullBatch()
	deletesAlarm := &Batch{Alarm: AlarmChange{Op: AlarmDelete, If: -1}, Auto: &AutoChange{}}
	posts := &Batch{Object: ID{1}, Frame: 9, Outbox: OutboxChange{Number: 8, Part: []byte{1, 2}, Delivered: []uint64{1, 300, math.MaxUint64}}}
	suspected := &Batch{Object: ID{2}, Poison: &PoisonRecord{
		Class: "Counter", Name: "größe", Marked: math.MaxUint64, Since: -1, Strikes: 255, Struck: math.MaxInt64, Quarantines: 9, Until: math.MinInt64,
	}}
	for _, want := range []*Batch{full, deletesAlarm, posts, {Outbox: OutboxChange{Delivered: []uint64{7}}}, {Poison: &PoisonRecord{}}, suspected, keyedBatch(), {}, {Object: ID{1}, Class: "Counter", Writes: []Write{{Key: "count", Value: []byte("\x012")}}}} {
		data := want.Append([]byte("before"))[len("before"):]
		got, err := DecodeBatch(data)
		if err != nil {
			t.Fatalf("DecodeBatch(%x): %v", data, err)
		}
		if len(want.Writes) == 0 {
			got.Writes = nil
		}
		if len(want.Sockets) == 0 {
			got.Sockets = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("DecodeBatch(%x) = %+v, want %+v", data, got, want)
		}
	}
}

// The bytes are in logs on disk: version 1 stays as it is for ever.
func TestBatchFormatNeverChanges(t *testing.T) {
	want := "010d" + "0100000000000000000000000000000000000000000000000000000000000002" +
		"0843686174526f6f6d" + "076772c3b6c39f65" + "ac02" +
		"04" + "000200" + "016100" + "02610001" + "016204017b7d" +
		"01" + "8080808080" + "40" + "09" + "feffffffffffffffff01" + "ff" +
		"07" +
		"01" + "00000000000000070000000000000009" + "02" + "0178" + "00" + "0463686174" +
		"04" + "00000000000000070000000000000009" + "ffffffffffffffffff01" +
		"03" + "00000000000000070000000000000009" + "030102" +
		"03" + "00000000000000070000000000000009" + "01" +
		"03" + "00000000000000070000000000000009" + "00" +
		"05" + "00000000000000070000000000000009" + "01" + strings.Repeat("00", 30) + "02" + "0000000000000008000000000000000a" + "ac02" +
		"02" + "00000000000000070000000000000009" +
		"0470696e67" + "04706f6e67"
	b := fullBatch()
	b.Forget = false
	if got := hex.EncodeToString(b.Append(nil)); got != want {
		t.Errorf("Append = %s\nwant     %s", got, want)
	}
}

func TestDecodeBatchRefuses(t *testing.T) {
	object := strings.Repeat("\x00", 32)
	head := "\x01\x00" + object + "\x00\x00\x00" // up to the frame
	for what, data := range map[string]string{
		"empty":                      "",
		"version only":               "\x01",
		"version 0":                  "\x00" + head[1:] + "\x00\x00",
		"version 2":                  "\x02" + head[1:] + "\x00\x00",
		"no request keys":            "\x01\x40" + head[2:] + "\x00\x00\x00",
		"an unknown key op":          "\x01\x40" + head[2:] + "\x00\x00\x01\x04\x01k\x00",
		"an empty request key":       "\x01\x40" + head[2:] + "\x00\x00\x01\x03\x00\x00\x00",
		"a start without its print":  "\x01\x40" + head[2:] + "\x00\x00\x01\x01\x01k\x00" + object[:31],
		"an empty answer":            "\x01\x40" + head[2:] + "\x00\x00\x01\x02\x01k\x00" + object + "\x00",
		"an outbox with nothing":     "\x01\x20" + head[2:] + "\x00\x00\x00\x00",
		"an empty outbox part":       "\x01\x20" + head[2:] + "\x00\x00\x01\x01\x01\x01",
		"an outbox part twice":       "\x01\x20" + head[2:] + "\x00\x00\x00\x02\x01\x00",
		"poison cut short":           "\x01\x80" + head[2:] + "\x00\x00\x00\x00\x01",
		"both automatic replies":     "\x01\x18" + head[2:] + "\x00\x00\x00\x00",
		"trailing byte":              head + "\x00\x00\x00",
		"long form of a number":      head + "\x80\x00\x00",
		"number beyond 64 bits":      head[:len(head)-1] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00\x00",
		"more writes than bytes":     head + "\xff\xff\xff\xff\x0f\x00",
		"keys out of order":          head + "\x02\x01b\x00\x01a\x00\x00",
		"a key twice":                head + "\x02\x01a\x00\x01a\x00\x00",
		"key longer than the data":   head + "\x01\x05a\x00\x00",
		"value longer than the data": head + "\x01\x01a\x09v\x00",
		"key beyond the bound":       head + "\x01\x81\x80\x04" + strings.Repeat("k", maxTextBytes+1) + "\x00\x00",
		"unknown alarm op":           "\x01\x04" + head[2:] + "\x00\x03\x00\x00",
		"alarm op keep":              "\x01\x04" + head[2:] + "\x00\x00\x00\x00",
		"unknown socket op":          head + "\x00\x01\x05" + object[:16],
		"socket op 0":                head + "\x00\x01\x00" + object[:16],
		"more tags than bytes":       head + "\x00\x01\x01" + object[:16] + "\xff\x01\x00",
		"more sockets than bytes":    head + "\x00\x03\x02" + object[:16],
	} {
		if b, err := DecodeBatch([]byte(data)); !errors.Is(err, ErrBadBatch) {
			t.Errorf("DecodeBatch of %s = %+v, %v, want ErrBadBatch", what, b, err)
		}
	}
	if _, err := DecodeBatch([]byte(head + "\x00\x00")); err != nil {
		t.Errorf("DecodeBatch of the least batch: %v", err)
	}
}

func TestDecodeBatchRefusesEveryPrefix(t *testing.T) {
	data := fullBatch().Append(nil)
	for n := range data {
		if b, err := DecodeBatch(data[:n]); !errors.Is(err, ErrBadBatch) {
			t.Errorf("DecodeBatch of the first %d of %d bytes = %+v, %v, want ErrBadBatch", n, len(data), b, err)
		}
	}
}

func TestAppendPanicsOnWhatNobodyCouldDecode(t *testing.T) {
	long := strings.Repeat("x", maxTextBytes+1)
	for what, b := range map[string]*Batch{
		"keys out of order": {Writes: []Write{{Key: "b"}, {Key: "a"}}},
		"a key twice":       {Writes: []Write{{Key: "a"}, {Key: "a", Delete: true}}},
		"long key":          {Writes: []Write{{Key: long}}},
		"long name":         {Name: long},
		"long tag":          {Sockets: []SocketChange{{Op: SocketOpen, Tags: []string{long}}}},
		"alarm op":          {Alarm: AlarmChange{Op: 3}},
		"key op 0":          {Keyed: []KeyedChange{{Key: "k"}}},
		"key op":            {Keyed: []KeyedChange{{Op: 4, Key: "k"}}},
		"empty request key": {Keyed: []KeyedChange{{Op: KeyedStarted}}},
		"long request key":  {Keyed: []KeyedChange{{Op: KeyedStarted, Key: long}}},
		"no answer":         {Keyed: []KeyedChange{{Op: KeyedAnswered, Key: "k"}}},
		"socket op":         {Sockets: []SocketChange{{Op: 6}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Append of a batch with %s did not panic", what)
				}
			}()
			b.Append(nil)
		}()
	}
}

// A count in the data must not make the decoder allocate far more than the data has.
func TestDecodeBatchAllocatesInProportion(t *testing.T) {
	head := "\x01\x00" + strings.Repeat("\x00", 32) + "\x00\x00\x00"
	rest := strings.Repeat("\xff", 1<<16)
	for what, data := range map[string]string{
		"writes":  head + "\x80\x80\x02" + rest,      // 32,768 writes
		"sockets": head + "\x00" + "\x80\x1e" + rest, // 3,840 sockets
		"name":    "\x01\x00" + head[2:35] + "\x80\x80\x04" + rest[:100],
	} {
		const factor, runs = 64, 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := DecodeBatch([]byte(data)); err == nil {
				t.Errorf("DecodeBatch of bad %s: no error", what)
			}
		}
		runtime.ReadMemStats(&after)
		if got, limit := (after.TotalAlloc-before.TotalAlloc)/runs, uint64(factor*len(data)); got > limit {
			t.Errorf("DecodeBatch of bad %s allocates %d bytes for %d, want at most %d", what, got, len(data), limit)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(fullBatch().Append(nil))
	f.Add((&Batch{}).Append(nil))
	f.Add(keyedBatch().Append(nil))
	f.Add((&Batch{Alarm: AlarmChange{Op: AlarmDelete, If: 3}, Auto: &AutoChange{}}).Append(nil))
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		f.Add(newBatchMaker(random).batch().Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBatch(data)
		if err != nil {
			if !errors.Is(err, ErrBadBatch) {
				t.Errorf("DecodeBatch: %v, want ErrBadBatch", err)
			}
			return
		}
		if forgets(data) != b.Forget {
			t.Errorf("forgets = %v, want %v", forgets(data), b.Forget)
		}
		if again := b.Append(nil); !bytes.Equal(again, data) {
			t.Errorf("a batch with two encodings:\n%x\n%x", data, again)
		}
	})
}

func counterBatch(object ID) *Batch {
	return &Batch{Object: object, Class: "Counter", Name: "alpha", Writes: []Write{{Key: "count", Value: []byte("\x01123456")}}}
}

func BenchmarkBatchAppend(b *testing.B) {
	batch := counterBatch(ID{1})
	b.ReportAllocs()
	for b.Loop() {
		batch.Append(nil)
	}
}

func BenchmarkDecodeBatch(b *testing.B) {
	data := counterBatch(ID{1}).Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeBatch(data); err != nil {
			b.Fatal(err)
		}
	}
}
