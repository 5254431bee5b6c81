package transport

import (
	"encoding/binary"
	"errors"
	"fmt"

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
	dst = append(dst, wireFrame, byte(f.Kind))
	dst = binary.AppendUvarint(dst, f.Number)
	dst = append(dst, f.Socket[:]...)
	switch f.Kind {
	case actor.FrameOpen:
		dst = binary.AppendUvarint(dst, uint64(len(f.Tags)))
		for _, tag := range f.Tags {
			dst = appendText(dst, tag)
		}
		dst = appendAuto(appendText(dst, f.Protocol), f.Auto)
	case actor.FrameMessage:
		dst = appendText(dst, f.Tag)
		var except []actor.SocketID
		for _, socket := range f.Except {
			if socket.Gateway() == gateway {
				except = append(except, socket)
			}
		}
		dst = append(appendSockets(dst, except), byte(f.Message))
		dst = append(dst, f.Data...)
	case actor.FrameClose:
		dst = appendText(binary.AppendUvarint(dst, uint64(f.Code)), f.Reason)
	case actor.FrameAutoReply:
		dst = appendAuto(dst, f.Auto)
	case actor.FrameAttached:
		dst = appendSockets(dst, f.Except)
	case actor.FrameAck, actor.FrameGone:
	}
	return dst
}

// decodeFrame gives a frame whose data is part of body.
func decodeFrame(body []byte) (f actor.Frame, err error) {
	r := wireReader{rest: body}
	f.Kind, f.Number, f.Socket = actor.FrameKind(r.byte()), r.uvarint(), r.socket()
	switch f.Kind {
	case actor.FrameOpen:
		n := r.count(1)
		for range n {
			f.Tags = append(f.Tags, r.text())
		}
		f.Protocol = r.text()
		f.Auto = r.auto()
	case actor.FrameMessage:
		f.Tag, f.Except = r.text(), r.sockets()
		f.Message = actor.MessageKind(r.byte())
		if f.Message != actor.Text && f.Message != actor.Binary {
			r.bad = true
		}
		f.Data, r.rest = r.rest, nil
	case actor.FrameClose:
		f.Code, f.Reason = r.code(), r.text()
	case actor.FrameAutoReply:
		f.Auto = r.auto()
	case actor.FrameAttached:
		f.Except = r.sockets()
	case actor.FrameAck, actor.FrameGone:
	default:
		r.bad = true
	}
	return f, r.end()
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

func appendAuto(dst []byte, auto *actor.AutoReply) []byte {
	if auto == nil {
		return append(dst, 0)
	}
	return appendText(appendText(append(dst, 1), auto.Request), auto.Reply)
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

func (r *wireReader) auto() *actor.AutoReply {
	switch r.byte() {
	case 0:
		return nil
	case 1:
		return &actor.AutoReply{Request: r.text(), Reply: r.text()}
	default:
		r.bad = true
		return nil
	}
}
