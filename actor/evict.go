package actor

import "time"

// sweep lets idle objects leave memory. It sleeps until the one that was used
// longest ago may be idle for long enough, and costs no timer for each object.
func (h *Host) sweep() {
	timer := time.NewTimer(h.idleTimeout)
	defer timer.Stop()
	for {
		wait, ok := h.evictIdle(time.Now())
		if ok {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-h.closed:
			return
		case <-h.wake:
		case <-h.pulse:
		case <-timer.C:
		}
	}
}

// evictIdle evicts what was idle for idleTimeout and says when to look again.
func (h *Host) evictIdle(now time.Time) (wait time.Duration, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.lru.empty() {
		oldest := h.lru.next
		if wait := h.idleTimeout - now.Sub(oldest.since()); wait > 0 {
			return wait, true
		}
		if !h.evictLocked(oldest.act, now) {
			oldest.looked = now
			h.lru.pushBack(oldest)
		}
	}
	return 0, false
}

// evictOldestLocked makes room for one activation more.
func (h *Host) evictOldestLocked() bool {
	now := time.Now()
	for e := h.lru.next; e != &h.lru; e = e.next {
		if h.evictLocked(e.act, now) {
			return true
		}
	}
	return false
}

// evictLocked ends an idle activation. One whose object has become empty leaves
// the table only when its record is gone too. The caller holds h.mu.
func (h *Host) evictLocked(act *activation, now time.Time) bool {
	act.mu.Lock()
	defer act.mu.Unlock()
	if !act.idleLocked(now) {
		return false
	}
	act.ended = true
	act.host.bytes.Add(-int64(act.outbox.bytes))
	close(act.done)
	if act.watch != nil {
		act.watch.Stop()
	}
	if clients := act.clients; len(clients) > 0 {
		act.clients = nil
		h.wg.Go(func() {
			for _, client := range clients {
				client.lost()
			}
		})
	}
	act.lru.unlink()
	if act.sockets.len() > 0 {
		h.asleep.add(h.shardOf(act.target.ID), act.target.ID)
	}
	h.events.evicted(act.target.Class, act.sockets.len() > 0)
	if act.recorded && act.emptied && act.auto == nil && act.sockets.len() == 0 {
		act.inflight++
		h.wg.Go(act.forget)
		return true
	}
	if len(act.outbox.delivered) > 0 {
		act.inflight++
		tidy := &Batch{Object: act.target.ID, Outbox: OutboxChange{Delivered: act.outbox.takeDelivered()}}
		h.wg.Go(func() { act.lastCommit(tidy) })
		return true
	}
	act.removed = true
	close(act.settled)
	delete(h.table, act.target.ID)
	return true
}

// forget removes the record of an object that holds nothing any more, so that
// it leaves no trace.
func (act *activation) forget() {
	if empty, err := act.host.store.Empty(act.target.ID); err != nil || !empty {
		act.lastDone()
		return
	}
	act.lastCommit(&Batch{Object: act.target.ID, Forget: true})
}

// lastCommit commits a batch after which the activation is settled.
func (act *activation) lastCommit(b *Batch) {
	act.host.committer.Commit(act.target.ID, act.ownership, b.Append(nil), func(error) { act.lastDone() })
}

func (act *activation) lastDone() {
	act.mu.Lock()
	act.inflight--
	act.unlock()
}
