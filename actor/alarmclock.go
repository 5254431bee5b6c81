package actor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// alarmClock fires the alarms of the shards that this node owns. It holds no
// alarm itself: the Store keeps them in order of time, and the clock knows for
// each shard when the first one is due.
type alarmClock struct {
	host *Host
	wake chan struct{} // one slot; never closed
	stop chan struct{}
	wg   sync.WaitGroup

	pulse chan struct{} // taken in each turn: that shows that it turns

	mu      sync.Mutex       // guards the following fields
	next    map[uint32]int64 // first due time of each owned shard, milliseconds; 0 = none
	running map[ID]struct{}  // runs under way, at most maxAlarmRuns
	resting map[ID]time.Time // objects that rest until then, after a run that the platform broke
	starved map[uint32]bool  // shards with due alarms that found no room; the end of any run looks again
}

func newAlarmClock(h *Host) *alarmClock {
	c := &alarmClock{
		host: h, wake: make(chan struct{}, 1), stop: make(chan struct{}), pulse: make(chan struct{}), next: make(map[uint32]int64),
		running: make(map[ID]struct{}), resting: make(map[ID]time.Time), starved: make(map[uint32]bool),
	}
	c.wg.Go(c.loop)
	return c
}

func (c *alarmClock) close() {
	close(c.stop)
	c.wg.Wait()
}

// own starts (or stops) firing the alarms of a shard.
func (c *alarmClock) own(shard uint32, owned bool) {
	c.mu.Lock()
	if owned {
		c.next[shard] = 1
	} else {
		delete(c.next, shard)
	}
	c.mu.Unlock()
	c.poke()
}

// owned gives the shards whose alarms it fires.
func (c *alarmClock) owned() []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.next))
}

// set learns that an alarm was set. It may be called from any goroutine.
func (c *alarmClock) set(shard uint32, due int64) {
	c.mu.Lock()
	next, owned := c.next[shard]
	sooner := owned && (next == 0 || due < next)
	if sooner {
		c.next[shard] = due
	}
	c.mu.Unlock()
	if sooner {
		c.poke()
	}
}

func (c *alarmClock) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *alarmClock) loop() {
	for {
		var due <-chan time.Time
		var timer *time.Timer
		if wait, ok := c.scan(time.Now()); ok {
			timer = time.NewTimer(wait)
			due = timer.C
		}
		select {
		case <-c.stop:
			return
		case <-c.wake:
		case <-c.pulse:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// scan fires what is due and says how long to wait for the next.
func (c *alarmClock) scan(now time.Time) (wait time.Duration, ok bool) {
	ms := now.UnixMilli()
	c.mu.Lock()
	var shards []uint32
	for shard, next := range c.next {
		if next != 0 && next <= ms {
			shards = append(shards, shard)
			c.next[shard] = 0
		}
	}
	rested := c.wakeRestedLocked(now)
	limit := len(c.running) + len(c.resting) + maxAlarmRuns
	c.mu.Unlock()
	for _, shard := range shards {
		c.fire(shard, ms, limit)
	}
	if rested {
		c.poke()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	first := int64(0)
	for _, next := range c.next {
		if next != 0 && (first == 0 || next < first) {
			first = next
		}
	}
	for _, until := range c.resting {
		if ms := until.UnixMilli(); first == 0 || ms < first {
			first = ms
		}
	}
	return max(0, time.Until(time.UnixMilli(first))), first != 0
}

// wakeRestedLocked lets objects fire again whose run the platform broke.
func (c *alarmClock) wakeRestedLocked(now time.Time) (woken bool) {
	for object, until := range c.resting {
		if until.UnixMilli() <= now.UnixMilli() {
			delete(c.resting, object)
			shard := c.host.shardOf(object)
			if _, owned := c.next[shard]; owned {
				c.next[shard], woken = 1, true
			}
		}
	}
	return woken
}

func (c *alarmClock) fire(shard uint32, ms int64, limit int) {
	due, next, err := c.host.store.DueAlarms(shard, ms, limit)
	if err != nil {
		c.host.log.Error("could not read due alarms", "shard", shard, "error", err)
		next = ms + alarmPlatformGap.Milliseconds()
	}
	for _, alarm := range due {
		start, room := c.reserve(shard, alarm.Object)
		if !room {
			return
		}
		if start {
			c.start(alarm.Object)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now, owned := c.next[shard]; owned && next != 0 && (now == 0 || next < now) {
		c.next[shard] = next
	}
}

// reserve notes a run that is about to start; not if the object's last one is
// under way or it rests. Without room the shard has to wait for the end of a run.
func (c *alarmClock) reserve(shard uint32, object ID) (start, room bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, running := c.running[object]
	_, resting := c.resting[object]
	switch {
	case running || resting:
		return false, true
	case len(c.running) >= maxAlarmRuns:
		c.starved[shard] = true
		return false, false
	}
	c.running[object] = struct{}{}
	return true, true
}

func (c *alarmClock) start(object ID) {
	var once sync.Once
	done := func(err error) { once.Do(func() { c.finished(object, err) }) }
	ev := &event{kind: EventAlarm, fail: done}
	ev.body = func(ctx context.Context, ev *event) { ev.act.runAlarm(ctx, ev, done) }
	if _, err := c.host.deliverStored(object, ev); err != nil {
		done(err)
	}
}

// restOf says how long an object rests after an error that its code did not cause.
func restOf(err error) time.Duration {
	if quarantined, ok := errors.AsType[*QuarantineError](err); ok {
		return max(quarantined.Wait, alarmPlatformGap)
	}
	return alarmPlatformGap
}

// finished makes the clock look at the shard again. After an error that the
// object's code did not cause the alarm stands as it was; it rests for a moment.
// The failures of the object's code are in the Store already, as a later time.
func (c *alarmClock) finished(object ID, err error) {
	c.mu.Lock()
	delete(c.running, object)
	if err != nil {
		c.resting[object] = time.Now().Add(restOf(err))
	} else {
		shard := c.host.shardOf(object)
		if _, owned := c.next[shard]; owned {
			c.next[shard] = 1
		}
	}
	for shard := range c.starved {
		if _, owned := c.next[shard]; owned {
			c.next[shard] = 1
		}
	}
	clear(c.starved)
	c.mu.Unlock()
	c.poke()
}
