package actor

import "time"

// Stats says what a host holds now. Its parts are of slightly different moments.
type Stats struct {
	Activations int
	Hibernated  int // objects with sockets open that have left memory, as far as they were here before
	Bytes       int64
	Waiting     int64 // events that wait for their object's gate for the first time
	Running     int64 // events that have begun and are not over
	Stuck       int64 // handlers that ran into their time limit and do not end
	Quarantined int   // objects that were refused here and still are
	AlarmRuns   int   // under way
	AlarmRests  int   // objects whose alarm the platform could not run, and tries again soon
}

// Stats counts.
func (h *Host) Stats() Stats {
	s := Stats{Bytes: h.bytes.Load(), Running: h.running.Load(), Stuck: h.ailment.stuck.Load(), Quarantined: h.quarantines.count(time.Now())}
	s.Waiting = max(0, h.pending.Load()-s.Running)
	s.AlarmRuns, s.AlarmRests = h.clock.count()
	s.Activations, s.Hibernated = h.objects()
	return s
}

// objects says how many objects are in memory, and how many hibernate.
func (h *Host) objects() (active, hibernated int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.table), h.asleep.count()
}
