package cluster

import "testing"

func TestQueueGather(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int // of the waiting batches
		want  []int // batches in each entry
	}{
		{"one", []int{10}, []int{1}},
		{"all that wait", []int{10, 20, 0, 30}, []int{4}},
		{"closed at the bound", []int{maxEntryBytes / 2, maxEntryBytes / 2, 1}, []int{2, 1}},
		{"a large one alone", []int{1, 3 * maxEntryBytes, 1, 1}, []int{1, 1, 2}},
		{"a large one first", []int{3 * maxEntryBytes, 1}, []int{1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var q queue
			total := 0
			for _, size := range tt.sizes {
				q.push(proposal{batch: make([]byte, size)})
				total += size
			}
			for i, want := range tt.want {
				if q.bytes() != total {
					t.Errorf("bytes = %d before entry %d, want %d", q.bytes(), i, total)
				}
				proposals, bytes := q.gather()
				if len(proposals) != want {
					t.Errorf("entry %d has %d batches, want %d", i, len(proposals), want)
				}
				total -= bytes
			}
			if len(q.waiting) != 0 || q.bytes() != 0 {
				t.Errorf("%d batches, %d bytes are left", len(q.waiting), q.bytes())
			}
		})
	}
}

func TestQueueReady(t *testing.T) {
	for _, tt := range []struct {
		name             string
		waiting, flights int
		alone, want      bool
	}{
		{"nothing waits", 0, 0, true, false},
		{"alone, nothing in flight", 1, 0, true, true},
		{"alone, one in flight", 1, 1, true, false},
		{"alone, one in flight, a full entry", maxEntryBytes, 1, true, true},
		{"alone, at the bound", maxEntryBytes, maxFlights, true, false},
		{"with followers", 1, maxFlights - 1, false, true},
		{"with followers, at the bound", maxEntryBytes, maxFlights, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var q queue
			if tt.waiting > 0 {
				q.push(proposal{batch: make([]byte, tt.waiting)})
			}
			for range tt.flights {
				q.launch(&flight{})
			}
			if got := q.ready(tt.alone); got != tt.want {
				t.Errorf("ready = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestQueueLand(t *testing.T) {
	var q queue
	for n := uint64(1); n <= 3; n++ {
		q.launch(&flight{n: n, bytes: 10})
	}
	if f := q.land(2); f == nil || f.n != 2 {
		t.Errorf("land(2) = %v", f)
	}
	if f := q.land(2); f != nil {
		t.Errorf("second land(2) = %v, want nil: it has its answer", f)
	}
	if q.bytes() != 20 || len(q.flights) != 2 || q.flights[0].n != 1 || q.flights[1].n != 3 {
		t.Errorf("%d bytes, %d flights are left, want 20 bytes in 1 and 3", q.bytes(), len(q.flights))
	}
}
