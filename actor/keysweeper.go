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
	host *Host
	wake chan struct{} // one slot; never closed
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex       // guards the following fields
	next    map[uint32]int64 // when the first key of each owned shard expires, milliseconds; 0 = none
	pending int              // batches without an answer; nothing else is removed meanwhile
	rest    time.Time        // nothing is removed before
}

func newKeySweeper(h *Host) *keySweeper {
	s := &keySweeper{host: h, wake: make(chan struct{}, 1), stop: make(chan struct{}), next: make(map[uint32]int64)}
	s.wg.Go(s.loop)
	return s
}

func (s *keySweeper) close() {
	close(s.stop)
	s.wg.Wait()
}

// own starts (or stops) removing the keys of a shard.
func (s *keySweeper) own(shard uint32, owned bool) {
	s.mu.Lock()
	if owned {
		s.next[shard] = 1
	} else {
		delete(s.next, shard)
	}
	s.mu.Unlock()
	s.poke()
}

// set learns when a key expires.
func (s *keySweeper) set(shard uint32, expires int64) {
	s.mu.Lock()
	next, owned := s.next[shard]
	sooner := owned && (next == 0 || expires < next)
	if sooner {
		s.next[shard] = expires
	}
	s.mu.Unlock()
	if sooner {
		s.poke()
	}
}

func (s *keySweeper) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *keySweeper) loop() {
	for {
		var due <-chan time.Time
		var timer *time.Timer
		if wait, ok := s.sweep(time.Now()); ok {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		select {
		case <-s.stop:
			return
		case <-s.wake:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// sweep proposes to remove what has expired and says how long to wait until the
// next time; not ok means until it is poked.
func (s *keySweeper) sweep(now time.Time) (wait time.Duration, ok bool) {
	for _, shard := range s.due(now) {
		s.sweepShard(shard, now.UnixMilli())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := int64(0)
	for _, next := range s.next {
		if next != 0 && (first == 0 || next < first) {
			first = next
		}
	}
	if first == 0 || s.pending > 0 {
		return 0, false
	}
	return max(0, time.Until(time.UnixMilli(first)), time.Until(s.rest)), true
}

// due gives the shards to be looked at, none as long as the sweeper rests.
func (s *keySweeper) due(now time.Time) (shards []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending > 0 || now.Before(s.rest) {
		return nil
	}
	for shard, next := range s.next {
		if next != 0 && next <= now.UnixMilli() {
			shards = append(shards, shard)
			s.next[shard] = 0
		}
	}
	return shards
}

// sweepShard removes keys of one shard if this time has room for more. The shard
// is looked at again when the batches have their answers.
func (s *keySweeper) sweepShard(shard uint32, ms int64) {
	s.mu.Lock()
	full := s.pending >= sweepKeys
	s.mu.Unlock()
	if full {
		s.set(shard, ms)
		return
	}
	expired, next, err := s.host.store.ExpiredKeys(shard, ms, sweepKeys)
	if err != nil {
		s.host.log.Error("could not read expired request keys", "shard", shard, "error", err)
		s.set(shard, ms+time.Minute.Milliseconds())
		return
	}
	if len(expired) == 0 {
		if next != 0 {
			s.set(shard, next)
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
	s.set(shard, again.UnixMilli())
	if over {
		s.poke()
	}
}
