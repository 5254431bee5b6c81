package actor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Range is a range of keys in bytewise order.
type Range struct {
	From    string // the first key that may be in it
	To      string // with HasTo, the first key beyond it
	HasTo   bool
	Reverse bool // greatest key first
}

// Object gives the record of an object. No record means that it stores nothing
// and never had a batch that kept a record.
func (s *Store) Object(id ID) (ObjectRecord, bool, error) {
	data, ok, err := s.get(appendObjectKey(nil, s.shardOf(id), kindObject, id))
	if !ok || err != nil {
		return ObjectRecord{}, false, err
	}
	o, err := decodeObject(data)
	return o.ObjectRecord, err == nil, err
}

// Get gives the value of a key, tag byte first. The value belongs to the caller.
func (s *Store) Get(id ID, key string) (value []byte, ok bool, err error) {
	k := make([]byte, 0, objectKeyBytes+len(key))
	return s.get(append(appendObjectKey(k, s.shardOf(id), kindKey, id), key...))
}

// Alarm gives the alarm of an object.
func (s *Store) Alarm(id ID) (AlarmRecord, bool, error) {
	data, ok, err := s.get(appendObjectKey(nil, s.shardOf(id), kindAlarm, id))
	if !ok || err != nil {
		return AlarmRecord{}, false, err
	}
	a, err := decodeAlarm(data)
	return a, err == nil, err
}

func (s *Store) get(key []byte) (value []byte, ok bool, err error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.calls.Done()
	value, ok, err = getCopy(s.db, key)
	if err != nil {
		return nil, false, s.fault("read", err)
	}
	return value, ok, nil
}

// getCopy gives a value that does not belong to the database.
func getCopy(from pebble.Reader, key []byte) (value []byte, ok bool, err error) {
	data, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value = append(make([]byte, 0, len(data)), data...)
	return value, true, closer.Close()
}

// List visits the keys of an object that are in the range until visit returns
// false. It sees one moment of the state. Values belong to visit.
func (s *Store) List(id ID, r Range, visit func(key string, value []byte) bool) error {
	if r.HasTo && r.To <= r.From {
		return nil
	}
	prefix := appendObjectKey(nil, s.shardOf(id), kindKey, id)
	span := pebble.IterOptions{LowerBound: append(slices.Clone(prefix), r.From...)}
	if r.HasTo {
		span.UpperBound = append(slices.Clone(prefix), r.To...)
	} else {
		span.UpperBound = keyAfter(prefix)
	}
	return s.scan(span, r.Reverse, func(key, value []byte) (bool, error) {
		return visit(string(key[len(prefix):]), slices.Clone(value)), nil
	})
}

// scan visits what is in the span. What visit gets is valid until it returns.
func (s *Store) scan(span pebble.IterOptions, reverse bool, visit func(key, value []byte) (bool, error)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	it, err := s.db.NewIter(&span)
	if err != nil {
		return s.fault("scan", err)
	}
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	more := true
	for ok := first(); ok && more; ok = more && next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		if more, err = visit(it.Key(), value); err != nil {
			break
		}
	}
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return s.fault("scan", err)
	}
	return nil
}

// Empty says whether an object has no key, no alarm and no open socket.
func (s *Store) Empty(id ID) (bool, error) {
	empty := true
	found := func(_, _ []byte) (bool, error) { empty = false; return false, nil }
	shard := s.shardOf(id)
	for _, kind := range []byte{kindKey, kindAlarm, kindSocket} {
		prefix := appendObjectKey(nil, shard, kind, id)
		span := pebble.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)}
		if err := s.scan(span, false, found); err != nil || !empty {
			return false, err
		}
	}
	return true, nil
}

// Sockets gives the open sockets of an object, the oldest first.
func (s *Store) Sockets(id ID) ([]SocketRecord, error) {
	prefix := appendObjectKey(nil, s.shardOf(id), kindSocket, id)
	span := pebble.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)}
	var sockets []SocketRecord
	err := s.scan(span, false, func(key, value []byte) (bool, error) {
		if len(key) != socketKeyBytes {
			return false, fmt.Errorf("%w: socket key %x", ErrCorruptState, key)
		}
		socket := SocketID(key[objectKeyBytes:])
		if n := len(sockets); n == 0 || sockets[n-1].Socket != socket {
			sockets = append(sockets, SocketRecord{Socket: socket, Conn: socket})
		}
		return true, sockets[len(sockets)-1].readPart(key[socketKeyBytes-1], value)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(sockets, func(a, b SocketRecord) int {
		if a.Sequence < b.Sequence {
			return -1
		}
		return 1
	})
	return sockets, nil
}

// outbox gives the kept frames of an object that may not have arrived.
func (s *Store) outbox(id ID) (parts []*outboxPart, err error) {
	prefix := appendObjectKey(nil, s.shardOf(id), kindOutbox, id)
	span := pebble.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)}
	err = s.scan(span, false, func(key, value []byte) (bool, error) {
		part, err := decodeOutboxPart(slices.Clone(value))
		if err == nil && (len(key) != outboxKeyBytes || binary.BigEndian.Uint64(key[objectKeyBytes:]) != part.first) {
			err = fmt.Errorf("%w: outbox key %x", ErrCorruptState, key)
		}
		parts = append(parts, part)
		return true, err
	})
	return parts, err
}

func (r *SocketRecord) readPart(part byte, value []byte) (err error) {
	switch part {
	case partRecord:
		return decodeSocket(r, value)
	case partNumber:
		r.Number, err = decodeNumber(value)
		return err
	case partAttachment:
		r.Attachment = append([]byte{}, value...)
		return nil
	case partSession:
		return decodeSession(r, value)
	default:
		return fmt.Errorf("%w: socket part %d", ErrCorruptState, part)
	}
}

// DueAlarms gives the alarms of a shard that are due at until, at most limit, in
// order of due time, and the due time of the first alarm after those, 0 if there is none.
func (s *Store) DueAlarms(shard uint32, until int64, limit int) (due []DueAlarm, next int64, err error) {
	prefix := appendKindKey(nil, shard, kindDue)
	span := pebble.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)}
	err = s.scan(span, false, func(key, value []byte) (bool, error) {
		at, id, ok := splitDueKey(key)
		if !ok {
			return false, fmt.Errorf("%w: alarm key %x", ErrCorruptState, key)
		}
		if at > until || len(due) >= limit {
			next = at
			return false, nil
		}
		a, err := decodeAlarm(value)
		due = append(due, DueAlarm{Object: id, AlarmRecord: a})
		return true, err
	})
	if err != nil {
		return nil, 0, err
	}
	return due, next, nil
}

// Objects visits the records of a shard's objects in order of their IDs, from
// the first that is not less than from, until visit returns false.
func (s *Store) Objects(shard uint32, from ID, visit func(ID, ObjectRecord) bool) error {
	span := pebble.IterOptions{
		LowerBound: appendObjectKey(nil, shard, kindObject, from),
		UpperBound: keyAfter(appendKindKey(nil, shard, kindObject)),
	}
	return s.scan(span, false, func(key, value []byte) (bool, error) {
		if len(key) != objectKeyBytes {
			return false, fmt.Errorf("%w: object key %x", ErrCorruptState, key)
		}
		o, err := decodeObject(value)
		if err != nil {
			return false, err
		}
		return visit(ID(key[kindKeyBytes:]), o.ObjectRecord), nil
	})
}

// Position gives the index of the last log entry of the shard that the state
// contains, and the header that was stored with it: 0 and nil for a new shard.
func (s *Store) Position(shard uint32) (index uint64, header []byte, err error) {
	data, ok, err := s.get(appendKindKey(nil, shard, kindPosition))
	if !ok || err != nil {
		return 0, nil, err
	}
	return decodePosition(data)
}
