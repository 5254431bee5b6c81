package actor

import "time"

// A Go loop cannot be ended and a class's memory cannot be bounded, so an object
// may take its node down, and the next one, and so on. What keeps that from
// going on for ever is that its record of poison is durable and moves with it.

const (
	// markAfter is how long a handler may run before its object is marked. Whoever
	// ends the process sooner is not recognised.
	markAfter = 250 * time.Millisecond
	// reportAfter is how long it may run before its stack is logged.
	reportAfter = 5 * time.Second

	quarantineStrikes = 2
	firstQuarantine   = 30 * time.Second // doubles with each strike that follows
	lastQuarantine    = time.Hour
	strikeLapse       = 10 * time.Minute // after the last strike, or the quarantine that it brought

	strikeFailures = 5 // panics and time-outs within failureSpan that are a strike
	failureSpan    = time.Minute
)

// PoisonRecord is what the state keeps of an object that may harm its node. The
// zero value, which is not stored, is that of nearly all objects. Times are
// milliseconds of the Unix epoch by the clock of the owner who wrote them.
type PoisonRecord struct {
	Class string
	Name  string

	// Marked is the ownership under which a handler runs that has run for long, 0
	// if none does; Since is when it began.
	Marked uint64
	Since  int64

	Strikes     uint8
	Struck      int64 // the last strike
	Quarantines uint8 // that followed each other
	Until       int64 // the end of the last one; 0 = there was none
}

// trimmed is the zero value if there is nothing to remember.
func (p PoisonRecord) trimmed() PoisonRecord {
	if p.Marked == 0 && p.Strikes == 0 {
		return PoisonRecord{}
	}
	return p
}

// unmarked is the record when no handler runs.
func (p PoisonRecord) unmarked() PoisonRecord {
	p.Marked, p.Since = 0, 0
	return p.trimmed()
}

// lapsed is the record without strikes that were long enough ago.
func (p PoisonRecord) lapsed(now time.Time) PoisonRecord {
	last := time.UnixMilli(max(p.Struck, p.Until))
	if p.Strikes > 0 && now.Sub(last) >= strikeLapse {
		p.Strikes, p.Struck, p.Quarantines, p.Until = 0, 0, 0, 0
	}
	return p.trimmed()
}

// struck is the record after one strike more.
func (p PoisonRecord) struck(now time.Time) PoisonRecord {
	p = p.lapsed(now)
	p.Strikes, p.Struck = min(p.Strikes, quarantineStrikes)+1, now.UnixMilli()
	if p.Strikes < quarantineStrikes {
		return p
	}
	term := lastQuarantine
	if p.Quarantines < 8 { // 30 s, 1 min ... 64 min are all that matter
		term = min(firstQuarantine<<p.Quarantines, lastQuarantine)
		p.Quarantines++
	}
	p.Until = now.Add(term).UnixMilli()
	return p
}

// judged is the record as an owner takes it over: a mark that another ownership
// left behind is a strike, because the handler's end was not seen.
func (p PoisonRecord) judged(ownership uint64, now time.Time) (judged PoisonRecord, struck bool) {
	struck = p.Marked != 0 && p.Marked != ownership
	judged = p.lapsed(now)
	if struck {
		judged = judged.struck(now)
	}
	return judged.unmarked(), struck
}

// refuses says for how long the object is still refused. Another owner's clock
// may have been wrong, so it is never longer than the longest quarantine.
func (p PoisonRecord) refuses(now time.Time) (wait time.Duration, refused bool) {
	if p.Strikes < quarantineStrikes {
		return 0, false
	}
	wait = min(time.UnixMilli(p.Until).Sub(now), lastQuarantine)
	return wait, wait > 0
}
