package actor

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what a host remembers of objects that fail. Whatever is dropped beyond
// them is looked up again (quarantines) or begins anew (failures).
const (
	maxQuarantines = 16 << 10
	maxFailing     = 16 << 10
)

// QuarantineError refuses an object that may have ended the processes of earlier
// owners, or fails again and again. It is an ErrOverloaded: nothing ran.
type QuarantineError struct {
	Wait time.Duration // after which it is admitted again
}

// Error says for how long.
func (e *QuarantineError) Error() string {
	return fmt.Sprintf("actor: the object is quarantined for another %v", e.Wait.Round(time.Second))
}

// Unwrap makes it a refusal.
func (e *QuarantineError) Unwrap() error { return ErrOverloaded }

// quarantines spares objects that are refused an activation, and counts failures.
// What matters for long is in the Store.
type quarantines struct {
	some atomic.Bool // until may have an entry; most nodes never look further

	mu      sync.Mutex // guards the following fields
	until   map[ID]time.Time
	failing map[ID]*failures
}

// failures are the last panics and time-outs of an object, as a ring.
type failures struct {
	at   [strikeFailures]time.Time
	next int
}

func newQuarantines() *quarantines {
	return &quarantines{until: make(map[ID]time.Time), failing: make(map[ID]*failures)}
}

func (q *quarantines) add(object ID, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	makeRoom(q.until, maxQuarantines)
	q.until[object] = until
	q.some.Store(true)
}

// check gives a QuarantineError if the object is known to be refused.
func (q *quarantines) check(object ID) error {
	if !q.some.Load() {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	until, ok := q.until[object]
	if !ok {
		return nil
	}
	if wait := time.Until(until); wait > 0 {
		return &QuarantineError{Wait: wait}
	}
	delete(q.until, object)
	q.some.Store(len(q.until) > 0)
	return nil
}

// count says how many objects are known to be refused.
func (q *quarantines) count(now time.Time) (n int) {
	if !q.some.Load() {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, until := range q.until {
		if until.After(now) {
			n++
		}
	}
	return n
}

// forget drops all that is remembered of an object.
func (q *quarantines) forget(object ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.until, object)
	delete(q.failing, object)
}

// failed notes a failure and says whether there were enough of them for a strike.
func (q *quarantines) failed(object ID, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.failing[object]
	if f == nil {
		makeRoom(q.failing, maxFailing)
		f = new(failures)
		q.failing[object] = f
	}
	f.at[f.next] = now
	f.next = (f.next + 1) % strikeFailures
	if oldest := f.at[f.next]; oldest.IsZero() || now.Sub(oldest) >= failureSpan {
		return false
	}
	delete(q.failing, object)
	return true
}

// makeRoom drops any one entry of a map that is full.
func makeRoom[V any](m map[ID]V, most int) {
	if len(m) < most {
		return
	}
	for object := range m {
		delete(m, object)
		return
	}
}

// Quarantined is an object that is refused.
type Quarantined struct {
	Target
	Strikes int
	Until   time.Time
}

// Quarantined gives the objects of this node's shards that are refused now.
func (h *Host) Quarantined() (all []Quarantined, err error) {
	now := time.Now()
	for _, shard := range h.clock.times.owned() {
		err := h.store.Poisons(shard, func(object ID, p PoisonRecord) bool {
			if wait, refused := p.refuses(now); refused {
				all = append(all, Quarantined{Target: Target{Class: p.Class, ID: object, Name: p.Name}, Strikes: int(p.Strikes), Until: now.Add(wait)})
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
