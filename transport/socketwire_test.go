package transport

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
)

// testFrames are frames of every kind, for a gateway with start 7.
func testFrames() []actor.Frame {
	socket := actor.NewSocketID(7, 9)
	return []actor.Frame{
		{Kind: actor.FrameOpen, Number: 1, Socket: socket, Tags: []string{"a", "ü"}, Protocol: "chat", Auto: &actor.AutoReply{Request: "ping", Reply: "pong"}},
		{Kind: actor.FrameOpen, Number: 2, Socket: socket},
		{Kind: actor.FrameMessage, Number: 300, Socket: socket, Message: actor.Binary, Data: []byte{0, 1}},
		{Kind: actor.FrameMessage, Number: 4, Tag: "t", Except: []actor.SocketID{socket, actor.NewSocketID(7, 1)}, Message: actor.Text, Data: []byte("x")},
		{Kind: actor.FrameClose, Number: 5, Socket: socket, Code: 4000, Reason: "bye"},
		{Kind: actor.FrameClose, Socket: socket},
		{Kind: actor.FrameAutoReply, Number: 6, Auto: &actor.AutoReply{}},
		{Kind: actor.FrameAutoReply, Number: 7},
		{Kind: actor.FrameAck, Number: 1 << 60, Socket: socket},
		{Kind: actor.FrameGone, Socket: socket},
		{Kind: actor.FrameAttached, Except: []actor.SocketID{socket}},
	}
}

func TestFramesOnTheWire(t *testing.T) {
	for _, f := range testFrames() {
		got, err := actor.DecodeFrame(appendFrame(nil, 7, f)[1:])
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%+v arrives as %+v, %v", f, got, err)
		}
	}
	other := actor.Frame{Kind: actor.FrameMessage, Except: []actor.SocketID{actor.NewSocketID(8, 1)}, Message: actor.Text, Data: []byte("x")}
	if got, err := actor.DecodeFrame(appendFrame(nil, 7, other)[1:]); err != nil || len(got.Except) > 0 {
		t.Errorf("a socket of another gateway is sent as exclusion: %v, %v", got.Except, err)
	}
}

func TestClosingsOnTheWire(t *testing.T) {
	socket := actor.NewSocketID(7, 9)
	for _, cause := range []error{nil, ErrMessageTooLarge, ErrNotText, ErrProtocol} {
		c := closing{info: actor.CloseInfo{Code: 1009, Reason: "r", Clean: true}, cause: cause}
		gotSocket, got, err := decodeClosed(appendClosed(nil, socket, c)[1:])
		if err != nil || gotSocket != socket || got.info != c.info || !errors.Is(got.cause, cause) || (cause == nil) != (got.cause == nil) {
			t.Errorf("%+v arrives as %+v, %v", c, got, err)
		}
	}
}

// Whatever a decoder takes it would send in the same way, so nothing is taken
// that means something else.
func FuzzSocketWire(f *testing.F) {
	socket := actor.NewSocketID(7, 9)
	for _, frame := range testFrames() {
		f.Add(appendFrame(nil, 7, frame))
	}
	f.Add(appendAttach(nil, attach{last: 9, sockets: []actor.SocketID{socket}}))
	f.Add(appendMessage(nil, socket, 3, actor.Message{Kind: actor.Text, Data: []byte("x")}))
	f.Add(appendAck(nil, 77))
	f.Add(appendClosed(nil, socket, closing{info: actor.CloseInfo{Code: 1000}, cause: ErrNotText}))
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) == 0 {
			return
		}
		var again []byte
		var err error
		switch body := message[1:]; message[0] {
		case wireFrame:
			var frame actor.Frame
			if frame, err = actor.DecodeFrame(body); err == nil {
				again = appendFrame(nil, 7, frame)
				if second, err := actor.DecodeFrame(again[1:]); err != nil || second.Kind != frame.Kind || second.Number != frame.Number || !bytes.Equal(second.Data, frame.Data) {
					t.Errorf("frame %+v is sent on as %+v, %v", frame, second, err)
				}
			}
		case wireAttach:
			var a attach
			if a, err = decodeAttach(body); err == nil {
				second, err := decodeAttach(appendAttach(nil, a)[1:])
				if err != nil || !reflect.DeepEqual(a, second) {
					t.Errorf("attach %+v is sent on as %+v, %v", a, second, err)
				}
			}
		case wireMessage:
			if socket, number, m, err := decodeMessage(body); err == nil {
				s, n, second, err := decodeMessage(appendMessage(nil, socket, number, m)[1:])
				if err != nil || s != socket || n != number || second.Kind != m.Kind || !bytes.Equal(second.Data, m.Data) {
					t.Errorf("message %d %+v is sent on as %d %+v, %v", number, m, n, second, err)
				}
			}
		case wireAck:
			if number, err := decodeAck(body); err == nil {
				if n, err := decodeAck(appendAck(nil, number)[1:]); err != nil || n != number {
					t.Errorf("ack %d is sent on as %d, %v", number, n, err)
				}
			}
		case wireClosed:
			if socket, c, err := decodeClosed(body); err == nil {
				s, second, err := decodeClosed(appendClosed(nil, socket, c)[1:])
				if err != nil || s != socket || second.info != c.info {
					t.Errorf("closing %+v is sent on as %+v, %v", c, second, err)
				}
			}
		}
	})
}

// Nothing that a peer sends as pieces makes more of them than it sent.
func FuzzSocketPieces(f *testing.F) {
	q := newTurnQueue(1 << 20)
	q.push(testStream(1), make([]byte, 20<<10))
	q.push(testStream(2), []byte("x"))
	f.Add(q.take(nil))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		parts, total := newParts(), 0
		for {
			_, message, err := parts.next(r)
			total += len(message)
			if err != nil {
				break
			}
		}
		if total > len(stream) || parts.bytes > len(stream) {
			t.Errorf("%d bytes became %d and %d", len(stream), total, parts.bytes)
		}
	})
}

func FuzzSocketHello(f *testing.F) {
	f.Add(appendSocketHello(nil, []uint64{1, 2}))
	f.Fuzz(func(t *testing.T, hello []byte) {
		starts, err := readSocketHello(bytes.NewReader(hello))
		if err == nil && !bytes.HasPrefix(hello, appendSocketHello(nil, starts)) {
			t.Errorf("hello %x gives %x", hello, starts)
		}
	})
}
