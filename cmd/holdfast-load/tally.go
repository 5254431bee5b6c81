package main

import (
	"sync"
	"time"
)

// tally counts what became of calls and sockets, and tells apart during which
// step of the run they began.
type tally struct {
	// Fixed after newTally.
	doors   []string
	objects []string

	mu    sync.Mutex // guards the following fields
	steps []*step
	gaps  *gaps
}

// step is a part of the run, from a mark to the next.
type step struct {
	name    string
	begun   time.Time
	planned bool // no client of the first door may notice it
	doors   map[string]*doorCount
	talk    talkCount

	gap        time.Duration            // longest time in which no write was acknowledged
	objectGaps map[string]time.Duration // the same for each object
}

// doorCount is what became of the calls that came through a door.
type doorCount struct {
	requests  int
	done      int
	failed    int            // certainly did not run
	again     int            // of these, those that did not run when they were made once more
	unknown   int            // nobody knows
	causes    map[string]int // of what is not done
	latencies []time.Duration
}

// talkCount is what became of sockets and of what was said through them.
type talkCount struct {
	said      int
	heard     int // came back to who said it
	unheard   int // did not, because the socket closed or time was up
	closed    int // sockets that closed by themselves
	refused   int // attempts to open one that failed
	causes    map[string]int
	away      time.Duration // longest time of a member without a socket
	latencies []time.Duration
}

func newTally(doors, objects []string) *tally {
	t := &tally{doors: doors, objects: objects}
	now := time.Now()
	t.gaps = newGaps(now)
	t.markAt("start", false, now)
	return t
}

// mark begins a step.
func (t *tally) mark(name string, planned bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.markAt(name, planned, time.Now())
}

func (t *tally) markAt(name string, planned bool, now time.Time) {
	s := &step{
		name: name, begun: now, planned: planned, objectGaps: make(map[string]time.Duration),
		doors: make(map[string]*doorCount), talk: talkCount{causes: make(map[string]int)},
	}
	for _, door := range t.doors {
		s.doors[door] = &doorCount{causes: make(map[string]int)}
	}
	t.steps = append(t.steps, s)
}

// at gives the step that a moment is in.
func (t *tally) at(moment time.Time) *step {
	return t.steps[t.indexAt(moment)]
}

func (t *tally) indexAt(moment time.Time) int {
	i := len(t.steps) - 1
	for i > 0 && moment.Before(t.steps[i].begun) {
		i--
	}
	return i
}

// called notes how a call ended that began at a moment. A call that is made again
// counts for what became of the first.
func (t *tally) called(door string, begun time.Time, o outcome) {
	took := time.Since(begun)
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.at(begun).doors[door]
	c.requests++
	c.latencies = append(c.latencies, took)
	switch o.fate {
	case fateDone:
		c.done++
		return
	case fateRefused:
		c.failed++
	case fateUnknown, fateWrong:
		c.unknown++
	}
	c.causes[o.cause]++
}

// calledAgain notes how the call ended that was made in place of one that did not
// run and began at a moment.
func (t *tally) calledAgain(door string, begun time.Time, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.at(begun).doors[door]
	switch o.fate {
	case fateDone:
	case fateRefused:
		c.again++
	case fateUnknown, fateWrong:
		c.unknown++
		c.causes[o.cause]++
	}
}

// wrote notes that a write to an object was acknowledged.
func (t *tally) wrote(object string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noteGaps(object, time.Now())
}

// noteGaps ends the gaps that an acknowledged write ends. A gap counts in full for
// each step that it touches: nobody can say which of them it belongs to.
func (t *tally) noteGaps(object string, now time.Time) {
	since, sinceObject := t.gaps.write(object, now)
	for _, s := range t.steps[t.indexAt(since):] {
		s.gap = max(s.gap, now.Sub(since))
	}
	for _, s := range t.steps[t.indexAt(sinceObject):] {
		s.objectGaps[object] = max(s.objectGaps[object], now.Sub(sinceObject))
	}
}

// end closes all gaps: what was not written to until now has waited until now.
func (t *tally) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, object := range t.objects {
		t.noteGaps(object, now)
	}
}

// talked lets a member note something of its step.
func (t *tally) talked(moment time.Time, note func(c *talkCount)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	note(&t.at(moment).talk)
}

// gaps remembers when writes were last acknowledged.
type gaps struct {
	begun time.Time
	last  time.Time
	of    map[string]time.Time
}

func newGaps(now time.Time) *gaps {
	return &gaps{begun: now, last: now, of: make(map[string]time.Time)}
}

// write gives the last moments before now at which any object, and this one, had
// been written to; the begin of the run if none.
func (g *gaps) write(object string, now time.Time) (since, sinceObject time.Time) {
	since, sinceObject = g.last, g.of[object]
	if sinceObject.IsZero() {
		sinceObject = g.begun
	}
	g.last, g.of[object] = now, now
	return since, sinceObject
}
