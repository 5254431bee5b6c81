package actor

import (
	"maps"
	"slices"
	"time"
)

// socketTable holds the open sockets of an activation. It is guarded by the
// activation's mutex and costs nothing while it is empty.
type socketTable struct {
	list      []*Socket // in the order in which they were accepted
	byConn    map[SocketID]*Socket
	bySession map[Session]*Socket // of those that have one
	at        map[uint64]int      // sockets at each gateway

	departing []departure // ended lately, in the order of their batches
}

// departure is a connection that a batch ends.
type departure struct {
	id    SocketID
	batch uint64
}

func (t *socketTable) len() int { return len(t.list) }

func (t *socketTable) add(s *Socket) {
	t.list = append(t.list, s)
	t.link(s)
}

// link has the socket found by its connection and its session.
func (t *socketTable) link(s *Socket) {
	if t.byConn == nil {
		t.byConn, t.at = make(map[SocketID]*Socket), make(map[uint64]int)
	}
	t.byConn[s.conn] = s
	t.at[s.conn.Gateway()]++
	if s.session == (Session{}) {
		return
	}
	if t.bySession == nil {
		t.bySession = make(map[Session]*Socket)
	}
	t.bySession[s.session] = s
}

// unlink is the opposite of link.
func (t *socketTable) unlink(s *Socket) {
	delete(t.byConn, s.conn)
	if t.at[s.conn.Gateway()]--; t.at[s.conn.Gateway()] == 0 {
		delete(t.at, s.conn.Gateway())
	}
	if t.bySession[s.session] == s {
		delete(t.bySession, s.session)
	}
}

func (t *socketTable) remove(s *Socket) {
	i := slices.Index(t.list, s)
	if i < 0 {
		return
	}
	t.list = slices.Delete(t.list, i, i+1)
	t.unlink(s)
}

// depart notes that a batch ends a connection, and forgets those whose batch is committed.
func (t *socketTable) depart(id SocketID, batch, committed uint64) {
	done := 0
	for done < len(t.departing) && t.departing[done].batch <= committed {
		done++
	}
	t.departing = append(t.departing[done:], departure{id, batch})
}

// isDeparting says whether a connection is ended by a batch that is not committed
// yet: if that is lost the object still has it.
func (t *socketTable) isDeparting(id SocketID, committed uint64) bool {
	return slices.ContainsFunc(t.departing, func(d departure) bool { return d.id == id && d.batch > committed })
}

// gateways gives the start numbers of those that hold sockets of the object.
func (t *socketTable) gateways() []uint64 {
	if len(t.at) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(t.at))
}

// loadSocketsLocked takes over the sockets that the Store knows. Those whose
// gateway is over are lost: the object learns so before its next event.
func (act *activation) loadSocketsLocked(records []SocketRecord) {
	var lost []*event
	for _, r := range records {
		socket := &Socket{
			act: act, id: r.Socket, tags: r.Tags, protocol: r.Protocol,
			conn: r.Conn, session: r.Session, attachment: r.Attachment, number: r.Number,
		}
		info, gone := act.host.gateways.gone(r.Conn, r.Session != Session{})
		if !gone {
			act.sockets.add(socket)
			continue
		}
		ev := act.host.closeEvent(socket.conn, info, nil)
		ev.subject, ev.socket = socket, SocketID{}
		ev.act, ev.posted, ev.resume = act, time.Now(), make(chan struct{}, 1)
		lost = append(lost, ev)
	}
	act.mailbox += len(lost)
	act.host.pending.Add(int64(len(lost)))
	for _, ev := range append(lost, act.waiting.takeAll()...) {
		act.waiting.push(ev)
	}
}

// removeSocketLocked notes that a socket is no longer open.
func (act *activation) removeSocketLocked(s *Socket) {
	s.closed, act.emptied = true, true
	act.sockets.remove(s)
	act.sockets.depart(s.conn, act.view.current, act.view.committed)
	act.desertLocked(s.conn.Gateway())
	act.addSocketLocked(SocketChange{Op: SocketClosed, Socket: s.id})
}

// frameLocked adds a frame to the object's stream to one gateway. When it leaves
// it goes to whoever is that gateway then; see gateways for one that is missing.
func (act *activation) frameLocked(ev *event, gateway uint64, frame Frame) {
	if frame.Kind != FrameAck && act.hasWritesLocked() && act.asksAgainLocked(gateway) {
		act.keepLocked(gateway, &frame)
	}
	size := int64(len(frame.Data))
	act.host.bytes.Add(size)
	object := act.target.ID
	emit := act.emitActLocked
	if frame.Kind == FrameAck {
		emit = act.emitLocked
	}
	emit(ev, func(err error) {
		act.host.bytes.Add(-size)
		switch {
		case err == nil:
			act.host.events.frame(frame.Kind)
			if frame.Kind != FrameAck && frame.Number > 0 {
				act.mu.Lock()
				act.outbox.released = frame.Number
				act.mu.Unlock()
			}
			act.host.gateways.deliver(gateway, object, frame)
		case frame.Kind == FrameAck:
			act.tell(ev, err)
		}
	})
}

// asksAgainLocked says whether a gateway may ask for a frame again. The gateway of
// a node by itself asks, if it lives, nobody but that node; then only who resumes a
// session needs what is kept.
func (act *activation) asksAgainLocked(gateway uint64) bool {
	return act.host.gateways.attaches(gateway) && (!act.host.alone || len(act.sockets.bySession) > 0)
}

// keepLocked puts a frame into the batch of the writes before it.
func (act *activation) keepLocked(gateway uint64, frame *Frame) {
	c := &act.changes
	c.bytes += frameBytes(frame) + minKeptBytes
	if n := len(c.kept); n == 0 || !sameData(c.kept[n-1].frame.Data, frame.Data) {
		c.bytes += len(frame.Data)
	}
	c.kept = append(c.kept, keptFrame{gateway: gateway, frame: frame})
}

// roomForLocked says whether a frame to some gateways fits the current batch, if
// it has to be in it.
func (act *activation) roomForLocked(frame *Frame, gateways int) bool {
	return !act.hasWritesLocked() || act.roomLocked(len(frame.Data)+gateways*(frameBytes(frame)+minKeptBytes))
}

// acknowledgeLocked lets the gateway forget a message: with the event's first
// batch, or at its end if it wrote nothing.
func (act *activation) acknowledgeLocked(ev *event) {
	if ev.kind != EventMessage || ev.acked {
		return
	}
	ev.acked = true
	act.frameLocked(ev, ev.socket.Gateway(), Frame{Kind: FrameAck, Socket: ev.socket, Number: ev.number})
}

// closes gives the connection whose end the event tells.
func (ev *event) closes() SocketID {
	if ev.subject != nil {
		return ev.subject.conn
	}
	return ev.socket
}

// concludeLocked makes known that a socket's event is over, when its writes are
// durable. If they are lost, whoever handed it over is told.
func (act *activation) concludeLocked(ev *event) {
	switch {
	case act.ended:
	case ev.kind == EventMessage:
		act.acknowledgeLocked(ev)
	case ev.kind == EventClose && !ev.acked:
		id := ev.closes()
		act.emitLocked(ev, func(err error) {
			if err != nil {
				act.tell(ev, err)
				return
			}
			act.host.gateways.deliver(id.Gateway(), act.target.ID, Frame{Kind: FrameGone, Socket: id})
		})
	}
}
