package transport

import (
	"context"
	"errors"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// intake hands what one gateway node sends to the runtime, without ever blocking
// whoever brings it: messages for an object whose mailbox is full wait in a
// backlog, and behind them whatever else comes for the same object.
//
// After a message or the end of a socket that was not taken or was lost with its
// activation, nothing later of its stream takes effect until the gateway attaches the
// object again and sends both. What comes before that is dropped; what is under way
// is known by the epoch of the stream in which it came.
type intake struct {
	// Fixed after newIntake.
	relay  *Relay
	moved  func(id streamID)                // this node does not own the object, or has to be asked again
	answer func(id streamID, f actor.Frame) // to the gateway
	now    context.Context                  // has ended

	mu       sync.Mutex // guards the following fields
	backlogs map[actor.ID]*[]arrival
	bytes    int                         // of backlogs
	epochs   map[streamID]epoch          // of streams that were attached or interrupted
	newest   uint64                      // of all numbers of epochs
	deaf     map[actor.SocketID]struct{} // are being closed by the runtime
	younger  map[actor.SocketID]uint64   // were opened in the interrupted epoch of that number
}

// epoch is the time of a stream between two interruptions or attachments. The zero
// value is that from its beginning to the first.
type epoch struct {
	number      uint64
	interrupted bool // nothing is taken until the stream is attached
}

// arrival is a message for an object, or the end of a socket.
type arrival struct {
	id     streamID
	socket actor.SocketID
	number uint64
	m      actor.Message
	epoch  epoch
	closed *closing
}

func newIntake(rl *Relay, moved func(id streamID), answer func(id streamID, f actor.Frame)) *intake {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return &intake{
		relay: rl, moved: moved, answer: answer, now: now,
		backlogs: make(map[actor.ID]*[]arrival), epochs: make(map[streamID]epoch), deaf: make(map[actor.SocketID]struct{}), younger: make(map[actor.SocketID]uint64),
	}
}

// message takes the next message of a socket.
func (in *intake) message(id streamID, socket actor.SocketID, number uint64, m actor.Message) {
	in.mu.Lock()
	a := arrival{id: id, socket: socket, number: number, m: m, epoch: in.epochs[id]}
	if in.awaitedLocked(a) {
		in.mu.Unlock()
		return
	}
	behind := in.backlogs[id.object] != nil
	full := behind && in.bytes+len(m.Data) > in.relay.cfg.BacklogBytes
	if behind && !full {
		in.keepLocked(a)
	}
	in.mu.Unlock()
	switch {
	case full:
		in.lost(a, actor.ErrOverloaded)
	case !behind:
		err := in.offer(in.now, a)
		if errors.Is(err, actor.ErrMailboxFull) {
			in.startBacklog(a)
		} else if err != nil {
			in.lost(a, err)
		}
	}
}

// closed takes the end of a socket, which comes after its last message.
func (in *intake) closed(id streamID, socket actor.SocketID, c closing) {
	in.mu.Lock()
	a := arrival{id: id, socket: socket, closed: &c, epoch: in.epochs[id]}
	behind, awaited := in.backlogs[id.object] != nil, in.awaitedLocked(a)
	if behind && !awaited {
		in.keepLocked(a)
	}
	in.mu.Unlock()
	if !behind && !awaited {
		in.close(a)
	}
}

// opened notes that a socket was opened. If its stream is interrupted, nothing of
// the socket was lost: it need not wait for an attachment, and its gateway, which
// may have had no other socket since, has no reason to attach.
func (in *intake) opened(id streamID, socket actor.SocketID) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if e := in.epochs[id]; e.interrupted {
		in.younger[socket] = e.number
	}
}

// awaitedLocked says whether what has come is to come again, behind what was lost.
func (in *intake) awaitedLocked(a arrival) bool {
	return a.epoch.interrupted && in.younger[a.socket] != a.epoch.number
}

// attach takes a gateway's wish to attach an object's sockets. Whatever it sent of
// them before it sends again.
func (in *intake) attach(id streamID, a attach) {
	in.mu.Lock()
	in.newest++
	in.epochs[id] = epoch{number: in.newest}
	for _, socket := range a.sockets {
		delete(in.deaf, socket)
		delete(in.younger, socket)
	}
	in.mu.Unlock()
	if err := in.relay.host.Attach(id.object, id.gateway, a.sockets, a.last); err != nil {
		in.moved(id)
	}
}

// offer hands a message over.
func (in *intake) offer(ctx context.Context, a arrival) error {
	return in.relay.host.Take(ctx, actor.Arrival{
		Object: a.id.object, Socket: a.socket, Number: a.number, Message: a.m,
		Stale: func() bool { return in.stale(a) },
		Lost:  func(err error) { in.lost(a, err) },
	})
}

// stale says whether a message must not take effect any more.
func (in *intake) stale(a arrival) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, deaf := in.deaf[a.socket]
	return deaf || in.epochs[a.id] != a.epoch
}

// current says whether the stream has been neither interrupted nor attached since.
func (in *intake) current(a arrival) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.epochs[a.id] == a.epoch
}

func (in *intake) keepLocked(a arrival) {
	backlog := in.backlogs[a.id.object]
	*backlog = append(*backlog, a)
	in.bytes += len(a.m.Data)
}

// startBacklog keeps a message for an object, the first or behind others.
func (in *intake) startBacklog(a arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.backlogs[a.id.object] == nil {
		in.backlogs[a.id.object] = new([]arrival)
		in.relay.spawn(func() { in.work(a.id.object) })
	}
	in.keepLocked(a)
}

// work hands over the backlog of an object as its mailbox has room.
func (in *intake) work(object actor.ID) {
	for {
		in.mu.Lock()
		backlog := in.backlogs[object]
		if len(*backlog) == 0 || in.relay.ctx.Err() != nil {
			for _, a := range *backlog {
				in.bytes -= len(a.m.Data)
			}
			delete(in.backlogs, object)
			in.mu.Unlock()
			return
		}
		a := (*backlog)[0]
		*backlog = (*backlog)[1:]
		in.bytes -= len(a.m.Data)
		in.mu.Unlock()
		if a.closed != nil {
			in.close(a)
		} else if in.stale(a) {
			continue
		} else if err := in.offer(in.relay.ctx, a); err != nil {
			in.lost(a, err)
		}
	}
}

// lost says what becomes of a socket whose message may have had no effect. As a
// rule the gateway sends it again; where that would not help the socket ends.
func (in *intake) lost(a arrival, err error) {
	in.relay.log.Debug("socket message lost", "object", a.id.object.String(), "socket", a.socket.String(), "number", a.number, "error", err)
	f := actor.Frame{Kind: actor.FrameClose, Socket: a.socket}
	fault, broken := errors.AsType[*actor.FaultError](err)
	switch {
	case errors.Is(err, actor.ErrOverloaded), errors.Is(err, actor.ErrStorageFull):
		f.Code, f.Reason = websocket.CloseTryAgainLater, "try again later"
	case errors.Is(err, actor.ErrUnknownClass):
		f.Code, f.Reason = websocket.CloseServiceRestart, "the object does not know this socket"
	case broken:
		f.Code, f.Reason = websocket.CloseInternalServerErr, "the object failed, fault "+fault.ID
	default:
		in.interrupt(a)
		return
	}
	in.mu.Lock()
	in.deaf[a.socket] = struct{}{}
	in.mu.Unlock()
	in.answer(a.id, f)
}

// interrupt has a stream attached again, unless that has happened since a came.
func (in *intake) interrupt(a arrival) {
	in.mu.Lock()
	current := in.epochs[a.id] == a.epoch
	if current {
		in.newest++
		in.epochs[a.id] = epoch{number: in.newest, interrupted: true}
	}
	in.mu.Unlock()
	if current {
		in.moved(a.id)
	}
}

func (in *intake) close(a arrival) {
	in.mu.Lock()
	delete(in.deaf, a.socket)
	delete(in.younger, a.socket)
	in.mu.Unlock()
	err := in.relay.host.CloseSocket(actor.Closing{
		Object: a.id.object, Socket: a.socket, Info: a.closed.info, Cause: a.closed.cause,
		Stale: func() bool { return !in.current(a) },
		Lost:  func(error) { in.interrupt(a) },
	})
	if err != nil {
		in.interrupt(a)
	}
}
