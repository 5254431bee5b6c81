package cluster

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logStall is how long a write of the log may wait before the node falls silent.
	logStall = 500 * time.Millisecond
	// applyStall is the same for the state of one shard.
	applyStall = 2 * time.Second
)

// busySince says since when one thing at a time has been going on.
type busySince struct {
	since atomic.Pointer[time.Time]
}

func (b *busySince) begin() {
	now := time.Now()
	b.since.Store(&now)
}

func (b *busySince) end() { b.since.Store(nil) }

// longer says whether it has been going on for longer than d.
func (b *busySince) longer(d time.Duration) bool {
	since := b.since.Load()
	return since != nil && time.Since(*since) > d
}

// writesInProgress knows the oldest of the writes of a log that are going on.
// Whoever asks takes no lock: a stalled disk must not stall him, too.
type writesInProgress struct {
	oldest atomic.Pointer[writeInProgress] // nil: none

	mu     sync.Mutex         // guards the following field
	writes []*writeInProgress // oldest first
}

type writeInProgress struct {
	start time.Time
	over  bool // guarded by writesInProgress.mu
}

// begin notes a write, and end its end.
func (w *writesInProgress) begin() *writeInProgress {
	p := &writeInProgress{start: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, p)
	w.oldest.Store(w.writes[0])
	return p
}

func (w *writesInProgress) end(p *writeInProgress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.over = true
	n := 0
	for n < len(w.writes) && w.writes[n].over {
		w.writes[n] = nil
		n++
	}
	if w.writes = w.writes[n:]; len(w.writes) == 0 {
		w.writes = nil
		w.oldest.Store(nil)
		return
	}
	w.oldest.Store(w.writes[0])
}

// stalled says whether the oldest write has been waiting for longer than d.
func (w *writesInProgress) stalled(d time.Duration) bool {
	p := w.oldest.Load()
	return p != nil && time.Since(p.start) > d
}

// stalled says whether this replica should be silent so that others can take
// over: the library goes on sending heartbeats while its loop that would hand over
// waits for a disk, and after the state machine has failed for good.
func (g *group) stalled() bool {
	return g.failed() != nil || g.fsm.busy.longer(applyStall)
}

// silent says whether this node sends no heartbeat and no append of that group
// and answers no vote: its log's disk is stalled, or the state of that shard. It
// takes no lock. It is what raftMuxConfig.silent asks for.
func (n *Node) silent(id groupID) bool {
	if n.cfg.faults.neverSilent {
		return false
	}
	if n.db.writes.stalled(logStall) {
		return true
	}
	if id == controlGroup || int64(id) > int64(len(n.groups)) {
		return false
	}
	g := n.groups[id-1].Load()
	return g != nil && g.stalled()
}
