package actor

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// Socket is a client's WebSocket as its object sees it. It is state: tags,
// attachment and the fact that it is open are stored with the object, so a
// socket stays open while the object is out of memory. A Socket value belongs
// to the activation that gave it.
type Socket struct {
	// Fixed after accept or load.
	act      *activation
	id       SocketID
	tags     []string
	protocol string

	// Guarded by act.mu.
	conn       SocketID // by which the client is reached: id, until the client resumes its session by another one
	session    Session  // zero: the client has none
	attachment []byte
	number     uint64 // of the last message of conn that took effect
	closed     bool
}

// SocketOptions say how a socket is accepted.
type SocketOptions struct {
	Tags       []string // at most MaxTags, each at most MaxTagBytes; Sockets and Broadcast select by them
	Protocol   string   // the subprotocol chosen from those that the client offered; "" = none
	Attachment []byte   // see Socket.SetAttachment
}

// AcceptSocket accepts the WebSocket that r asks for. The client's handshake is
// answered, and frames sent to the socket follow it, as soon as the writes that
// the event made before are durable. w may not be written to afterwards. If the
// event fails before its next outside wait, the client sees its error instead.
func (s *State) AcceptSocket(w http.ResponseWriter, r *http.Request, opt SocketOptions) (*Socket, error) {
	act := s.act
	tags, err := checkTags(opt.Tags)
	if err != nil {
		return nil, err
	}
	if len(opt.Attachment) > MaxAttachmentBytes {
		return nil, ErrAttachmentTooLarge
	}
	if !offered(r, opt.Protocol) {
		return nil, ErrProtocol
	}
	rw, ok := w.(*responseWriter)
	act.mu.Lock()
	defer act.unlock()
	ev, err := act.enterLocked(r.Context())
	switch {
	case err != nil:
		return nil, err
	case !ok || rw.ev != ev || rw.upgrade == SocketID{} || rw.began():
		return nil, ErrNotUpgrade
	case act.sockets.len() >= MaxSockets:
		return nil, ErrTooManySockets
	case act.host.gateways.get(rw.upgrade.Gateway()) == nil:
		// Its gateway has lost the way to this node since it asked, has told the
		// client so, and would never hear that the socket is open.
		return nil, ErrSocketClosed
	}
	socket := &Socket{act: act, id: rw.upgrade, conn: rw.upgrade, tags: tags, protocol: opt.Protocol, attachment: bytes.Clone(opt.Attachment)}
	open := SocketChange{Op: SocketOpen, Socket: socket.id, Tags: tags, Protocol: opt.Protocol}
	attach := SocketChange{Op: SocketAttach, Socket: socket.id, Attachment: socket.attachment}
	if !act.roomLocked(socketChangeBytes(&open) + socketChangeBytes(&attach) + 2*sessionChangeBytes) {
		return nil, ErrBatchTooLarge
	}
	act.sockets.add(socket)
	act.addSocketLocked(open)
	if rw.session != (Session{}) {
		act.beginSessionLocked(socket, rw.session)
		rw.header.Set(SessionHeader, "new")
	}
	if opt.Attachment != nil {
		act.addSocketLocked(attach)
	}
	act.frameLocked(ev, socket.id.Gateway(), Frame{Kind: FrameOpen, Socket: socket.id, Tags: tags, Protocol: opt.Protocol, Auto: act.auto})
	rw.acceptLocked(opt.Protocol)
	return socket, nil
}

// offered says whether the client offered the subprotocol; none needs no offer.
func offered(r *http.Request, protocol string) bool {
	if protocol == "" {
		return true
	}
	if len(protocol) > MaxProtocolBytes {
		return false
	}
	for _, list := range r.Header.Values("Sec-Websocket-Protocol") {
		for offer := range strings.SplitSeq(list, ",") {
			if strings.TrimSpace(offer) == protocol {
				return true
			}
		}
	}
	return false
}

func checkTags(tags []string) ([]string, error) {
	tags = slices.Clone(tags)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	if len(tags) > MaxTags {
		return nil, ErrTags
	}
	for _, tag := range tags {
		if tag == "" || len(tag) > MaxTagBytes || !utf8.ValidString(tag) {
			return nil, ErrTags
		}
	}
	return tags, nil
}

// Sockets gives the object's open sockets, newest first; with a tag only those
// that have it.
func (s *State) Sockets(ctx context.Context, tag string) ([]*Socket, error) {
	act := s.act
	act.mu.Lock()
	defer act.mu.Unlock()
	if _, err := act.enterLocked(ctx); err != nil {
		return nil, err
	}
	var found []*Socket
	for _, socket := range slices.Backward(act.sockets.list) {
		if tag == "" || slices.Contains(socket.tags, tag) {
			found = append(found, socket)
		}
	}
	return found, nil
}

// BroadcastOptions select who gets a broadcast.
type BroadcastOptions struct {
	Tag    string    // only sockets with this tag; "" = all
	Except []*Socket // not these
}

// Broadcast sends a message to all sockets of the object that the options
// select. It costs one frame for each gateway, not one for each socket. Errors,
// and what holds when the object moves, are those of Socket.Send.
func (s *State) Broadcast(ctx context.Context, message Message, opt BroadcastOptions) error {
	if err := checkMessage(message); err != nil {
		return err
	}
	act := s.act
	act.mu.Lock()
	defer act.unlock()
	ev, err := act.enterLocked(ctx)
	if err != nil {
		return err
	}
	if act.host.full() {
		return ErrOverloaded
	}
	frame := Frame{Kind: FrameMessage, Tag: opt.Tag, Message: message.Kind, Data: bytes.Clone(message.Data)}
	for _, socket := range opt.Except {
		if socket != nil {
			frame.Except = append(frame.Except, socket.conn)
		}
	}
	gateways := act.sockets.gateways()
	if !act.roomForLocked(&frame, len(gateways)) {
		return ErrBatchTooLarge
	}
	for _, gateway := range gateways {
		act.frameLocked(ev, gateway, frame)
	}
	act.host.events.broadcast(act.target.Class)
	return nil
}

// SetAutoReply makes the gateways answer every text message that equals
// reply.Request with reply.Reply, on all sockets of the object, without waking
// it. nil removes the automatic reply.
func (s *State) SetAutoReply(ctx context.Context, reply *AutoReply) error {
	if reply != nil && (len(reply.Request) > MaxAutoReplyBytes || len(reply.Reply) > MaxAutoReplyBytes ||
		!utf8.ValidString(reply.Request) || !utf8.ValidString(reply.Reply)) {
		return ErrAutoReply
	}
	act := s.act
	act.mu.Lock()
	defer act.unlock()
	ev, err := act.enterLocked(ctx)
	if err != nil {
		return err
	}
	if reply != nil {
		reply = &AutoReply{Request: reply.Request, Reply: reply.Reply}
	} else {
		act.emptied = true
	}
	act.auto = reply
	act.changes.auto = &AutoChange{Reply: reply}
	for _, gateway := range act.sockets.gateways() {
		act.frameLocked(ev, gateway, Frame{Kind: FrameAutoReply, Auto: reply})
	}
	return nil
}

// AutoReply gives the object's automatic reply, or nil.
func (s *State) AutoReply(ctx context.Context) (*AutoReply, error) {
	s.act.mu.Lock()
	defer s.act.mu.Unlock()
	if _, err := s.act.enterLocked(ctx); err != nil {
		return nil, err
	}
	if s.act.auto == nil {
		return nil, nil //nolint:nilnil // no automatic reply is an answer, not a failure
	}
	reply := *s.act.auto
	return &reply, nil
}

// ID gives the socket's ID: the same for as long as the socket is open, also when
// its client resumes its session by another connection.
func (s *Socket) ID() SocketID { return s.id }

// Tags gives the tags with which the socket was accepted, in ascending order.
func (s *Socket) Tags() []string { return slices.Clone(s.tags) }

// Protocol gives the subprotocol with which the socket was accepted, or "".
func (s *Socket) Protocol() string { return s.protocol }

// Send sends a message to the client, in the order of the object's frames, when
// the writes made before it are durable. A nil error does not say that the
// client gets it: it may be gone without the object knowing yet.
//
// If the object moves to another node, or its node dies, a message that was sent
// after a write of the same event (since its last outside wait) still arrives,
// once; others may be lost then, or come twice. So write first, then send.
func (s *Socket) Send(ctx context.Context, message Message) error {
	if err := checkMessage(message); err != nil {
		return err
	}
	return s.use(ctx, func(ev *event) error {
		if s.act.host.full() {
			return ErrOverloaded
		}
		frame := Frame{Kind: FrameMessage, Socket: s.conn, Message: message.Kind, Data: bytes.Clone(message.Data)}
		if !s.act.roomForLocked(&frame, 1) {
			return ErrBatchTooLarge
		}
		s.act.frameLocked(ev, s.conn.Gateway(), frame)
		return nil
	})
}

// SendText sends a text message.
func (s *Socket) SendText(ctx context.Context, text string) error {
	return s.Send(ctx, Message{Kind: Text, Data: []byte(text)})
}

// Close closes the socket after the frames that were sent before. Code 0 sends
// no status, which the client sees as 1005. The object gets no SocketClose for
// a socket that it closed itself.
func (s *Socket) Close(ctx context.Context, code int, reason string) error {
	if !validClose(code, reason) {
		return ErrCloseCode
	}
	return s.use(ctx, func(ev *event) error {
		if !s.act.roomLocked(socketChangeBytes(&SocketChange{})) {
			return ErrBatchTooLarge
		}
		s.act.removeSocketLocked(s)
		s.act.frameLocked(ev, s.conn.Gateway(), Frame{Kind: FrameClose, Socket: s.conn, Code: code, Reason: reason})
		return nil
	})
}

// Attachment gives a copy of the socket's attachment, or nil.
func (s *Socket) Attachment(ctx context.Context) ([]byte, error) {
	s.act.mu.Lock()
	defer s.act.mu.Unlock()
	if _, err := s.act.enterLocked(ctx); err != nil {
		return nil, err
	}
	return bytes.Clone(s.attachment), nil
}

// SetAttachment keeps up to MaxAttachmentBytes with the socket for as long as
// it is open, also while the object is out of memory. nil removes it.
func (s *Socket) SetAttachment(ctx context.Context, attachment []byte) error {
	if len(attachment) > MaxAttachmentBytes {
		return ErrAttachmentTooLarge
	}
	return s.use(ctx, func(*event) error {
		change := SocketChange{Op: SocketAttach, Socket: s.id, Attachment: bytes.Clone(attachment)}
		if !s.act.roomLocked(socketChangeBytes(&change)) {
			return ErrBatchTooLarge
		}
		s.attachment = change.Attachment
		s.act.addSocketLocked(change)
		return nil
	})
}

// use runs f with the lock held if the socket is open and ctx holds the gate.
func (s *Socket) use(ctx context.Context, f func(ev *event) error) error {
	s.act.mu.Lock()
	defer s.act.unlock()
	ev, err := s.act.enterLocked(ctx)
	if err != nil {
		return err
	}
	if s.closed {
		return ErrSocketClosed
	}
	return f(ev)
}

func checkMessage(m Message) error {
	switch {
	case len(m.Data) > MaxFrameBytes:
		return ErrFrameTooLarge
	case m.Kind == Binary:
		return nil
	case m.Kind == Text && utf8.Valid(m.Data):
		return nil
	default:
		return ErrNotText
	}
}

// validClose follows RFC 6455 7.4: 1004, 1005, 1006 and 1015 are never sent,
// 1016 to 2999 are reserved.
func validClose(code int, reason string) bool {
	if len(reason) > MaxReasonBytes || !utf8.ValidString(reason) {
		return false
	}
	switch {
	case code == 0:
		return reason == ""
	case code >= 3000 && code <= 4999:
		return true
	case code >= 1000 && code <= 1014:
		return code < 1004 || code > 1006
	}
	return false
}
