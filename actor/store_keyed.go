package actor

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// KeyedRecord is what the state keeps for a call with a key. Records stand apart
// from the object: they neither make its record nor keep it, and deleting all of
// its keys leaves them, or a retry of the call that did so would run again.
type KeyedRecord struct {
	Expires     int64 // milliseconds
	Fingerprint Fingerprint
	Answer      []byte // encoded; nil: the call has started, and has no answer
}

// KeyedTotals counts the records of an object.
type KeyedTotals struct {
	Keys  uint64
	Bytes uint64 // of keys and records
}

// ExpiredKey names a record that may go.
type ExpiredKey struct {
	Object  ID
	Key     string
	Expires int64
}

func appendKeyedRecord(dst []byte, k *KeyedRecord) []byte {
	dst = binary.AppendVarint(append(dst, recordVersion), k.Expires)
	return appendOptional(append(dst, k.Fingerprint[:]...), k.Answer)
}

func decodeKeyedRecord(data []byte) (k KeyedRecord, err error) {
	r := newRecordReader(data)
	k.Expires = r.varint()
	copy(k.Fingerprint[:], r.fixed(len(k.Fingerprint)))
	k.Answer = r.optional(maxBlobBytes)
	return k, finishRecord(&r, "request key", data)
}

func appendKeyedTotals(dst []byte, t KeyedTotals) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, recordVersion), t.Keys), t.Bytes)
}

func decodeKeyedTotals(data []byte) (KeyedTotals, error) {
	r := newRecordReader(data)
	t := KeyedTotals{Keys: r.uvarint(), Bytes: r.uvarint()}
	return t, finishRecord(&r, "request key totals", data)
}

func appendExpiryKey(dst []byte, shard uint32, expires int64, id ID, key string) []byte {
	dst = appendKindKey(dst, shard, kindExpiry)
	dst = binary.BigEndian.AppendUint64(dst, uint64(expires)^1<<63)
	return append(append(dst, id[:]...), key...)
}

func splitExpiryKey(key []byte) (k ExpiredKey, ok bool) {
	if len(key) <= dueKeyBytes {
		return k, false
	}
	k.Expires, k.Object, ok = splitDueKey(key[:dueKeyBytes])
	k.Key = string(key[dueKeyBytes:])
	return k, ok
}

// keyedEdits are the records of an object while batches are applied: each change
// goes straight to the database's batch, which cannot be read, so what must be
// known of the records of this run is noted.
type keyedEdits struct {
	records map[string]keyedEdit
	loaded  bool // totals is known
	totals  KeyedTotals
}

type keyedEdit struct {
	there   bool
	expires int64
	bytes   uint64
}

func (e *objectEdit) changeKeyed(a *applier, changes []KeyedChange) error {
	for i := range changes {
		if err := e.changeKey(a, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (e *objectEdit) changeKey(a *applier, c *KeyedChange) error {
	old, err := e.loadKeyed(a, c.Key)
	if err != nil || c.Op == KeyedExpired && (!old.there || old.expires != c.Expires) {
		return err
	}
	totals := &e.keyed.totals
	if old.there {
		totals.Keys, totals.Bytes = totals.Keys-1, totals.Bytes-old.bytes
		a.key = appendExpiryKey(a.key[:0], a.shard, old.expires, e.id, c.Key)
		if err := a.out.Delete(a.key, nil); err != nil {
			return err
		}
	}
	if c.Op == KeyedExpired {
		e.keyed.records[c.Key] = keyedEdit{}
		return a.out.Delete(append(a.objectKey(kindKeyed, e.id), c.Key...), nil)
	}
	a.value = appendKeyedRecord(a.value[:0], &KeyedRecord{Expires: c.Expires, Fingerprint: c.Fingerprint, Answer: c.Answer})
	bytes := uint64(len(c.Key) + len(a.value))
	totals.Keys, totals.Bytes = totals.Keys+1, totals.Bytes+bytes
	e.keyed.records[c.Key] = keyedEdit{there: true, expires: c.Expires, bytes: bytes}
	if err := a.out.Set(append(a.objectKey(kindKeyed, e.id), c.Key...), a.value, nil); err != nil {
		return err
	}
	a.key = appendExpiryKey(a.key[:0], a.shard, c.Expires, e.id, c.Key)
	return a.out.Set(a.key, nil, nil)
}

// loadKeyed gives what is known of a record, and reads the totals too.
func (e *objectEdit) loadKeyed(a *applier, key string) (keyedEdit, error) {
	k := &e.keyed
	if !k.loaded {
		data, ok, err := getCopy(a.store.db, a.objectKey(kindKeyed, e.id))
		if err == nil && ok {
			k.totals, err = decodeKeyedTotals(data)
		}
		if err != nil {
			return keyedEdit{}, err
		}
		k.loaded, k.records = true, make(map[string]keyedEdit)
	}
	if edit, ok := k.records[key]; ok {
		return edit, nil
	}
	data, ok, err := getCopy(a.store.db, append(a.objectKey(kindKeyed, e.id), key...))
	if !ok || err != nil {
		return keyedEdit{}, err
	}
	record, err := decodeKeyedRecord(data)
	return keyedEdit{there: true, expires: record.Expires, bytes: uint64(len(key) + len(data))}, err
}

// flushKeyed writes the totals.
func (e *objectEdit) flushKeyed(a *applier) error {
	switch {
	case !e.keyed.loaded:
		return nil
	case e.keyed.totals.Keys == 0:
		return a.out.Delete(a.objectKey(kindKeyed, e.id), nil)
	}
	a.value = appendKeyedTotals(a.value[:0], e.keyed.totals)
	return a.out.Set(a.objectKey(kindKeyed, e.id), a.value, nil)
}

// Keyed gives what is kept under a request key of an object.
func (s *Store) Keyed(id ID, key string) (KeyedRecord, bool, error) {
	data, ok, err := s.get(append(appendObjectKey(nil, s.shardOf(id), kindKeyed, id), key...))
	if !ok || err != nil {
		return KeyedRecord{}, false, err
	}
	record, err := decodeKeyedRecord(data)
	return record, err == nil, err
}

// KeyedTotals counts what an object keeps under request keys.
func (s *Store) KeyedTotals(id ID) (KeyedTotals, error) {
	data, ok, err := s.get(appendObjectKey(nil, s.shardOf(id), kindKeyed, id))
	if !ok || err != nil {
		return KeyedTotals{}, err
	}
	return decodeKeyedTotals(data)
}

// ExpiredKeys gives the records of a shard that have expired at until, at most
// limit, the oldest first, and when the first of the others expires, 0 if there is none.
func (s *Store) ExpiredKeys(shard uint32, until int64, limit int) (expired []ExpiredKey, next int64, err error) {
	prefix := appendKindKey(nil, shard, kindExpiry)
	span := pebble.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)}
	err = s.scan(span, false, func(key, _ []byte) (bool, error) {
		k, ok := splitExpiryKey(key)
		if !ok {
			return false, fmt.Errorf("%w: expiry key %x", ErrCorruptState, key)
		}
		if k.Expires > until || len(expired) >= limit {
			next = k.Expires
			return false, nil
		}
		expired = append(expired, k)
		return true, nil
	})
	if err != nil {
		return nil, 0, err
	}
	return expired, next, nil
}
