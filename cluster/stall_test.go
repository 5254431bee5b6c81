package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWritesInProgress: only the oldest write that is not over counts, in
// whatever order they end.
func TestWritesInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writesInProgress
		check := func(what string, want bool) {
			t.Helper()
			if got := w.stalled(500 * time.Millisecond); got != want {
				t.Errorf("%s: stalled = %v, want %v", what, got, want)
			}
		}
		check("nothing", false)
		first := w.begin()
		time.Sleep(400 * time.Millisecond)
		second := w.begin()
		check("a young one", false)
		time.Sleep(200 * time.Millisecond)
		check("an old one", true)
		w.end(first)
		check("the old one is over", false)
		third := w.begin()
		w.end(third)
		time.Sleep(400 * time.Millisecond)
		check("the second is old, a later one is over", true)
		w.end(second)
		check("all are over", false)
		time.Sleep(time.Hour)
		check("an hour later", false)
	})
}

// TestProgress: answers of an older term say nothing, and a heartbeat says only
// that the replica is there.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p progress
		start := time.Now()
		p.record("a", 3, 10)
		p.record("a", 3, 0)
		if matched, heard := p.get("a", 3); matched != 10 || !heard.Equal(start) {
			t.Errorf("get = %d, %v, want 10 now", matched, heard)
		}
		time.Sleep(time.Second)
		p.record("a", 2, 90)
		if matched, heard := p.get("a", 3); matched != 10 || !heard.Equal(start) {
			t.Errorf("get after an answer of an older term = %d, %v, want 10 at the start", matched, heard)
		}
		p.record("a", 4, 5)
		if matched, _ := p.get("a", 4); matched != 5 {
			t.Errorf("get in a new term = %d, want 5", matched)
		}
		if matched, heard := p.get("a", 3); matched != 0 || !heard.IsZero() {
			t.Errorf("get of a term that is over = %d, %v, want nothing", matched, heard)
		}
	})
}
