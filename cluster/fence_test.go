package cluster

import (
	"errors"
	"testing"
)

func TestFenceAdmit(t *testing.T) {
	now := fence{ownership: 10, term: 3, n: 5}
	next := entry{kind: entryBatches, term: 3, ownership: 10, n: 6}
	with := func(change func(*entry)) entry {
		e := next
		change(&e)
		return e
	}
	for _, tt := range []struct {
		name  string
		fence fence
		entry entry
		term  uint64 // of the log entry
		want  fence
		ok    bool
	}{
		{"next", now, next, 3, fence{10, 3, 6}, true},
		{"repeated", now, with(func(e *entry) { e.n = 5 }), 3, now, false},
		{"after a lost one", now, with(func(e *entry) { e.n = 7 }), 3, now, false},
		{"older ownership", now, with(func(e *entry) { e.ownership = 9 }), 3, now, false},
		{"ownership not opened", now, with(func(e *entry) { e.ownership = 11 }), 3, now, false},
		{"proposed in an older term", now, with(func(e *entry) { e.term = 2 }), 3, now, false},
		{"log term is another", now, next, 4, now, false},
		{"nothing opened", fence{}, entry{kind: entryBatches, term: 3, n: 1}, 3, fence{}, false},
		{"open", now, entry{kind: entryOpen, term: 3}, 3, fence{20, 3, 0}, true},
		{"open of a later term", now, entry{kind: entryOpen, term: 4}, 4, fence{20, 4, 0}, true},
		{"open of an older term", now, entry{kind: entryOpen, term: 3}, 4, now, false},
		{"first after open", fence{20, 4, 0}, entry{kind: entryBatches, term: 4, ownership: 20, n: 1}, 4, fence{20, 4, 1}, true},
		{"old one after open", fence{20, 3, 0}, next, 3, fence{20, 3, 0}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.fence.admit(tt.entry, 20, tt.term)
			if got != tt.want || ok != tt.ok {
				t.Errorf("admit = %+v, %v, want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestFenceCodec(t *testing.T) {
	for _, f := range []fence{{}, {1, 2, 3}, {1 << 63, 1<<64 - 1, 1}} {
		got, err := decodeFence(f.append(nil))
		if err != nil || got != f {
			t.Errorf("decodeFence(append(%+v)) = %+v, %v", f, got, err)
		}
	}
	if got, err := decodeFence(nil); err != nil || got != (fence{}) {
		t.Errorf("decodeFence(nil) = %+v, %v, want the zero fence", got, err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"later version", []byte{2, 0, 0, 0}, ErrUnknownVersion},
		{"short", []byte{1, 0, 0}, ErrCorrupt},
		{"long", []byte{1, 0, 0, 0, 0}, ErrCorrupt},
		{"overflow", []byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, ErrCorrupt},
	} {
		if _, err := decodeFence(tt.data); !errors.Is(err, tt.want) {
			t.Errorf("%s: decodeFence(%v) = %v, want %v", tt.name, tt.data, err, tt.want)
		}
	}
}
