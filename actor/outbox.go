package actor

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Bounds of what an object keeps for gateways that have not acknowledged it. The
// frames of its newest batch always fit.
const (
	maxOutboxBytes  = 8 << 20
	maxOutboxFrames = 8192
)

// outbox holds the kept frames of an object: those that were made while their
// event had unsealed writes. They are in the batch of those writes, so that they
// are sent if and only if it takes effect, whoever owns the object then. A frame
// leaves the outbox when its gateway has acknowledged it, or a later one.
//
// The frames of one batch are one part, which the state keeps under the number of
// its first frame until all of them have left.
type outbox struct {
	parts     []*outboxPart // in ascending order
	frames    int           // in parts
	bytes     int           // of parts
	delivered []uint64      // numbers of parts to be removed with the next batch, ascending
	released  uint64        // number of the last frame that was sent; all before it were, or were dropped
}

// outboxPart is the kept frames of one batch.
type outboxPart struct {
	frames []keptFrame // in ascending order of their numbers
	first  uint64
	bytes  int
	open   int // frames that have not left
}

// keptFrame is a frame to one gateway. Its number is set when its batch is sealed.
type keptFrame struct {
	gateway uint64
	frame   *Frame
	left    bool
}

// add takes in the frames of a batch and gives the gateways that are too far
// behind: what they still had to get is dropped.
func (o *outbox) add(frames []keptFrame) (cut []uint64) {
	part := newOutboxPart(frames)
	for len(o.parts) > 0 && (o.bytes > maxOutboxBytes || o.frames > maxOutboxFrames) {
		behind := o.parts[0].behind()
		cut = append(cut, behind)
		o.acknowledge(behind, o.parts[len(o.parts)-1].last())
	}
	o.put(part)
	return cut
}

func newOutboxPart(frames []keptFrame) *outboxPart {
	p := &outboxPart{frames: frames, first: frames[0].frame.Number, open: len(frames)}
	for i, k := range frames {
		if p.bytes += frameBytes(k.frame); i == 0 || !sameData(frames[i-1].frame.Data, k.frame.Data) {
			p.bytes += len(k.frame.Data)
		}
	}
	return p
}

func (o *outbox) put(p *outboxPart) {
	o.parts = append(o.parts, p)
	o.frames += len(p.frames)
	o.bytes += p.bytes
}

func (p *outboxPart) last() uint64 { return p.frames[len(p.frames)-1].frame.Number }

// behind gives the gateway of the first frame that has not left.
func (p *outboxPart) behind() uint64 {
	for _, k := range p.frames {
		if !k.left {
			return k.gateway
		}
	}
	return 0
}

// acknowledge lets go what the gateway has got: everything up to that number.
func (o *outbox) acknowledge(gateway, number uint64) {
	kept := o.parts[:0]
	for _, p := range o.parts {
		for i := range p.frames {
			k := &p.frames[i]
			if k.gateway == gateway && k.frame.Number <= number && !k.left {
				k.left = true
				p.open--
			}
		}
		if p.open > 0 {
			kept = append(kept, p)
			continue
		}
		o.frames -= len(p.frames)
		o.bytes -= p.bytes
		o.delivered = append(o.delivered, p.first)
	}
	clear(o.parts[len(kept):])
	o.parts = kept
}

// takeDelivered gives the parts that are not needed any more, once.
func (o *outbox) takeDelivered() []uint64 {
	delivered := o.delivered
	o.delivered = nil
	slices.Sort(delivered)
	return delivered
}

// after gives the frames that were sent to a gateway which has those up to last.
func (o *outbox) after(gateway, last uint64) (frames []Frame) {
	for _, p := range o.parts {
		for _, k := range p.frames {
			if k.gateway == gateway && !k.left && k.frame.Number > last && k.frame.Number <= o.released {
				frames = append(frames, *k.frame)
			}
		}
	}
	return frames
}

func sameData(a, b []byte) bool {
	return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
}

// outboxVersion is the first byte of an encoded part:
//
//	version 1: version, number of frames, of each: gateway (8 bytes), 1 if its data
//	           is that of the frame before, length of the frame, the frame
const outboxVersion = 1

// minKeptBytes is the least size of a kept frame.
const minKeptBytes = 8 + 1 + 1

func appendOutboxPart(dst []byte, frames []keptFrame) []byte {
	dst = append(dst, outboxVersion)
	dst = binary.AppendUvarint(dst, uint64(len(frames)))
	var encoded []byte
	for i, k := range frames {
		dst = binary.BigEndian.AppendUint64(dst, k.gateway)
		f := *k.frame
		if i > 0 && sameData(frames[i-1].frame.Data, f.Data) {
			f.Data = nil
			dst = append(dst, 1)
		} else {
			dst = append(dst, 0)
		}
		encoded = f.Append(encoded[:0])
		dst = binary.AppendUvarint(dst, uint64(len(encoded)))
		dst = append(dst, encoded...)
	}
	return dst
}

// decodeOutboxPart is the inverse of appendOutboxPart; the frames alias data.
func decodeOutboxPart(data []byte) (*outboxPart, error) {
	r := fieldReader{data: data}
	if r.byte() != outboxVersion {
		r.fail()
	}
	n := r.count(minKeptBytes)
	frames := make([]keptFrame, 0, n)
	last := uint64(0)
	for range n {
		gateway := r.fixed(8)
		same := r.byte()
		f, err := DecodeFrame(r.bytes(maxBlobBytes))
		if r.bad || err != nil || f.Number <= last || same > 1 || (same == 1 && (len(frames) == 0 || len(f.Data) > 0)) {
			r.fail()
			break
		}
		last = f.Number
		if same == 1 {
			f.Data = frames[len(frames)-1].frame.Data
		}
		frames = append(frames, keptFrame{gateway: binary.BigEndian.Uint64(gateway), frame: &f})
	}
	if !r.done() || len(frames) == 0 {
		return nil, fmt.Errorf("%w: outbox of %d bytes", ErrCorruptState, len(data))
	}
	return newOutboxPart(frames), nil
}
