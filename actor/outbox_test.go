package actor

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// kept makes a part's frames: to one gateway each, with data of so many bytes.
func kept(first uint64, size int, gateways ...uint64) (frames []keptFrame) {
	data := make([]byte, size)
	for i, gateway := range gateways {
		frames = append(frames, keptFrame{gateway: gateway, frame: &Frame{Kind: FrameMessage, Number: first + uint64(i), Message: Text, Data: data}})
	}
	return frames
}

func numbers(frames []Frame) (all []uint64) {
	for _, f := range frames {
		all = append(all, f.Number)
	}
	return all
}

func TestOutboxKeepsUntilAllHaveAcknowledged(t *testing.T) {
	var o outbox
	o.add(kept(1, 10, 7, 8))
	o.add(kept(3, 10, 7))
	o.add(kept(4, 10, 8))
	o.released = 3
	for _, test := range []struct {
		gateway, last uint64
		want          []uint64
	}{{7, 0, []uint64{1, 3}}, {7, 1, []uint64{3}}, {8, 0, []uint64{2}}, {9, 0, nil}} {
		if got := numbers(o.after(test.gateway, test.last)); !slices.Equal(got, test.want) {
			t.Errorf("after(%d, %d) = %v, want %v", test.gateway, test.last, got, test.want)
		}
	}
	o.acknowledge(7, 3)
	if got := o.takeDelivered(); !slices.Equal(got, []uint64{3}) {
		t.Errorf("after the acknowledgement of 7, parts %v are delivered, want 3", got)
	}
	o.acknowledge(8, 2)
	o.acknowledge(8, 2)
	if got := o.takeDelivered(); !slices.Equal(got, []uint64{1}) {
		t.Errorf("after the acknowledgement of 8, parts %v are delivered, want 1", got)
	}
	o.acknowledge(8, 100)
	if got := o.takeDelivered(); !slices.Equal(got, []uint64{4}) || o.bytes != 0 || o.frames != 0 {
		t.Errorf("at the end parts %v are delivered, %d bytes and %d frames left, want 4, 0, 0", got, o.bytes, o.frames)
	}
}

// Whoever is behind is cut, and nobody else; what is newest always fits.
func TestOutboxCutsWhoIsBehind(t *testing.T) {
	var o outbox
	number := uint64(1)
	for {
		cut := o.add(kept(number, maxOutboxBytes/8, 7, 8))
		number += 2
		o.acknowledge(8, number)
		if len(cut) > 0 {
			if !slices.Equal(cut, []uint64{7}) {
				t.Errorf("cut %v, want 7", cut)
			}
			break
		}
		if number > 40 {
			t.Fatal("nobody is cut")
		}
	}
	if got := len(o.parts); got != 1 {
		t.Errorf("%d parts are left, want the newest", got)
	}
	if cut := o.add(kept(number, 4*maxOutboxBytes, 8)); len(cut) > 0 || len(o.parts) != 2 {
		t.Errorf("a large part cuts %v and %d parts are left, want none and 2", cut, len(o.parts))
	}
	if cut := o.add(kept(number+1, 1, 8)); !slices.Equal(cut, []uint64{7}) && !slices.Equal(cut, []uint64{7, 8}) {
		t.Errorf("the part after a large one cuts %v, want whoever has not acknowledged that", cut)
	}
}

// allFrames are frames of every kind.
func allFrames() []Frame {
	socket := NewSocketID(7, 9)
	return []Frame{
		{Kind: FrameOpen, Number: 1, Socket: socket, Tags: []string{"a", "ü"}, Protocol: "chat", Auto: &AutoReply{Request: "ping", Reply: "pong"}},
		{Kind: FrameMessage, Number: 2, Socket: socket, Message: Binary, Data: []byte{0, 1}},
		{Kind: FrameMessage, Number: 300, Tag: "t", Except: []SocketID{socket}, Message: Text, Data: []byte("x")},
		{Kind: FrameClose, Number: 301, Socket: socket, Code: 4000, Reason: "bye"},
		{Kind: FrameAutoReply, Number: 302},
		{Kind: FrameAck, Number: 1 << 60, Socket: socket},
		{Kind: FrameGone, Socket: socket},
		{Kind: FrameAttached, Except: []SocketID{socket}},
	}
}

func FuzzDecodeFrame(f *testing.F) {
	for _, frame := range allFrames() {
		f.Add(frame.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := DecodeFrame(data)
		if err != nil {
			if !errors.Is(err, ErrBadFrame) {
				t.Errorf("DecodeFrame: %v, want ErrBadFrame", err)
			}
			return
		}
		if again := frame.Append(nil); !bytes.Equal(again, data) {
			t.Errorf("a frame with two encodings:\n%x\n%x", data, again)
		}
	})
}

func TestOutboxPartRoundTrip(t *testing.T) {
	var part []keptFrame
	for _, f := range allFrames()[:5] {
		part = append(part, keptFrame{gateway: 7, frame: &f})
	}
	part = append(part, kept(400, 3, 7, 8, 9)...)
	data := appendOutboxPart(nil, part)
	got, err := decodeOutboxPart(data)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range part {
		if got.frames[i].gateway != k.gateway || !reflect.DeepEqual(*got.frames[i].frame, *k.frame) {
			t.Errorf("frame %d comes back as %+v, want %+v", i, got.frames[i].frame, k.frame)
		}
	}
	once, twice := len(appendOutboxPart(nil, kept(1, 1000, 7))), len(appendOutboxPart(nil, kept(1, 1000, 7, 8)))
	if twice-once >= 1000 {
		t.Errorf("a broadcast to one more gateway costs %d bytes, although they share its data", twice-once)
	}
}

func FuzzOutboxPart(f *testing.F) {
	f.Add(appendOutboxPart(nil, kept(1, 3, 7, 8)))
	f.Fuzz(func(t *testing.T, data []byte) {
		part, err := decodeOutboxPart(data)
		if err != nil {
			if !errors.Is(err, ErrCorruptState) {
				t.Errorf("decodeOutboxPart: %v, want ErrCorruptState", err)
			}
			return
		}
		again, err := decodeOutboxPart(appendOutboxPart(nil, part.frames))
		if err != nil || len(again.frames) != len(part.frames) || again.first != part.first || again.bytes != part.bytes {
			t.Errorf("a part comes back as another: %+v, %v, want %+v", again, err, part)
		}
	})
}
