package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

func testLogDB(tb testing.TB, fs vfs.FS) *logDB {
	tb.Helper()
	db, err := openLogDB(logDBConfig{
		fs: fs, path: "log", directory: directoryID{1}, create: true, log: slog.New(slog.DiscardHandler),
		events: &Events{}, fatal: func(err error) { panic(err) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

func testLogs(first, last, term uint64, size int) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		data := []byte(fmt.Sprintf("%d/%d/%0*d", i, term, size, 0))
		logs = append(logs, &raft.Log{Index: i, Term: term, Data: data, AppendedAt: time.Unix(0, int64(i))})
	}
	return logs
}

// TestLogStoreAgainstModel compares the log with the library's own in memory,
// over random appends, cuts at both ends, and openings.
func TestLogStoreAgainstModel(t *testing.T) {
	fs := vfs.NewMem()
	db := testLogDB(t, fs)
	defer func() { _ = db.close() }()
	g, err := db.openGroup(3, 7)
	if err != nil {
		t.Fatal(err)
	}
	model := raft.NewInmemStore()
	rng := rand.New(rand.NewPCG(1, 2))
	first, last := uint64(0), uint64(0)
	for step := range 600 {
		switch k := rng.IntN(10); {
		case k < 6:
			next := last + 1
			if last == 0 {
				next = uint64(1 + rng.IntN(1000))
				first = next
				model = raft.NewInmemStore()
			}
			logs := testLogs(next, next+uint64(rng.IntN(5)), uint64(step+1), rng.IntN(20000))
			last = logs[len(logs)-1].Index
			if err := errors.Join(g.StoreLogs(logs), model.StoreLogs(logs)); err != nil {
				t.Fatal(err)
			}
		case k < 7 && last > 0: // the oldest go
			cut := first + uint64(rng.IntN(int(last-first+1)))
			if err := errors.Join(g.DeleteRange(first, cut), model.DeleteRange(first, cut)); err != nil {
				t.Fatal(err)
			}
			first = cut + 1
		case k < 8 && last > 0: // the newest go
			cut := first + uint64(rng.IntN(int(last-first+1)))
			if err := errors.Join(g.DeleteRange(cut, last), model.DeleteRange(cut, last)); err != nil {
				t.Fatal(err)
			}
			last = cut - 1
		case k < 9: // open again
			if g, err = db.openGroup(3, 7); err != nil {
				t.Fatal(err)
			}
		}
		if first > last {
			first, last = 0, 0
		}
		compareLogs(t, step, g, model, first, last)
	}
}

func compareLogs(t *testing.T, step int, g *groupLog, model raft.LogStore, first, last uint64) {
	t.Helper()
	gotFirst, _ := g.FirstIndex()
	gotLast, _ := g.LastIndex()
	if gotFirst != first || gotLast != last {
		t.Fatalf("step %d: log from %d to %d, want %d to %d", step, gotFirst, gotLast, first, last)
	}
	for _, index := range []uint64{first, (first + last) / 2, last} {
		var got, want raft.Log
		if index == 0 {
			continue
		}
		if err := errors.Join(g.GetLog(index, &got), model.GetLog(index, &want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: GetLog(%d) = entry %d of term %d with %d bytes, %v, want entry %d of term %d with %d bytes", step, index, got.Index, got.Term, len(got.Data), err, want.Index, want.Term, len(want.Data))
		}
	}
	for _, index := range []uint64{first - 1, last + 1} {
		if err := g.GetLog(index, &raft.Log{}); err != raft.ErrLogNotFound { //nolint:errorlint // the library compares by identity
			t.Fatalf("step %d: GetLog(%d) = %v, want raft.ErrLogNotFound itself", step, index, err)
		}
	}
}

func TestLogStoreRefusesGaps(t *testing.T) {
	db := testLogDB(t, vfs.NewMem())
	defer func() { _ = db.close() }()
	g, err := db.openGroup(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.StoreLogs(testLogs(5, 7, 1, 1)); err != nil {
		t.Fatal(err)
	}
	for _, logs := range [][]*raft.Log{testLogs(9, 9, 1, 1), testLogs(7, 7, 2, 1), testLogs(1, 1, 1, 1), {testLogs(8, 8, 1, 1)[0], testLogs(10, 10, 1, 1)[0]}} {
		if err := g.StoreLogs(logs); err == nil {
			t.Errorf("StoreLogs(from %d) after 7 = nil, want an error", logs[0].Index)
		}
	}
	if !g.IsMonotonic() {
		t.Error("IsMonotonic = false for a log that refuses gaps")
	}
	compareLogs(t, 0, g, g, 5, 7)
}

func TestStableStore(t *testing.T) {
	fs := vfs.NewMem()
	db := testLogDB(t, fs)
	a, err := db.openGroup(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := db.openGroup(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("CurrentTerm")
	if _, err := a.GetUint64(key); err == nil || err.Error() != "not found" {
		t.Errorf("GetUint64 of nothing = %v, want the error text by which the library knows it", err)
	}
	if _, err := a.Get(key); err == nil || err.Error() != "not found" {
		t.Errorf("Get of nothing = %v, want the error text by which the library knows it", err)
	}
	if err := errors.Join(a.SetUint64(key, 7), a.Set([]byte("LastVoteCand"), []byte("x")), b.SetUint64(key, 9)); err != nil {
		t.Fatal(err)
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	db = testLogDB(t, fs)
	defer func() { _ = db.close() }()
	if a, err = db.openGroup(1, 1); err != nil {
		t.Fatal(err)
	}
	if v, err := a.GetUint64(key); v != 7 || err != nil {
		t.Errorf("GetUint64 = %d, %v, want 7", v, err)
	}
	if v, err := a.Get([]byte("LastVoteCand")); string(v) != "x" || err != nil {
		t.Errorf("Get = %q, %v, want x", v, err)
	}
	if err := a.Set(key, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.GetUint64(key); !errors.Is(err, ErrCorrupt) {
		t.Errorf("GetUint64 of 5 bytes = %v, want ErrCorrupt", err)
	}
}

// TestGetLogAfterClose: the library's metrics read the log without being waited for.
func TestGetLogAfterClose(t *testing.T) {
	db := testLogDB(t, vfs.NewMem())
	g, err := db.openGroup(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	if err := g.GetLog(1, &raft.Log{}); !errors.Is(err, ErrClosed) {
		t.Errorf("GetLog after close = %v, want ErrClosed", err)
	}
}

func TestLogTailIsBounded(t *testing.T) {
	var tail logTail
	for i := uint64(1); i <= 100; i++ {
		tail.push(testLogs(i, i, 1, tailBytes/10))
		if tail.bytes > tailBytes {
			t.Fatalf("tail holds %d bytes, want at most %d", tail.bytes, tailBytes)
		}
	}
	if _, ok := tail.get(100); !ok {
		t.Error("get(100) found nothing, want the newest entry")
	}
	if _, ok := tail.get(1); ok {
		t.Error("get(1) found an entry, want it dropped")
	}
	tail.push(testLogs(101, 101, 1, 2*tailBytes))
	if len(tail.logs) != 0 || tail.bytes != 0 {
		t.Errorf("tail holds %d entries, %d bytes after one that is too large", len(tail.logs), tail.bytes)
	}
}

func TestStartNumber(t *testing.T) {
	fs := vfs.NewCrashableMem()
	for want := uint64(1); want < 5; want++ {
		db := testLogDB(t, fs)
		if got, err := db.nextStart(); got != want || err != nil {
			t.Errorf("nextStart = %d, %v, want %d", got, err, want)
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{}) // it is durable at once
		if err := db.close(); err != nil {
			t.Fatal(err)
		}
	}
}
