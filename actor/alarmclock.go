package actor

import (
	"context"
	"errors"
	"sync"
	"time"
)

// alarmClock fires the alarms of the shards that this node owns.
type alarmClock struct {
	host  *Host
	times *timetable // of alarms

	mu      sync.Mutex          // guards the following fields
	running map[ID]struct{}     // runs under way, at most maxAlarmRuns
	resting map[ID]time.Time    // objects that rest until then, after a run that the platform broke
	starved map[uint32]struct{} // shards with due alarms that found no room; the end of any run looks again
}

func newAlarmClock(h *Host) *alarmClock {
	c := &alarmClock{
		host: h, times: newTimetable(),
		running: make(map[ID]struct{}), resting: make(map[ID]time.Time), starved: make(map[uint32]struct{}),
	}
	c.times.start(c.fireDue)
	return c
}

// fireDue fires what is due and says how long to wait for the next.
func (c *alarmClock) fireDue(now time.Time) (wait time.Duration, ok bool) {
	ms := now.UnixMilli()
	limit := c.wakeRested(now) + maxAlarmRuns
	for _, shard := range c.times.take(ms) {
		c.fire(shard, ms, limit)
	}
	first := c.times.first()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, until := range c.resting {
		if ms := until.UnixMilli(); first == 0 || ms < first {
			first = ms
		}
	}
	return max(0, time.Until(time.UnixMilli(first))), first != 0
}

// count says how many runs are under way, and how many objects rest.
func (c *alarmClock) count() (running, resting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running), len(c.resting)
}

// wakeRested lets objects fire again whose run the platform broke, and says how many
// run or rest.
func (c *alarmClock) wakeRested(now time.Time) (busy int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for object, until := range c.resting {
		if until.UnixMilli() <= now.UnixMilli() {
			delete(c.resting, object)
			c.times.again(c.host.shardOf(object))
		}
	}
	return len(c.running) + len(c.resting)
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
	if next != 0 {
		c.times.set(shard, next)
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
		c.starved[shard] = struct{}{}
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
	defer c.mu.Unlock()
	delete(c.running, object)
	if isRefusal(err) || errors.Is(err, ErrOutcomeUnknown) {
		c.host.events.alarmDeferred()
	}
	if err != nil {
		c.resting[object] = time.Now().Add(restOf(err))
		c.times.poke()
	} else {
		c.times.again(c.host.shardOf(object))
	}
	for shard := range c.starved {
		c.times.again(shard)
	}
	clear(c.starved)
}
