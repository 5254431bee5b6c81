package actor

import (
	"encoding/binary"
	"encoding/hex"
)

// SocketID names a client's socket for as long as it is open. The first 8 bytes
// are the start number of the gateway that holds the client's connection, the
// last 8 the socket's number there, so an ID never comes twice and the life of
// a socket is known to be over when its gateway's start is over.
type SocketID [16]byte

// NewSocketID joins a gateway's start number and the socket's number there.
func NewSocketID(gateway, number uint64) SocketID {
	var id SocketID
	binary.BigEndian.PutUint64(id[:8], gateway)
	binary.BigEndian.PutUint64(id[8:], number)
	return id
}

// Gateway gives the start number of the gateway that holds the socket.
func (id SocketID) Gateway() uint64 { return binary.BigEndian.Uint64(id[:8]) }

// lost names a connection that nobody holds any more, at gateway 0, which there
// never is.
func (id SocketID) lost() SocketID {
	clear(id[:8])
	return id
}

// String gives 32 hexadecimal digits.
func (id SocketID) String() string { return hex.EncodeToString(id[:]) }

// MessageKind says how a WebSocket message is framed.
type MessageKind uint8

// The two kinds of data messages of RFC 6455; the numbers are its opcodes.
const (
	Text   MessageKind = 1
	Binary MessageKind = 2
)

// Close codes of RFC 6455 that the runtime uses by itself.
const (
	closeNoStatus = 1005 // the Close frame had none
	closeLost     = 1006 // there was no Close frame
	closeInternal = 1011
	closeRestart  = 1012 // the socket cannot go on, a new one can
	closeTryLater = 1013
)

// FrameKind says what a gateway does with a frame.
type FrameKind uint8

// Kinds of frames. The numbers are part of the formats on wire and disk.
const (
	FrameOpen      FrameKind = 1 // the object accepted the socket: Socket, Tags, Protocol, Auto
	FrameMessage   FrameKind = 2 // a message: Message, Data, and either Socket or Tag with Except
	FrameClose     FrameKind = 3 // the object closes the socket: Socket, Code (0 = no status), Reason
	FrameAutoReply FrameKind = 4 // the object's automatic reply changed: Auto (nil = none)
	FrameAck       FrameKind = 5 // the message number Number of Socket took effect; frees window
	FrameGone      FrameKind = 6 // the object knows, durably, that Socket is closed: what SocketClosed told has arrived
	FrameAttached  FrameKind = 7 // the owner answers Attach: frames follow from here on; Except are sockets that the object does not have
)

// Frame is one step of the ordered stream from an object to one gateway. Direct
// messages, broadcasts, closes and acknowledgements share the stream, so their
// order at every socket is the order in which the object made them.
type Frame struct {
	Kind FrameKind
	// Number is that of a kept frame within its object, for FrameAck the message's. A
	// frame is kept, until its gateway has acknowledged it, if its event wrote before
	// it was made; others have no number, and may be lost when the owner changes.
	// A FrameClose without a number is the runtime's and not the object's: the
	// socket cannot go on, and its object still has to be told of its end.
	Number uint64

	Socket  SocketID   // zero in a broadcast
	Tag     string     // of a broadcast: only to sockets with this tag; "" = to all
	Except  []SocketID // of a broadcast: not to these
	Message MessageKind
	Data    []byte // shared by all receivers: nobody may change it

	Tags     []string // of FrameOpen
	Protocol string   // of FrameOpen: the subprotocol that the object chose, or ""
	Auto     *AutoReply

	Code   int
	Reason string
}

// AutoReply is a pair of texts: a text message that equals Request is answered
// with Reply by the gateway, without waking the object.
type AutoReply struct {
	Request string
	Reply   string
}

// Gateway is the side of a socket that holds the client's connection.
type Gateway interface {
	// Deliver takes the next frame of the object's stream. It must not block:
	// a queue that is full is the gateway's business, by its stated policy.
	Deliver(object ID, frame Frame)
}

// Attacher is a Gateway that outlives owners. It has its sockets attached again
// after it lost the way to their object (Host.Attach), acknowledges kept frames
// (Host.Acknowledge), and sends again the messages that were not acknowledged.
type Attacher interface {
	// OwnershipEnded tells that the ownership under which this node acted for the
	// objects that of selects has ended; another may follow, here or elsewhere.
	// Whatever those objects had not released is dropped. It must not block.
	OwnershipEnded(of func(object ID) bool)
}
