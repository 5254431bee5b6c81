package actor

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// timetable knows for each shard that this node owns when the first of some kind
// of thing is due in it, and does what is due on a goroutine of its own. It holds
// none of the things: the Store keeps them in order of time.
type timetable struct {
	wake  chan struct{} // one slot; never closed
	stop  chan struct{}
	pulse chan struct{} // taken in each turn: that shows that it turns
	wg    sync.WaitGroup

	mu   sync.Mutex       // guards the following field
	next map[uint32]int64 // first due time of each owned shard, milliseconds; 0 = none
}

func newTimetable() *timetable {
	return &timetable{wake: make(chan struct{}, 1), stop: make(chan struct{}), pulse: make(chan struct{}), next: make(map[uint32]int64)}
}

// start begins to call turn, which does what is due and says how long to wait for
// the next; not ok means until the timetable is poked.
func (t *timetable) start(turn func(now time.Time) (wait time.Duration, ok bool)) {
	t.wg.Go(func() { t.loop(turn) })
}

func (t *timetable) close() {
	close(t.stop)
	t.wg.Wait()
}

func (t *timetable) loop(turn func(now time.Time) (time.Duration, bool)) {
	for {
		var due <-chan time.Time
		var timer *time.Timer
		if wait, ok := turn(time.Now()); ok {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		select {
		case <-t.stop:
			return
		case <-t.wake:
		case <-t.pulse:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// poke has a turn come at once.
func (t *timetable) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// own takes a shard in, or strikes it out.
func (t *timetable) own(shard uint32, owned bool) {
	t.mu.Lock()
	if owned {
		t.next[shard] = 1
	} else {
		delete(t.next, shard)
	}
	t.mu.Unlock()
	t.poke()
}

// owned gives the shards that are in.
func (t *timetable) owned() []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.next))
}

// set learns that something is due then. It does not block.
func (t *timetable) set(shard uint32, due int64) {
	t.mu.Lock()
	next, owned := t.next[shard]
	sooner := owned && (next == 0 || due < next)
	if sooner {
		t.next[shard] = due
	}
	t.mu.Unlock()
	if sooner {
		t.poke()
	}
}

// again has a shard looked at in the next turn.
func (t *timetable) again(shard uint32) { t.set(shard, 1) }

// take gives the shards in which something is due. They are not given again until
// more is set.
func (t *timetable) take(ms int64) (shards []uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for shard, next := range t.next {
		if next != 0 && next <= ms {
			shards = append(shards, shard)
			t.next[shard] = 0
		}
	}
	return shards
}

// first gives the first due time of all; 0 = none.
func (t *timetable) first() (first int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, next := range t.next {
		if next != 0 && (first == 0 || next < first) {
			first = next
		}
	}
	return first
}
