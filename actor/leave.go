package actor

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// leaveWait bounds how long the calls to a shard wait for those that are under
	// way when it is given to another node. Who has run for that long himself, as a
	// handler that streams does, is not waited for: he may go on for hours.
	leaveWait = time.Second
	// leaveLook is how often Leave looks.
	leaveLook = 2 * time.Millisecond
)

// leaving is which shards the node is about to give away.
type leaving struct {
	count atomic.Int32 // of shards: there are none, as a rule

	mu   sync.Mutex               // guards over; may be taken with host.mu held
	over map[uint32]chan struct{} // closed when the shard is given away, or not to be any more
}

func (l *leaving) begin(shard uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over[shard] == nil {
		l.over[shard] = make(chan struct{})
		l.count.Add(1)
	}
}

func (l *leaving) end(shard uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if over := l.over[shard]; over != nil {
		close(over)
		delete(l.over, shard)
		l.count.Add(-1)
	}
}

// of gives the channel of an object's shard; nil: the shard stays.
func (l *leaving) of(h *Host, object ID) (over <-chan struct{}) {
	if l.count.Load() == 0 {
		return nil
	}
	shard := h.shardOf(object)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over[shard]
}

// Leave is called before this node gives a shard to another by its own choice: what
// runs by then would be cut off. From now on calls of clients wait until the shard is
// given away, and are refused then; those of other objects do not, since somebody may
// wait here for what they answer. It returns when what was under way is over and its
// outputs have left, except for what takes longer than a second, or when ctx ends.
// Stay, or the next SetOwnership, ends the wait of calls.
func (h *Host) Leave(ctx context.Context, shard uint32) {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	began := time.Now()
	h.leaving.begin(shard)
	if h.fault == FaultRude {
		return
	}
	look := time.NewTicker(leaveLook)
	defer look.Stop()
	for busy := h.busy(shard, began); len(busy) > 0; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		busy = slices.DeleteFunc(busy, func(act *activation) bool { return !act.busy(began) })
		if len(busy) == 0 { // but meanwhile others may have become so
			busy = h.busy(shard, began)
		}
	}
}

// Stay ends the wait of calls: the shard was given away, or is not any more.
func (h *Host) Stay(shard uint32) { h.leaving.end(shard) }

// awaitLeave has a client's call wait while its object's shard is left.
func (h *Host) awaitLeave(r *http.Request, object ID) error {
	over := h.leaving.of(h, object)
	if over == nil {
		return nil
	}
	select {
	case <-over:
		return nil
	case <-h.closed:
		return h.refused(ErrClosing)
	case <-r.Context().Done():
		return ErrCallerLeft
	}
}

// busy gives the activations of a shard in which something is under way.
func (h *Host) busy(shard uint32, leaving time.Time) []*activation {
	return slices.DeleteFunc(h.ofShard(shard), func(act *activation) bool { return !act.busy(leaving) })
}

// busy says whether something is under way that a Leave which began at that moment
// waits for: calls, because clients make no new ones, and of the rest what ran by then.
func (act *activation) busy(leaving time.Time) bool {
	act.mu.Lock()
	defer act.mu.Unlock()
	now := time.Now()
	waits := func(ev *event) bool {
		young := now.Sub(ev.began) < leaveWait
		return young && (ev.kind == EventRequest || ev.kind != EventTask && ev.began.Before(leaving))
	}
	return slices.ContainsFunc(act.open, waits) ||
		slices.ContainsFunc(act.waiting.items[act.waiting.head:], func(ev *event) bool { return ev.kind == EventRequest }) ||
		slices.ContainsFunc(act.outputs.items[act.outputs.head:], func(o output) bool { return waits(o.ev) })
}
