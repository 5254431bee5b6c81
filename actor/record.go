package actor

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorruptState means that the state database holds something that no version
// known here has written.
var ErrCorruptState = errors.New("actor: corrupt state")

// ObjectRecord is what the state keeps of an object besides its keys, alarm and sockets.
type ObjectRecord struct {
	Class string
	Name  string // "" where the object has none or it is not known yet
	Frame uint64 // number of the last frame whose event wrote
	Auto  *AutoReply
}

// SocketRecord is what the state keeps of an open socket.
type SocketRecord struct {
	Socket     SocketID
	Tags       []string
	Protocol   string
	Attachment []byte // nil = none
	Number     uint64 // of the last message that took effect
	Sequence   uint64 // counts the sockets that the object accepted: greater = newer
	Session    Session
	Conn       SocketID // by which its client is reached: Socket, until the session is resumed
}

// DueAlarm is an alarm with the object that it wakes.
type DueAlarm struct {
	AlarmRecord

	Object ID
}

// recordVersion is the first byte of every record but the plain values of keys
// (their first byte is the value's tag).
const recordVersion = 1

// objectRecord is an ObjectRecord as it is stored, with what only Apply needs.
type objectRecord struct {
	ObjectRecord

	accepted uint64 // sockets accepted since the record came to be: gives Sequence
	open     uint64 // sockets open now
}

func appendObject(dst []byte, o *objectRecord) []byte {
	dst = append(dst, recordVersion)
	dst = appendText(dst, o.Class)
	dst = appendText(dst, o.Name)
	dst = binary.AppendUvarint(dst, o.Frame)
	dst = binary.AppendUvarint(dst, o.accepted)
	dst = binary.AppendUvarint(dst, o.open)
	if o.Auto == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = appendText(dst, o.Auto.Request)
	return appendText(dst, o.Auto.Reply)
}

func decodeObject(data []byte) (objectRecord, error) {
	var o objectRecord
	r := newRecordReader(data)
	o.Class = r.text(maxTextBytes)
	o.Name = r.text(maxTextBytes)
	o.Frame = r.uvarint()
	o.accepted = r.uvarint()
	o.open = r.uvarint()
	switch r.byte() {
	case 0:
	case 1:
		o.Auto = &AutoReply{Request: r.text(maxTextBytes), Reply: r.text(maxTextBytes)}
	default:
		r.fail()
	}
	return o, finishRecord(&r, "object", data)
}

// appendAlarm has no version byte: it is part of the batch too.
func appendAlarm(dst []byte, a AlarmRecord) []byte {
	dst = binary.AppendVarint(dst, a.Due)
	dst = binary.AppendVarint(dst, a.Scheduled)
	return append(dst, a.Retries)
}

func readAlarm(r *fieldReader) AlarmRecord {
	return AlarmRecord{Due: r.varint(), Scheduled: r.varint(), Retries: r.byte()}
}

func decodeAlarm(data []byte) (AlarmRecord, error) {
	r := newRecordReader(data)
	a := readAlarm(&r)
	return a, finishRecord(&r, "alarm", data)
}

// A socket's record has parts under keys of their own, because a message changes
// only the number, the attachment may have 16 KiB, and most have no session.
func appendSocket(dst []byte, s *SocketRecord) []byte {
	dst = append(dst, recordVersion)
	dst = binary.AppendUvarint(dst, s.Sequence)
	dst = appendText(dst, s.Protocol)
	dst = binary.AppendUvarint(dst, uint64(len(s.Tags)))
	for _, tag := range s.Tags {
		dst = appendText(dst, tag)
	}
	return dst
}

func decodeSocket(s *SocketRecord, data []byte) error {
	r := newRecordReader(data)
	s.Sequence = r.uvarint()
	s.Protocol = r.text(maxTextBytes)
	s.Tags = readTags(&r)
	return finishRecord(&r, "socket", data)
}

func appendSession(dst []byte, session Session, conn SocketID) []byte {
	dst = append(dst, recordVersion)
	dst = append(dst, session[:]...)
	return append(dst, conn[:]...)
}

func decodeSession(s *SocketRecord, data []byte) error {
	r := newRecordReader(data)
	copy(s.Session[:], r.fixed(len(s.Session)))
	copy(s.Conn[:], r.fixed(len(s.Conn)))
	return finishRecord(&r, "session", data)
}

func appendNumber(dst []byte, number uint64) []byte {
	return binary.AppendUvarint(append(dst, recordVersion), number)
}

func decodeNumber(data []byte) (uint64, error) {
	r := newRecordReader(data)
	n := r.uvarint()
	return n, finishRecord(&r, "socket number", data)
}

// A position is the index of the last applied log entry of a shard with the
// header that the replication keeps there.
func appendPosition(dst []byte, index uint64, header []byte) []byte {
	dst = append(dst, recordVersion)
	dst = binary.AppendUvarint(dst, index)
	return appendOptional(dst, header)
}

func decodePosition(data []byte) (index uint64, header []byte, err error) {
	r := newRecordReader(data)
	index = r.uvarint()
	header = r.optional(maxBlobBytes)
	return index, header, finishRecord(&r, "position", data)
}

func newRecordReader(data []byte) fieldReader {
	r := fieldReader{data: data}
	if r.byte() != recordVersion {
		r.fail()
	}
	return r
}

func finishRecord(r *fieldReader, kind string, data []byte) error {
	if !r.done() {
		return fmt.Errorf("%w: %s record %x", ErrCorruptState, kind, data[:min(len(data), 64)])
	}
	return nil
}
