package actor

import (
	"sync"
	"time"
)

// Bounds of the removal of expired request keys, on one node.
const (
	sweepKeys = 256                    // of a shard at a time, and batches
	sweepRest = 100 * time.Millisecond // from one time to the next
)

// keySweeper removes expired request keys of the objects of owned shards. Nothing
// is decided when a batch is applied: the owner's clock says what has expired, and
// the batch removes a record only if it still expires then, so that it may be
// committed beside the object's own batches. It holds no key itself.
type keySweeper struct {
	host  *Host
	times *timetable // of expiries

	mu      sync.Mutex // guards the following fields
	pending int        // batches without an answer; nothing else is removed meanwhile
	rest    time.Time  // nothing is removed before
}

func newKeySweeper(h *Host) *keySweeper {
	s := &keySweeper{host: h, times: newTimetable()}
	s.times.start(s.sweep)
	return s
}

// sweep proposes to remove what has expired and says how long to wait until the
// next time; not ok means until it is poked.
func (s *keySweeper) sweep(now time.Time) (wait time.Duration, ok bool) {
	if s.rested(now) {
		for _, shard := range s.times.take(now.UnixMilli()) {
			s.sweepShard(shard, now.UnixMilli())
		}
	}
	first := s.times.first()
	s.mu.Lock()
	defer s.mu.Unlock()
	if first == 0 || s.pending > 0 {
		return 0, false
	}
	return max(0, time.Until(time.UnixMilli(first)), time.Until(s.rest)), true
}

func (s *keySweeper) rested(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending == 0 && !now.Before(s.rest)
}

// sweepShard removes keys of one shard if this time has room for more. The shard
// is looked at again when the batches have their answers.
func (s *keySweeper) sweepShard(shard uint32, ms int64) {
	s.mu.Lock()
	full := s.pending >= sweepKeys
	s.mu.Unlock()
	if full {
		s.times.set(shard, ms)
		return
	}
	expired, next, err := s.host.store.ExpiredKeys(shard, ms, sweepKeys)
	if err != nil {
		s.host.log.Error("could not read expired request keys", "shard", shard, "error", err)
		s.times.set(shard, ms+time.Minute.Milliseconds())
		return
	}
	if len(expired) == 0 {
		if next != 0 {
			s.times.set(shard, next)
		}
		return
	}
	batches := make(map[ID]*Batch)
	for _, k := range expired {
		if batches[k.Object] == nil {
			batches[k.Object] = &Batch{Object: k.Object}
		}
		batches[k.Object].Keyed = append(batches[k.Object].Keyed, KeyedChange{Op: KeyedExpired, Key: k.Key, Expires: k.Expires})
	}
	s.mu.Lock()
	s.pending += len(batches)
	s.rest = time.Now().Add(sweepRest)
	s.mu.Unlock()
	for _, b := range batches {
		s.commit(shard, b)
	}
}

func (s *keySweeper) commit(shard uint32, b *Batch) {
	ownership, err := s.host.committer.Ownership(b.Object)
	if err != nil {
		s.swept(shard, err)
		return
	}
	s.host.committer.Commit(b.Object, ownership, b.Append(nil), func(err error) { s.swept(shard, err) })
}

// swept takes the answer of a batch. What could not be removed now is tried again,
// here or by the next owner; nobody waits for it.
func (s *keySweeper) swept(shard uint32, err error) {
	s.mu.Lock()
	s.pending--
	over := s.pending == 0
	s.mu.Unlock()
	again := time.Now()
	if err != nil {
		again = again.Add(alarmPlatformGap)
	}
	s.times.set(shard, again.UnixMilli())
	if over {
		s.times.poke()
	}
}
