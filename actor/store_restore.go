package actor

import (
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// restoreBatchBytes closes a batch of restored records.
const restoreBatchBytes = 1 << 20

// Restore replaces a shard's state by what a ShardPicture wrote, and returns
// when that is durable. It is not one step: after a crash or an error the shard
// has no position and some part of the records, and must be restored again or
// cleared. So the caller notes durably, before it calls, that it has to. It
// is called from the goroutine that applies the shard.
func (s *Store) Restore(shard uint32, content io.Reader) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	a, err := s.applier(shard)
	if err == nil {
		r := restorer{store: s, shard: shard}
		a.forget()
		if err = r.run(content); err == nil {
			a.index = r.index
			if r.hasAlarm && s.alarmSet != nil {
				s.alarmSet(shard, r.alarm)
			}
			return nil
		}
	}
	return s.fault(fmt.Sprintf("restore shard %d", shard), err)
}

// Clear removes all that the state has of a shard and returns when that is durable.
func (s *Store) Clear(shard uint32) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	a, err := s.applier(shard)
	if err == nil {
		a.forget()
		span := shardSpan(shard)
		err = s.db.DeleteRange(span.LowerBound, span.UpperBound, pebble.Sync)
	}
	if err != nil {
		return s.fault(fmt.Sprintf("clear shard %d", shard), err)
	}
	return nil
}

// forget drops what the applier knows of the shard, which is about to change.
func (a *applier) forget() {
	a.index = 0
	a.edits, a.list = make(map[ID]*objectEdit), nil
}

// restorer writes the records of a stream.
type restorer struct {
	store *Store
	shard uint32

	out      *pebble.Batch
	key      []byte
	position []byte // held back: written last, so that a part is never taken for the whole
	index    uint64
	alarm    int64 // the earliest
	hasAlarm bool
}

func (r *restorer) run(content io.Reader) error {
	in, err := newStreamReader(content)
	if err != nil {
		return err
	}
	db := r.store.db
	span := shardSpan(r.shard)
	if err := db.DeleteRange(span.LowerBound, span.UpperBound, pebble.NoSync); err != nil {
		return err
	}
	r.out = db.NewBatch()
	defer func() { r.out.Close() }() //nolint:errcheck // gives memory back; it has no error to tell
	for {
		index, done, err := in.next(r.record)
		if err != nil {
			return err
		}
		if done {
			return r.finish(index)
		}
		if r.out.Len() < restoreBatchBytes {
			continue
		}
		if err := r.out.Commit(pebble.NoSync); err != nil {
			return err
		}
		if err := r.out.Close(); err != nil {
			return err
		}
		r.out = db.NewBatch()
	}
}

// finish writes the position, and syncs it with everything before.
func (r *restorer) finish(index uint64) error {
	if r.position == nil {
		return fmt.Errorf("%w: it has no position", errStream)
	}
	at, _, err := decodePosition(r.position)
	if err != nil {
		return err
	}
	if at != index {
		return fmt.Errorf("%w: position %d in a stream up to %d", errStream, at, index)
	}
	r.index = index
	if err := r.out.Set(appendKindKey(nil, r.shard, kindPosition), r.position, nil); err != nil {
		return err
	}
	return r.out.Commit(pebble.Sync)
}

func (r *restorer) record(key, value []byte) error {
	r.key = append(appendKindKey(r.key[:0], r.shard, 0)[:shardKeyBytes], key...)
	if key[0] == kindPosition && len(key) == 1 {
		r.position = append([]byte{}, value...)
		return nil
	}
	id, err := objectOfKey(r.key)
	if err != nil {
		return err
	}
	if shard := r.store.shardOf(id); shard != r.shard {
		return fmt.Errorf("%w: object %s is in shard %d", errStream, id, shard)
	}
	if due, _, ok := splitDueKey(r.key); ok && key[0] == kindDue && !r.hasAlarm {
		r.alarm, r.hasAlarm = due, true // the first in order is the earliest
	}
	return r.out.Set(r.key, value, nil)
}

// objectOfKey gives the object that a key of a shard belongs to.
func objectOfKey(key []byte) (ID, error) {
	kind := key[shardKeyBytes]
	wrong := true
	switch kind {
	case kindObject, kindAlarm, kindPoison:
		wrong = len(key) != objectKeyBytes
	case kindKey, kindKeyed:
		wrong = len(key) < objectKeyBytes
	case kindOutbox:
		wrong = len(key) != outboxKeyBytes
	case kindSocket:
		wrong = len(key) != socketKeyBytes
	case kindExpiry:
		if k, ok := splitExpiryKey(key); ok {
			return k.Object, nil
		}
	case kindDue:
		if _, id, ok := splitDueKey(key); ok {
			return id, nil
		}
	}
	if wrong {
		return ID{}, fmt.Errorf("%w: key %x", errStream, slices.Clone(key))
	}
	return ID(key[kindKeyBytes:objectKeyBytes]), nil
}
