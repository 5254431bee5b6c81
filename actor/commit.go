package actor

import (
	"errors"
	"fmt"
	"time"
)

// changes is what the current batch does besides writing keys.
type changes struct {
	alarm   AlarmChange
	sockets []SocketChange
	bytes   int // that sockets and kept take at most when they are encoded
	auto    *AutoChange
	kept    []keptFrame
	key     *KeyedChange // of the event's request key; nil = none, or it is recorded already
}

// batchOverhead is at least what a batch takes besides keys, values and socket
// changes: object, class, name, alarm and automatic reply.
const batchOverhead = 16 << 10

// roomLocked says whether the current batch may grow by so much.
func (act *activation) roomLocked(growth int) bool {
	return batchOverhead+act.view.bytes+act.changes.bytes+act.keyRoomLocked()+growth <= MaxBatchBytes
}

// addSocketLocked adds a change of a socket to the current batch.
func (act *activation) addSocketLocked(change SocketChange) {
	act.changes.sockets = append(act.changes.sockets, change)
	act.changes.bytes += socketChangeBytes(&change)
}

// hasWritesLocked says whether the current batch has anything in it.
func (act *activation) hasWritesLocked() bool {
	return act.changes.key != nil || act.changesObjectLocked()
}

// changesObjectLocked says whether the current batch changes the object itself.
func (act *activation) changesObjectLocked() bool {
	return act.view.bytes > 0 || act.view.wipe || act.changes.alarm.Op != AlarmKeep ||
		len(act.changes.sockets) > 0 || act.changes.auto != nil
}

// seal closes the current batch, if there is anything in it, and hands it to
// the committer. Only the event that holds the gate seals, so batches are
// handed over in the order of their numbers.
func (act *activation) seal(ev *event) {
	act.mu.Lock()
	if act.ended {
		act.mu.Unlock()
		return
	}
	if !act.hasWritesLocked() {
		act.changes = changes{}
		act.loosenLocked()
		act.unlock()
		return
	}
	number := act.view.current
	b := act.takeLocked(ev)
	data := b.Append(nil)
	act.inflight++
	act.mu.Unlock()
	if act.host.fault == FaultEarlyAnswer {
		act.answerEarly(b)
	}
	act.host.bytes.Add(int64(len(data)))
	began := time.Now()
	act.host.committer.Commit(act.target.ID, act.ownership, data, func(err error) {
		act.host.bytes.Add(-int64(len(data)))
		act.host.events.batchDone(len(data), time.Since(began), err)
		if err == nil {
			act.keyCommitted(b.Keyed)
		}
		act.committed(number, err)
	})
}

// loosenLocked frees outputs that were made while the event had writes which a
// transaction then rolled back: their batch will never be sealed for them.
func (act *activation) loosenLocked() {
	if act.outputs.len() == 0 {
		return
	}
	for i := act.outputs.head; i < len(act.outputs.items); i++ {
		if o := &act.outputs.items[i]; o.dep >= act.view.current {
			o.dep, o.proved = act.view.current-1, false
		}
	}
}

// takeLocked makes the batch. The first batch of a socket message carries the
// message's number, so that the message takes effect once, and frees its window.
func (act *activation) takeLocked(ev *event) *Batch {
	first := ev.batch == 0
	if first {
		ev.batch = act.view.current
	}
	act.acknowledgeLocked(ev)
	b := &Batch{Object: act.target.ID, Alarm: act.changes.alarm, Auto: act.changes.auto}
	act.postLocked(b)
	b.Sockets = act.changes.sockets
	if socket := act.sockets.byConn[ev.socket]; ev.kind == EventMessage && socket != nil && first {
		b.Sockets = append(b.Sockets, SocketChange{Op: SocketMessage, Socket: socket.id, Number: ev.number})
	}
	act.recordKeyLocked(b)
	// What is kept under a request key alone needs no record of the object.
	if (!act.recorded || act.name != act.recordedName) && (act.changesObjectLocked() || b.Frame > 0) {
		b.Class, b.Name = act.target.Class, act.name
		act.recorded, act.recordedName = true, act.name
	}
	b.Writes, b.Wipe = act.view.take()
	act.changes = changes{}
	return b
}

// postLocked gives the kept frames their numbers and puts them, and what has
// arrived of those before, into the batch.
func (act *activation) postLocked(b *Batch) {
	if kept := act.changes.kept; len(kept) > 0 {
		for _, k := range kept {
			act.frame++
			k.frame.Number = act.frame
		}
		b.Frame = act.frame
		b.Outbox.Part, b.Outbox.Number = appendOutboxPart(nil, kept), kept[0].frame.Number
		act.changeOutboxLocked(func(o *outbox) {
			for _, gateway := range o.add(kept) {
				act.cutLocked(gateway)
			}
		})
	}
	b.Outbox.Delivered = act.outbox.takeDelivered()
}

// changeOutboxLocked counts the bytes that the outbox holds against the host's.
func (act *activation) changeOutboxLocked(f func(o *outbox)) {
	before := act.outbox.bytes
	f(&act.outbox)
	act.host.bytes.Add(int64(act.outbox.bytes - before))
}

// cutLocked closes the sockets of a gateway for which too much is kept: frames
// for it were dropped, and nobody may go on with a gap. The batch that drops them
// also parts the sockets from their connections and sessions, so that neither a
// client that comes back nor the next owner can go on with them before the object
// has heard that they are closed.
func (act *activation) cutLocked(gateway uint64) {
	var cut []SocketID
	for _, socket := range act.sockets.list {
		if socket.conn.Gateway() == gateway {
			cut = append(cut, socket.conn)
			act.sockets.depart(socket.conn, act.view.current, act.view.committed)
			act.holdSessionLocked(socket, Session{}, socket.conn.lost(), socket.number)
		}
	}
	host, object := act.host, act.target.ID
	host.events.outboxOverrun(act.target.Class, len(cut))
	host.wg.Go(func() { // an event is running, so Close still waits
		info := CloseInfo{Code: closeTryLater, Reason: "the gateway is too far behind"}
		for _, id := range cut {
			host.gateways.deliver(gateway, object, Frame{Kind: FrameClose, Socket: id, Code: info.Code, Reason: info.Reason})
			host.SocketClosed(object, id.lost(), info, nil)
		}
	})
}

// committed takes the answer of a batch. The answers come in the order of the batches.
func (act *activation) committed(number uint64, err error) {
	act.mu.Lock()
	act.inflight--
	if err == nil {
		if !act.lostLocked(number) {
			act.view.commit(number)
			act.keyed.commit(number)
		}
		act.unlock()
		return
	}
	act.mu.Unlock()
	if !isRefusal(err) && !errors.Is(err, ErrOutcomeUnknown) {
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	act.lose(err, number)
}
