package transport

import (
	"sync"
	"time"
)

const (
	// ackDelay is how long the acknowledgement of a frame may wait for others.
	ackDelay = 50 * time.Millisecond
	// ackFrames and ackBytes are how much may be waiting for one.
	ackFrames = 64
	ackBytes  = 128 << 10
)

// acks tells owners, soon but not for each frame, how far their frames have come.
type acks struct {
	relay *Relay

	mu   sync.Mutex // guards due
	due  map[*room]struct{}
	runs bool
}

func newAcks(rl *Relay) *acks {
	return &acks{relay: rl, due: make(map[*room]struct{})}
}

// later has the room acknowledged within ackDelay.
func (a *acks) later(r *room) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due[r] = struct{}{}
	if !a.runs {
		a.runs = a.relay.spawn(a.run)
	}
}

// run acknowledges until nothing is due.
func (a *acks) run() {
	timer := time.NewTimer(ackDelay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-a.relay.ctx.Done():
			return
		}
		a.mu.Lock()
		due := a.due
		a.due = make(map[*room]struct{})
		a.runs = len(due) > 0
		a.mu.Unlock()
		if len(due) == 0 {
			return
		}
		for r := range due {
			r.acknowledge()
		}
		timer.Reset(ackDelay)
	}
}
