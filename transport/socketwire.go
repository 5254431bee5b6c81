package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-dev/holdfast/actor"
)

// What a message of a socket link is: its first byte. Gateways send those below
// 16, owners the others.
const (
	wireAttach  = 1
	wireMessage = 2
	wireAck     = 3
	wireClosed  = 4
	wireFrame   = 16
	wireMoved   = 17
)

// attach asks the owner for an object's sockets: frames after the last one that
// the gateway has, and which of its sockets the object does not know.
type attach struct {
	last    uint64
	sockets []actor.SocketID
}

// closing is the end of a client's side, to be told to the object.
type closing struct {
	info  actor.CloseInfo
	cause error
}

// Causes of a closing on the wire.
const (
	causeNone = iota
	causeTooLarge
	causeNotText
	causeProtocol
)

func appendAttach(dst []byte, a attach) []byte {
	dst = append(dst, wireAttach)
	dst = binary.AppendUvarint(dst, a.last)
	return appendSockets(dst, a.sockets)
}

func decodeAttach(body []byte) (a attach, err error) {
	r := wireReader{rest: body}
	a.last = r.uvarint()
	a.sockets = r.sockets()
	return a, r.end()
}

func appendMessage(dst []byte, socket actor.SocketID, number uint64, m actor.Message) []byte {
	dst = append(dst, wireMessage)
	dst = append(dst, socket[:]...)
	dst = binary.AppendUvarint(dst, number)
	dst = append(dst, byte(m.Kind))
	return append(dst, m.Data...)
}

// decodeMessage gives a message whose data is part of body.
func decodeMessage(body []byte) (socket actor.SocketID, number uint64, m actor.Message, err error) {
	r := wireReader{rest: body}
	socket, number = r.socket(), r.uvarint()
	m.Kind = actor.MessageKind(r.byte())
	m.Data, r.rest = r.rest, nil
	if m.Kind != actor.Text && m.Kind != actor.Binary {
		r.bad = true
	}
	return socket, number, m, r.end()
}

func appendAck(dst []byte, frame uint64) []byte {
	return binary.AppendUvarint(append(dst, wireAck), frame)
}

func decodeAck(body []byte) (frame uint64, err error) {
	r := wireReader{rest: body}
	frame = r.uvarint()
	return frame, r.end()
}

func appendClosed(dst []byte, socket actor.SocketID, c closing) []byte {
	dst = append(dst, wireClosed)
	dst = append(dst, socket[:]...)
	dst = binary.AppendUvarint(dst, uint64(c.info.Code))
	dst = append(dst, truth(c.info.Clean))
	dst = appendText(dst, c.info.Reason)
	kind, text := byte(causeNone), ""
	if c.cause != nil {
		text = c.cause.Error()
		switch {
		case errors.Is(c.cause, ErrMessageTooLarge):
			kind = causeTooLarge
		case errors.Is(c.cause, ErrNotText):
			kind = causeNotText
		default:
			kind = causeProtocol
		}
	}
	return appendText(append(dst, kind), text)
}

func decodeClosed(body []byte) (socket actor.SocketID, c closing, err error) {
	r := wireReader{rest: body}
	socket = r.socket()
	c.info.Code = r.code()
	c.info.Clean = r.byte() == 1
	c.info.Reason = r.text()
	kind, text := r.byte(), r.text()
	switch kind {
	case causeNone:
	case causeTooLarge:
		c.cause = ErrMessageTooLarge
	case causeNotText:
		c.cause = ErrNotText
	case causeProtocol:
		c.cause = fmt.Errorf("%w: on another node: %s", ErrProtocol, text)
	default:
		r.bad = true
	}
	return socket, c, r.end()
}

// appendFrame adds all that the gateway of that start needs of a frame.
func appendFrame(dst []byte, gateway uint64, f actor.Frame) []byte {
	if f.Kind == actor.FrameMessage && len(f.Except) > 0 {
		f.Except = slices.DeleteFunc(slices.Clone(f.Except), func(id actor.SocketID) bool { return id.Gateway() != gateway })
	}
	return f.Append(append(dst, wireFrame))
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func appendSockets(dst []byte, sockets []actor.SocketID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(sockets)))
	for _, socket := range sockets {
		dst = append(dst, socket[:]...)
	}
	return dst
}

func truth(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// wireReader takes fields off a message. After the first that is not there all
// are zero, and end says so.
type wireReader struct {
	rest []byte
	bad  bool
}

func (r *wireReader) end() error {
	if r.bad || len(r.rest) > 0 {
		return errSocketWire
	}
	return nil
}

func (r *wireReader) bytes(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *wireReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *wireReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// code reads a close code.
func (r *wireReader) code() int {
	v := r.uvarint()
	if v > 0xffff {
		r.bad = true
		return 0
	}
	return int(v)
}

// count reads the number of parts that follow, of at least that many bytes each.
func (r *wireReader) count(bytes int) int {
	v := r.uvarint()
	if v > uint64(len(r.rest)/bytes) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(v)
}

func (r *wireReader) text() string { return string(r.bytes(r.count(1))) }

func (r *wireReader) socket() (id actor.SocketID) {
	copy(id[:], r.bytes(len(id)))
	return id
}

func (r *wireReader) sockets() []actor.SocketID {
	n := r.count(len(actor.SocketID{}))
	if n == 0 {
		return nil
	}
	all := make([]actor.SocketID, n)
	for i := range all {
		all[i] = r.socket()
	}
	return all
}
