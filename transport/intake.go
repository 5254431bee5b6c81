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
// backlog, and behind them later ones for the same object.
//
// After a message that the runtime did not take, no later one of its socket is
// handed over until the gateway attaches it again.
type intake struct {
	// Fixed after newIntake.
	relay  *Relay
	moved  func(id streamID)                // this node does not own the object
	answer func(id streamID, f actor.Frame) // to the gateway
	now    context.Context                  // has ended

	mu       sync.Mutex // guards the following fields
	backlogs map[actor.ID]*[]arrival
	bytes    int                         // of backlogs
	deaf     map[actor.SocketID]struct{} // a message of them was not taken
}

// arrival is a message for an object.
type arrival struct {
	id     streamID
	socket actor.SocketID
	number uint64
	m      actor.Message
}

func newIntake(rl *Relay, moved func(id streamID), answer func(id streamID, f actor.Frame)) *intake {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return &intake{
		relay: rl, moved: moved, answer: answer, now: now,
		backlogs: make(map[actor.ID]*[]arrival), deaf: make(map[actor.SocketID]struct{}),
	}
}

// message takes the next message of a socket.
func (in *intake) message(id streamID, socket actor.SocketID, number uint64, m actor.Message) {
	a := arrival{id, socket, number, m}
	in.mu.Lock()
	_, deaf := in.deaf[socket]
	behind := in.backlogs[id.object] != nil
	full := behind && in.bytes+len(m.Data) > in.relay.cfg.BacklogBytes
	if behind && !full && !deaf {
		in.keepLocked(a)
	}
	in.mu.Unlock()
	switch {
	case deaf:
	case full:
		in.refuse(a, actor.ErrOverloaded)
	case !behind:
		err := in.relay.host.Message(in.now, id.object, socket, number, m)
		if errors.Is(err, actor.ErrMailboxFull) {
			in.startBacklog(a)
		} else if err != nil {
			in.refuse(a, err)
		}
	}
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
		_, deaf := in.deaf[a.socket]
		in.mu.Unlock()
		if deaf {
			continue
		}
		if err := in.relay.host.Message(in.relay.ctx, object, a.socket, a.number, a.m); err != nil {
			in.refuse(a, err)
		}
	}
}

// refuse says what becomes of a socket whose message was not taken: it is lost
// with its object's owner, or it ends.
func (in *intake) refuse(a arrival, err error) {
	in.mu.Lock()
	in.deaf[a.socket] = struct{}{}
	in.mu.Unlock()
	in.relay.log.Debug("socket message refused", "object", a.id.object.String(), "socket", a.socket.String(), "error", err)
	if errors.Is(err, actor.ErrNotOwner) || errors.Is(err, actor.ErrClosing) {
		in.moved(a.id)
		return
	}
	f := actor.Frame{Kind: actor.FrameClose, Socket: a.socket, Code: websocket.CloseInternalServerErr, Reason: "the message could not be taken"}
	if certainlyLater(err) {
		f.Code, f.Reason = websocket.CloseTryAgainLater, "try again later"
	}
	in.answer(a.id, f)
}

// closed takes the end of a socket.
func (in *intake) closed(id streamID, socket actor.SocketID, c closing) {
	in.mu.Lock()
	delete(in.deaf, socket)
	in.mu.Unlock()
	if err := in.relay.host.CloseSocket(id.object, socket, c.info, c.cause); err != nil {
		in.moved(id)
	}
}

// attach takes a gateway's wish to attach an object's sockets.
func (in *intake) attach(id streamID, a attach) {
	in.mu.Lock()
	for _, socket := range a.sockets {
		delete(in.deaf, socket)
	}
	in.mu.Unlock()
	if err := in.relay.host.Attach(id.object, id.gateway, a.sockets); err != nil {
		in.moved(id)
	}
}
