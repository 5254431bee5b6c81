package actor

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrBadFrame means that bytes are not a frame of a form that is known here.
var ErrBadFrame = errors.New("actor: not a frame")

// Append appends the encoding of f to dst: kind, number, socket, and what the
// kind needs; data comes last and has no length.
func (f *Frame) Append(dst []byte) []byte {
	dst = append(dst, byte(f.Kind))
	dst = binary.AppendUvarint(dst, f.Number)
	dst = append(dst, f.Socket[:]...)
	switch f.Kind {
	case FrameOpen:
		dst = binary.AppendUvarint(dst, uint64(len(f.Tags)))
		for _, tag := range f.Tags {
			dst = appendText(dst, tag)
		}
		return appendAutoReply(appendText(dst, f.Protocol), f.Auto)
	case FrameMessage:
		dst = appendSocketIDs(appendText(dst, f.Tag), f.Except)
		return append(append(dst, byte(f.Message)), f.Data...)
	case FrameClose:
		return appendText(binary.AppendUvarint(dst, uint64(f.Code)), f.Reason)
	case FrameAutoReply:
		return appendAutoReply(dst, f.Auto)
	case FrameAttached:
		return appendSocketIDs(dst, f.Except)
	case FrameAck, FrameGone:
	}
	return dst
}

// DecodeFrame is the inverse of Append. The frame's data aliases data.
func DecodeFrame(data []byte) (Frame, error) {
	r := fieldReader{data: data}
	f := Frame{Kind: FrameKind(r.byte()), Number: r.uvarint()}
	copy(f.Socket[:], r.fixed(len(f.Socket)))
	switch f.Kind {
	case FrameOpen:
		f.Tags = readTags(&r)
		f.Protocol = r.text(maxTextBytes)
		f.Auto = readAutoReply(&r)
	case FrameMessage:
		f.Tag = r.text(maxTextBytes)
		f.Except = readSocketIDs(&r)
		f.Message = MessageKind(r.byte())
		if f.Message != Text && f.Message != Binary {
			r.fail()
		}
		f.Data, r.data = r.data, nil
	case FrameClose:
		code := r.uvarint()
		if code > 0xffff {
			r.fail()
		}
		f.Code = int(code)
		f.Reason = r.text(maxTextBytes)
	case FrameAutoReply:
		f.Auto = readAutoReply(&r)
	case FrameAttached:
		f.Except = readSocketIDs(&r)
	case FrameAck, FrameGone:
	default:
		r.fail()
	}
	if !r.done() {
		return Frame{}, fmt.Errorf("%w: %d bytes of kind %d", ErrBadFrame, len(data), f.Kind)
	}
	return f, nil
}

// frameBytes is at least the size of a frame's encoding without its data.
func frameBytes(f *Frame) int {
	n := 64 + len(f.Tag) + len(f.Protocol) + len(f.Reason) + len(f.Except)*len(SocketID{})
	for _, tag := range f.Tags {
		n += len(tag) + 5
	}
	if f.Auto != nil {
		n += len(f.Auto.Request) + len(f.Auto.Reply)
	}
	return n
}

func appendSocketIDs(dst []byte, sockets []SocketID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(sockets)))
	for i := range sockets {
		dst = append(dst, sockets[i][:]...)
	}
	return dst
}

func readSocketIDs(r *fieldReader) []SocketID {
	n := r.count(len(SocketID{}))
	if n == 0 {
		return nil
	}
	sockets := make([]SocketID, n)
	for i := range sockets {
		copy(sockets[i][:], r.fixed(len(SocketID{})))
	}
	return sockets
}

func appendAutoReply(dst []byte, auto *AutoReply) []byte {
	if auto == nil {
		return append(dst, 0)
	}
	return appendText(appendText(append(dst, 1), auto.Request), auto.Reply)
}

func readAutoReply(r *fieldReader) *AutoReply {
	switch r.byte() {
	case 0:
	case 1:
		return &AutoReply{Request: r.text(maxTextBytes), Reply: r.text(maxTextBytes)}
	default:
		r.fail()
	}
	return nil
}
