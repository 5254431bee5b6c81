package actor

import (
	"context"
	"slices"
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

// Leave is called before this node gives a shard to another by its own choice: what
// runs by then would be cut off. Calls that arrive from now on are refused with
// ErrNotOwner, so that they wait for the next owner, but for those that events of
// other objects make, for whose end somebody may wait here. It returns when what was
// under way is over and its outputs have left, except for what takes longer than a
// second, or when ctx ends. Stay, or the next SetOwnership, ends the refusals.
func (h *Host) Leave(ctx context.Context, shard uint32) {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	began := time.Now()
	var busy []*activation
	h.mu.Lock()
	h.leaving[shard] = struct{}{}
	for id, act := range h.table {
		if h.shardOf(id) == shard {
			busy = append(busy, act)
		}
	}
	h.mu.Unlock()
	if h.fault == FaultRude {
		return
	}
	look := time.NewTicker(leaveLook)
	defer look.Stop()
	for {
		busy = slices.DeleteFunc(busy, func(act *activation) bool { return !act.busy(began) })
		if len(busy) == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// Stay takes Leave back: the shard was not given away.
func (h *Host) Stay(shard uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.leaving, shard)
}

func (h *Host) isLeaving(object ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, leaving := h.leaving[h.shardOf(object)]
	return leaving
}

// busy says whether something is under way that a Leave which began at that moment
// waits for: calls, because no new ones come, and of the rest what ran by then.
func (act *activation) busy(leaving time.Time) bool {
	act.mu.Lock()
	defer act.mu.Unlock()
	now := time.Now()
	waits := func(ev *event) bool {
		young := now.Sub(ev.began) < leaveWait
		return young && (ev.kind == EventRequest || ev.kind != EventTask && ev.began.Before(leaving))
	}
	return slices.ContainsFunc(act.open, waits) ||
		slices.ContainsFunc(act.outputs.items[act.outputs.head:], func(o output) bool { return waits(o.ev) })
}
