package actor

import (
	"testing"
	"time"
)

// TestStrikes: two strikes refuse the object, each later one for twice as long, up to an hour.
func TestStrikes(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	var p PoisonRecord
	want := []time.Duration{0, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour}
	for i, want := range want {
		p = p.struck(now)
		if got, refused := p.refuses(now); refused != (want > 0) || refused && got != want {
			t.Fatalf("after strike %d: refuses = %v, %v, want %v", i+1, got, refused, want)
		}
		now = now.Add(want)
		if got, refused := p.refuses(now); refused {
			t.Fatalf("after strike %d and its quarantine: refuses = %v", i+1, got)
		}
	}
	// The last one counts from its end: else an hour would be longer than the memory of it.
	if q := p.lapsed(now.Add(strikeLapse - time.Millisecond)); q != p {
		t.Errorf("before ten minutes have passed: %+v, want %+v", q, p)
	}
	if q := p.lapsed(now.Add(strikeLapse)); q != (PoisonRecord{}) {
		t.Errorf("ten minutes later: %+v, want nothing", q)
	}
	if got, refused := p.refuses(now.Add(-24 * time.Hour)); !refused || got != lastQuarantine {
		t.Errorf("by a clock that is a day behind: refuses = %v, %v, want %v", got, refused, lastQuarantine)
	}
}

// TestMarksAreJudgedByTheNextOwner: only a mark of another ownership is a strike.
func TestMarksAreJudgedByTheNextOwner(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	marked := PoisonRecord{Class: "C", Name: "n", Marked: 3, Since: 5}
	if got, struck := marked.judged(3, now); struck || got != (PoisonRecord{}) {
		t.Errorf("judged by the same ownership = %+v, %v, want nothing", got, struck)
	}
	got, struck := marked.judged(4, now)
	if want := (PoisonRecord{Class: "C", Name: "n", Strikes: 1, Struck: now.UnixMilli()}); !struck || got != want {
		t.Errorf("judged by the next ownership = %+v, %v, want %+v", got, struck, want)
	}
	if got, struck := got.judged(5, now.Add(time.Minute)); struck || got.Strikes != 1 {
		t.Errorf("judged without a mark = %+v, %v, want it unchanged", got, struck)
	}
	if got, _ := got.judged(5, now.Add(strikeLapse)); got != (PoisonRecord{}) {
		t.Errorf("judged ten minutes later = %+v, want nothing", got)
	}
	marked.Strikes, marked.Struck = 1, now.UnixMilli()
	if got, _ := marked.judged(4, now.Add(strikeLapse)); got.Strikes != 1 {
		t.Errorf("a strike after one that lapsed: %d strikes, want 1", got.Strikes)
	}
}
