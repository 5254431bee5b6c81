package actor

import (
	"context"
	"errors"
	"time"
)

// Message hands over message number n of a socket: 1, 2, 3 ... without a gap.
// It does not wait for the event; that the message took effect is told by a
// FrameAck. While the object has too much to do it waits; ctx ends that wait. An
// error means that the message was not taken.
func (h *Host) Message(ctx context.Context, object ID, socket SocketID, number uint64, message Message) error {
	return h.Take(ctx, Arrival{
		Object: object, Socket: socket, Number: number, Message: message,
		Lost: func(err error) { h.breakSocket(object, socket, err) },
	})
}

// Arrival is a message of a socket whose gateway can send it again.
type Arrival struct {
	Object  ID
	Socket  SocketID
	Number  uint64
	Message Message
	// Stale says, just before the message would take effect, that it must not:
	// one before it was lost, and both come again. nil: never.
	Stale func() bool
	// Lost is called, at most once, if the message may have had no effect: its
	// activation ended, or is not to be. It comes before any later activation runs.
	Lost func(err error)
}

// Take is Message for a gateway that sends again what was lost.
func (h *Host) Take(ctx context.Context, a Arrival) error {
	if h.isClosing() {
		return ErrClosing
	}
	ev := &event{kind: EventMessage, size: int64(len(a.Message.Data)), socket: a.Socket, number: a.Number, fail: a.Lost}
	ev.body = func(ctx context.Context, ev *event) {
		if a.Stale != nil && a.Stale() {
			ev.act.mu.Lock()
			ev.acked = true // it is not acknowledged
			ev.act.mu.Unlock()
			return
		}
		ev.act.handleMessage(ctx, ev, a.Message)
	}
	for {
		full, err := h.deliverStored(a.Object, ev)
		if !errors.Is(err, ErrMailboxFull) {
			return err
		}
		select {
		case <-full:
		case <-ctx.Done():
			return err
		case <-h.closed:
			return ErrClosing
		}
	}
}

func (act *activation) handleMessage(ctx context.Context, ev *event, message Message) {
	act.mu.Lock()
	socket := act.sockets.byConn[ev.socket]
	if socket == nil {
		// The object closed it at the same moment, and says so again; or its record
		// has vanished, and then a client must not go on talking to nobody.
		if !act.ended {
			act.frameLocked(ev, ev.socket.Gateway(), Frame{Kind: FrameClose, Socket: ev.socket, Code: closeRestart, Reason: "the object does not know this socket"})
		}
		act.unlock()
		return
	}
	if ev.number <= socket.number {
		act.mu.Unlock()
		return // sent again after it took effect
	}
	socket.number, ev.subject = ev.number, socket
	messenger, ok := act.object.(SocketMessenger)
	act.mu.Unlock()
	if !ok {
		return
	}
	if err := messenger.SocketMessage(ctx, socket, message); err != nil && !errors.Is(err, ErrEnded) {
		act.log().Warn("a socket message handler returned an error", "socket", socket.id.String(), "error", err)
	}
}

// SocketClosed tells the object, once and after the socket's last message, that
// the client's side is gone. cause is a protocol error, or nil. When the object
// knows it durably the gateway gets FrameGone.
func (h *Host) SocketClosed(object ID, socket SocketID, info CloseInfo, cause error) {
	c := Closing{Object: object, Socket: socket, Info: info, Cause: cause, Lost: func(error) { h.gateways.orphan(socket, info) }}
	if err := h.CloseSocket(c); err != nil {
		c.Lost(err)
	}
}

// Closing is the end of the client's side of a socket whose gateway can tell it again.
type Closing struct {
	Object ID
	Socket SocketID
	Info   CloseInfo
	Cause  error // a protocol error, or nil
	// Stale says, just before the object would hear of it, that it must not: a message
	// before it was lost, and both come again. nil: never.
	Stale func() bool
	// Lost is called, at most once, if the object may not have heard of it.
	Lost func(err error)
}

// CloseSocket is SocketClosed for a gateway that tells again what was lost. An
// error means that the close was not taken.
func (h *Host) CloseSocket(c Closing) error {
	ev := h.closeEvent(c.Socket, c.Info, c.Cause)
	tell := ev.body
	ev.body = func(ctx context.Context, ev *event) {
		if c.Stale != nil && c.Stale() {
			ev.act.mu.Lock()
			ev.acked = true // nobody is told that it is over
			ev.act.mu.Unlock()
			return
		}
		tell(ctx, ev)
	}
	ev.fail = c.Lost
	_, err := h.deliverStored(c.Object, ev)
	if errors.Is(err, ErrUnknownClass) { // an object without a record has no socket
		h.gateways.deliver(c.Socket.Gateway(), c.Object, Frame{Kind: FrameGone, Socket: c.Socket})
		return nil
	}
	return err
}

// breakSocket closes the client's side of a socket whose message got lost with
// its activation: a client must not go on in the belief that it was heard.
func (h *Host) breakSocket(object ID, socket SocketID, cause error) {
	info := CloseInfo{Code: closeInternal, Reason: "the fate of a message is unknown"}
	if isRefusal(cause) {
		info = CloseInfo{Code: closeTryLater, Reason: "a message could not be taken, try again"}
	}
	// The next activation finds the socket gone, so that no later message of it takes
	// effect; the lost one's activation is not settled before this.
	h.gateways.orphan(socket, info)
	h.gateways.deliver(socket.Gateway(), object, Frame{Kind: FrameClose, Socket: socket, Code: info.Code, Reason: info.Reason})
	h.SocketClosed(object, socket, info, nil)
}

func (h *Host) closeEvent(socket SocketID, info CloseInfo, cause error) *event {
	ev := &event{kind: EventClose, socket: socket}
	ev.body = func(ctx context.Context, ev *event) { ev.act.handleClose(ctx, ev, socket, info, cause) }
	ev.fail = func(error) { h.gateways.orphan(socket, info) }
	return ev
}

func (act *activation) handleClose(ctx context.Context, ev *event, id SocketID, info CloseInfo, cause error) {
	act.mu.Lock()
	socket := act.sockets.byConn[id]
	if socket == nil {
		socket = ev.subject
	}
	if socket == nil {
		act.mu.Unlock()
		return // the object closed it at the same moment, or its client is at another connection now
	}
	ev.subject = socket
	act.removeSocketLocked(socket)
	object := act.object
	act.mu.Unlock()
	if errorer, ok := object.(SocketErrorer); ok && cause != nil {
		if err := errorer.SocketError(ctx, socket, cause); err != nil {
			act.log().Warn("a socket error handler returned an error", "socket", id.String(), "error", err)
		}
	}
	if closer, ok := object.(SocketCloser); ok {
		if err := closer.SocketClose(ctx, socket, info); err != nil {
			act.log().Warn("a socket close handler returned an error", "socket", id.String(), "error", err)
		}
	}
}

// deliverStored delivers an event to an object that has a record, which tells
// its class. Messages are bounded by the mailbox: full is closed when it has room.
func (h *Host) deliverStored(object ID, ev *event) (full <-chan struct{}, err error) {
	// Only the owner can tell that there is no record.
	if _, err := h.committer.Ownership(object); err != nil {
		return nil, err
	}
	target, err := h.target(object)
	if err != nil {
		return nil, err
	}
	ev.posted = time.Now()
	return h.deliver(target, ev)
}
