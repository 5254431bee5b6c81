package actor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrBadBatch means that bytes are not a batch of a version that is known here.
var ErrBadBatch = errors.New("actor: not a batch")

// batchVersion is the first byte of an encoded batch.
//
//	version 1: version, flags, object (32 bytes), class, name, frame,
//	           number of writes, of each: key, 0 (delete) or length+1 and value,
//	           with flagAlarm: op, if, and of a set: due, scheduled, retries (1 byte),
//	           number of socket changes, of each: op, socket (16 bytes), and what the op needs,
//	           with flagAutoSet: request, reply,
//	           with flagOutbox: length of the part + 1, the part and its number, or 0;
//	           number of delivered parts, of each: its number less that of the one before,
//	           with flagKeyed: number of changes, of each: op, key, expires, and but for
//	           KeyedExpired the fingerprint (32 bytes), and of KeyedAnswered the answer,
//	           with flagPoison: class, name, marked, since, strikes, struck, quarantines, until
//
// Numbers are unsigned varints in their shortest form, times are zigzag varints,
// texts are a length and bytes. Every batch has exactly one encoding.
const batchVersion = 1

// Flags of an encoded batch. All bits are used: what comes next needs version 2.
const (
	flagWipe      = 1 << 0
	flagForget    = 1 << 1
	flagAlarm     = 1 << 2
	flagAutoSet   = 1 << 3
	flagAutoClear = 1 << 4
	flagOutbox    = 1 << 5
	flagKeyed     = 1 << 6
	flagPoison    = 1 << 7
)

// Bounds of the fields, part of the format: far above the limits that the
// runtime checks before a batch is proposed, so those may change and a replica
// never meets a batch that only another one accepts.
const (
	maxTextBytes = 64 << 10 // a key, class, name, tag, subprotocol or half of an automatic reply
	maxBlobBytes = 64 << 20 // a value or an attachment
)

// Least sizes of the elements, which bound what a count may make the decoder allocate.
const (
	minWriteBytes  = 2
	minSocketBytes = 1 + len(SocketID{})
	minTagBytes    = 1
)

// Append appends the encoding of b to dst. It panics on a batch that DecodeBatch
// would refuse (keys out of order, a field beyond the format's bounds, an unknown
// op): proposed, such a batch would stop its shard on every replica for good.
func (b *Batch) Append(dst []byte) []byte {
	dst = slices.Grow(dst, b.encodedBytes())
	dst = append(dst, batchVersion, b.flags())
	dst = append(dst, b.Object[:]...)
	dst = appendText(dst, bounded(b.Class))
	dst = appendText(dst, bounded(b.Name))
	dst = binary.AppendUvarint(dst, b.Frame)
	dst = appendWrites(dst, b.Writes)
	dst = appendAlarmChange(dst, b.Alarm)
	dst = binary.AppendUvarint(dst, uint64(len(b.Sockets)))
	for i := range b.Sockets {
		dst = appendSocketChange(dst, &b.Sockets[i])
	}
	if b.Auto != nil && b.Auto.Reply != nil {
		dst = appendText(dst, bounded(b.Auto.Reply.Request))
		dst = appendText(dst, bounded(b.Auto.Reply.Reply))
	}
	dst = appendKeyed(appendOutboxChange(dst, &b.Outbox), b.Keyed)
	if b.Poison != nil {
		dst = appendPoison(dst, b.Poison)
	}
	return dst
}

func (c *OutboxChange) empty() bool { return len(c.Part) == 0 && len(c.Delivered) == 0 }

func appendOutboxChange(dst []byte, c *OutboxChange) []byte {
	if c.empty() {
		return dst
	}
	if len(c.Part) == 0 {
		dst = append(dst, 0)
	} else {
		if len(c.Part) > maxBlobBytes {
			panic(fmt.Sprintf("actor: batch with frames of %d bytes", len(c.Part)))
		}
		dst = appendOptional(dst, c.Part)
		dst = binary.AppendUvarint(dst, c.Number)
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Delivered)))
	last := uint64(0)
	for _, number := range c.Delivered {
		if number <= last {
			panic(fmt.Sprintf("actor: batch with outbox part %d after %d", number, last))
		}
		dst = binary.AppendUvarint(dst, number-last)
		last = number
	}
	return dst
}

// encodedBytes is at least the size of the encoding in all but freak cases,
// near enough that Append allocates once.
func (b *Batch) encodedBytes() int {
	const number = 5
	n := 2 + len(b.Object) + len(b.Class) + len(b.Name) + 8*number
	for i := range b.Writes {
		n += writeBytes(b.Writes[i].Key, b.Writes[i].Value)
	}
	for i := range b.Sockets {
		n += socketChangeBytes(&b.Sockets[i])
	}
	for i := range b.Keyed {
		n += keyedChangeBytes(&b.Keyed[i])
	}
	if b.Auto != nil && b.Auto.Reply != nil {
		n += len(b.Auto.Reply.Request) + len(b.Auto.Reply.Reply)
	}
	return n + len(b.Outbox.Part) + len(b.Outbox.Delivered)*number
}

func socketChangeBytes(c *SocketChange) int {
	const number = 5
	n := minSocketBytes + len(c.Protocol) + len(c.Attachment) + 3*number
	if c.Op == SocketSession {
		n += len(c.Session) + len(c.Conn)
	}
	for _, tag := range c.Tags {
		n += len(tag) + number
	}
	return n
}

func (b *Batch) flags() byte {
	var f byte
	if b.Wipe {
		f |= flagWipe
	}
	if b.Forget {
		f |= flagForget
	}
	if b.Alarm.Op != AlarmKeep {
		f |= flagAlarm
	}
	if !b.Outbox.empty() {
		f |= flagOutbox
	}
	if len(b.Keyed) > 0 {
		f |= flagKeyed
	}
	if b.Poison != nil {
		f |= flagPoison
	}
	switch {
	case b.Auto == nil:
	case b.Auto.Reply == nil:
		f |= flagAutoClear
	default:
		f |= flagAutoSet
	}
	return f
}

func appendWrites(dst []byte, writes []Write) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(writes)))
	for i := range writes {
		w := &writes[i]
		if i > 0 && writes[i-1].Key >= w.Key {
			panic(fmt.Sprintf("actor: batch with key %q after %q", w.Key, writes[i-1].Key))
		}
		dst = appendText(dst, bounded(w.Key))
		switch {
		case w.Delete:
			dst = append(dst, 0)
		case len(w.Value) > maxBlobBytes:
			panic(fmt.Sprintf("actor: batch with a value of %d bytes", len(w.Value)))
		default:
			dst = binary.AppendUvarint(dst, uint64(len(w.Value))+1)
			dst = append(dst, w.Value...)
		}
	}
	return dst
}

func appendAlarmChange(dst []byte, c AlarmChange) []byte {
	switch c.Op {
	case AlarmKeep:
		return dst
	case AlarmDelete:
		dst = append(dst, byte(c.Op))
		return binary.AppendVarint(dst, c.If)
	case AlarmSet:
		dst = append(dst, byte(c.Op))
		dst = binary.AppendVarint(dst, c.If)
		return appendAlarm(dst, c.Record)
	default:
		panic(fmt.Sprintf("actor: batch with alarm op %d", c.Op))
	}
}

func appendSocketChange(dst []byte, c *SocketChange) []byte {
	dst = append(dst, byte(c.Op))
	dst = append(dst, c.Socket[:]...)
	switch c.Op {
	case SocketOpen:
		dst = binary.AppendUvarint(dst, uint64(len(c.Tags)))
		for _, tag := range c.Tags {
			dst = appendText(dst, bounded(tag))
		}
		return appendText(dst, bounded(c.Protocol))
	case SocketClosed:
		return dst
	case SocketAttach:
		if len(c.Attachment) > maxBlobBytes {
			panic(fmt.Sprintf("actor: batch with an attachment of %d bytes", len(c.Attachment)))
		}
		return appendOptional(dst, c.Attachment)
	case SocketMessage:
		return binary.AppendUvarint(dst, c.Number)
	case SocketSession:
		dst = append(dst, c.Session[:]...)
		dst = append(dst, c.Conn[:]...)
		return binary.AppendUvarint(dst, c.Number)
	default:
		panic(fmt.Sprintf("actor: batch with socket op %d", c.Op))
	}
}

func bounded(s string) string {
	if len(s) > maxTextBytes {
		panic(fmt.Sprintf("actor: batch with a text of %d bytes", len(s)))
	}
	return s
}

// DecodeBatch is the inverse of Append: fields that the ops of a batch do not
// use come back zero. Values and attachments alias data. It refuses, with an
// error that Is ErrBadBatch, whatever Append does not make.
func DecodeBatch(data []byte) (*Batch, error) {
	b := new(Batch)
	if err := b.decode(data); err != nil {
		return nil, err
	}
	return b, nil
}

// decode overwrites b and uses its slices again.
func (b *Batch) decode(data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("%w: empty", ErrBadBatch)
	}
	if data[0] != batchVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrBadBatch, data[0], batchVersion)
	}
	r := fieldReader{data: data[1:]}
	flags := r.byte()
	if flags&(flagAutoSet|flagAutoClear) == flagAutoSet|flagAutoClear {
		return fmt.Errorf("%w: flags %#x", ErrBadBatch, flags)
	}
	*b = Batch{
		Wipe:    flags&flagWipe != 0,
		Forget:  flags&flagForget != 0,
		Writes:  b.Writes[:0],
		Sockets: b.Sockets[:0],
	}
	copy(b.Object[:], r.fixed(len(b.Object)))
	b.Class = r.text(maxTextBytes)
	b.Name = r.text(maxTextBytes)
	b.Frame = r.uvarint()
	b.decodeWrites(&r)
	if flags&flagAlarm != 0 {
		b.decodeAlarm(&r)
	}
	b.decodeSockets(&r)
	switch {
	case flags&flagAutoSet != 0:
		b.Auto = &AutoChange{Reply: &AutoReply{Request: r.text(maxTextBytes), Reply: r.text(maxTextBytes)}}
	case flags&flagAutoClear != 0:
		b.Auto = &AutoChange{}
	}
	if flags&flagOutbox != 0 {
		b.decodeOutbox(&r)
	}
	if flags&flagKeyed != 0 {
		b.decodeKeyed(&r)
	}
	if flags&flagPoison != 0 {
		poison := readPoison(&r)
		b.Poison = &poison
	}
	if !r.done() {
		return fmt.Errorf("%w: malformed after a good version byte, %d bytes", ErrBadBatch, len(data))
	}
	return nil
}

func (b *Batch) decodeWrites(r *fieldReader) {
	n := r.count(minWriteBytes)
	b.Writes = slices.Grow(b.Writes, n)
	for i := range n {
		w := Write{Key: r.text(maxTextBytes)}
		w.Value = r.optional(maxBlobBytes)
		w.Delete = w.Value == nil
		if r.bad || (i > 0 && b.Writes[i-1].Key >= w.Key) {
			r.fail()
			return
		}
		b.Writes = append(b.Writes, w)
	}
}

func (b *Batch) decodeAlarm(r *fieldReader) {
	b.Alarm.Op = AlarmOp(r.byte())
	b.Alarm.If = r.varint()
	switch b.Alarm.Op {
	case AlarmSet:
		b.Alarm.Record = readAlarm(r)
	case AlarmDelete:
	default:
		r.fail()
	}
}

func (b *Batch) decodeSockets(r *fieldReader) {
	n := r.count(minSocketBytes)
	b.Sockets = slices.Grow(b.Sockets, n)
	for range n {
		c := SocketChange{Op: SocketOp(r.byte())}
		copy(c.Socket[:], r.fixed(len(c.Socket)))
		switch c.Op {
		case SocketOpen:
			c.Tags = readTags(r)
			c.Protocol = r.text(maxTextBytes)
		case SocketClosed:
		case SocketAttach:
			c.Attachment = r.optional(maxBlobBytes)
		case SocketMessage:
			c.Number = r.uvarint()
		case SocketSession:
			copy(c.Session[:], r.fixed(len(c.Session)))
			copy(c.Conn[:], r.fixed(len(c.Conn)))
			c.Number = r.uvarint()
		default:
			r.fail()
		}
		if r.bad {
			return
		}
		b.Sockets = append(b.Sockets, c)
	}
}

func (b *Batch) decodeOutbox(r *fieldReader) {
	if part := r.optional(maxBlobBytes); part != nil {
		b.Outbox.Part, b.Outbox.Number = part, r.uvarint()
		if len(part) == 0 {
			r.fail()
		}
	}
	n := r.count(1)
	last := uint64(0)
	for range n {
		step := r.uvarint()
		if step == 0 || last+step < last {
			r.fail()
			return
		}
		last += step
		b.Outbox.Delivered = append(b.Outbox.Delivered, last)
	}
	if b.Outbox.empty() {
		r.fail()
	}
}

func readTags(r *fieldReader) []string {
	n := r.count(minTagBytes)
	if n == 0 {
		return nil
	}
	tags := make([]string, n)
	for i := range tags {
		tags[i] = r.text(maxTextBytes)
	}
	return tags
}

// forgets tells, without decoding it, whether an encoded batch says Forget.
func forgets(data []byte) bool {
	return len(data) > 1 && data[1]&flagForget != 0
}
