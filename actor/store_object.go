package actor

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// objectEdit is one object while batches are applied: what its records will be
// at the end of the run. Nothing of it is written before flush but keys and the
// rarely changing parts of sockets.
type objectEdit struct {
	id    ID
	again bool // the run had a batch of this object before: the database does not show its keys

	loaded bool // the fields up to dirty are known; most batches do not need them
	record objectRecord
	stored bool // the database has a record
	exists bool // there will be a record
	dirty  bool // the record differs from the database's

	alarmLoaded bool
	alarmStored bool  // the database has an alarm
	storedDue   int64 // and it is due then
	hasAlarm    bool  // there will be an alarm
	alarm       AlarmRecord
	alarmDirty  bool
	alarmSet    bool // a batch of this run set it

	sockets map[SocketID]*socketEdit
	keyed   keyedEdits
}

func (e *objectEdit) load(a *applier) error {
	if e.loaded {
		return nil
	}
	e.loaded = true
	data, closer, err := a.store.db.Get(a.objectKey(kindObject, e.id))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	e.stored, e.exists = true, true
	e.record, err = decodeObject(data)
	return errors.Join(err, closer.Close())
}

// merge takes what the batch says of the object itself. A batch that says
// nothing of it, as most do, does not read the record, which is half of the cost
// of a small write.
func (e *objectEdit) merge(a *applier, b *Batch) error {
	speaks := b.Class != "" || b.Name != "" || b.Frame != 0 || b.Auto != nil || len(b.Sockets) > 0
	if !speaks && !b.Forget {
		return nil
	}
	if err := e.load(a); err != nil {
		return err
	}
	r := &e.record
	if speaks && !e.exists {
		e.exists, e.dirty = true, true
	}
	if r.Class == "" && b.Class != "" {
		r.Class, e.dirty = b.Class, true
	}
	if r.Name == "" && b.Name != "" {
		r.Name, e.dirty = b.Name, true
	}
	if b.Frame > r.Frame {
		r.Frame, e.dirty = b.Frame, true
	}
	if b.Auto != nil {
		r.Auto, e.dirty = b.Auto.Reply, true
	}
	return nil
}

// wipe deletes all keys and the alarm. A few keys are deleted one by one:
// every range deletion makes the next reads of the database dearer.
func (e *objectEdit) wipe(a *applier) error {
	if err := e.loadAlarm(a); err != nil {
		return err
	}
	e.dropAlarm()
	first := appendObjectKey(nil, a.shard, kindKey, e.id)
	end := keyAfter(first)
	if e.again {
		return a.out.DeleteRange(first, end, nil)
	}
	it, err := a.store.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: end})
	if err != nil {
		return err
	}
	n := 0
	ok := it.First()
	for ; ok && n < maxWipePoints && err == nil; ok = it.Next() {
		err = a.out.Delete(it.Key(), nil)
		n++
	}
	if ok && err == nil {
		err = a.out.DeleteRange(first, end, nil)
	}
	return errors.Join(err, it.Error(), it.Close())
}

func (e *objectEdit) loadAlarm(a *applier) error {
	if e.alarmLoaded {
		return nil
	}
	e.alarmLoaded = true
	data, ok, err := getCopy(a.store.db, a.objectKey(kindAlarm, e.id))
	if !ok || err != nil {
		return err
	}
	e.alarm, err = decodeAlarm(data)
	e.alarmStored, e.hasAlarm, e.storedDue = true, true, e.alarm.Due
	return err
}

func (e *objectEdit) dropAlarm() {
	if e.hasAlarm {
		e.hasAlarm, e.alarm, e.alarmDirty = false, AlarmRecord{}, true
	}
}

func (e *objectEdit) changeAlarm(a *applier, c AlarmChange) error {
	if c.Op == AlarmKeep {
		return nil
	}
	if err := e.loadAlarm(a); err != nil {
		return err
	}
	if c.If != 0 && (!e.hasAlarm || e.alarm.Due != c.If) {
		return nil
	}
	if c.Op == AlarmDelete {
		e.dropAlarm()
		return nil
	}
	e.alarm = c.Record
	// 0 means "none" to DueAlarms and to AlarmChange.If, and every time up to
	// 1970 means "at once".
	e.alarm.Due = max(e.alarm.Due, 1)
	e.hasAlarm, e.alarmDirty, e.alarmSet = true, true, true
	return nil
}

// forget removes the record of an object that stores nothing.
func (e *objectEdit) forget(a *applier) error {
	if err := e.loadAlarm(a); err != nil {
		return err
	}
	if e.hasAlarm || e.record.open > 0 || e.record.Auto != nil {
		return nil
	}
	first := appendObjectKey(nil, a.shard, kindKey, e.id)
	it, err := a.out.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: keyAfter(first)})
	if err != nil {
		return err
	}
	hasKeys := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil || hasKeys {
		return err
	}
	e.record, e.exists, e.dirty = objectRecord{}, false, e.stored
	return e.clearOutbox(a)
}

// clearOutbox removes the last frames of an object that holds nothing any more.
func (e *objectEdit) clearOutbox(a *applier) error {
	first := appendObjectKey(nil, a.shard, kindOutbox, e.id)
	it, err := a.out.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: keyAfter(first)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = a.out.Delete(bytes.Clone(it.Key()), nil)
	}
	return errors.Join(err, it.Error(), it.Close())
}

// flush writes what differs from the database.
func (e *objectEdit) flush(a *applier) error {
	if err := e.flushSockets(a); err != nil {
		return err
	}
	if err := e.flushKeyed(a); err != nil {
		return err
	}
	if e.alarmDirty {
		if err := e.flushAlarm(a); err != nil {
			return err
		}
	}
	switch {
	case e.exists && e.dirty:
		a.value = appendObject(a.value[:0], &e.record)
		return a.out.Set(a.objectKey(kindObject, e.id), a.value, nil)
	case e.stored && !e.exists:
		return a.out.Delete(a.objectKey(kindObject, e.id), nil)
	default:
		return nil
	}
}

func (e *objectEdit) flushAlarm(a *applier) error {
	if e.alarmStored {
		a.key = appendDueKey(a.key[:0], a.shard, e.storedDue, e.id)
		if err := a.out.Delete(a.key, nil); err != nil {
			return err
		}
	}
	if !e.hasAlarm {
		return a.out.Delete(a.objectKey(kindAlarm, e.id), nil)
	}
	a.value = appendAlarm(append(a.value[:0], recordVersion), e.alarm)
	if err := a.out.Set(a.objectKey(kindAlarm, e.id), a.value, nil); err != nil {
		return err
	}
	a.key = appendDueKey(a.key[:0], a.shard, e.alarm.Due, e.id)
	return a.out.Set(a.key, a.value, nil)
}
