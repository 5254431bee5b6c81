package actor

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Apply executes the batches in order and stores index and header with them, in
// one step that survives a crash as a whole or not at all. It is durable only
// after Sync, or when the database has flushed it by itself: the replication's
// log is what makes a write durable. The result depends on nothing but the state
// and the batches, in whatever portions a replica gets them. After an error
// nothing is changed, and the caller stops the shard.
func (s *Store) Apply(shard uint32, batches [][]byte, index uint64, header []byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	a, err := s.applier(shard)
	if err == nil {
		err = a.run(batches, index, header)
	}
	if err != nil {
		return s.fault(fmt.Sprintf("apply entry %d of shard %d", index, shard), err)
	}
	if s.alarmSet != nil {
		for _, e := range a.used() {
			if e.alarmSet && e.hasAlarm {
				s.alarmSet(shard, e.alarm.Due)
			}
		}
	}
	return nil
}

// applier gives the shard's applier and makes it at the first call.
func (s *Store) applier(shard uint32) (*applier, error) {
	s.mu.RLock()
	a := s.appliers[shard]
	s.mu.RUnlock()
	if a != nil {
		return a, nil
	}
	if shard > maxShard {
		return nil, fmt.Errorf("no such shard")
	}
	index, _, err := s.Position(shard)
	if err != nil {
		return nil, err
	}
	a = &applier{store: s, shard: shard, index: index, edits: make(map[ID]*objectEdit)}
	s.mu.Lock()
	s.appliers[shard] = a
	s.mu.Unlock()
	return a, nil
}

// Bounds of an applier: of the scratch memory that it keeps between two runs (a
// node has one for each shard), and of the keys that a wipe deletes one by one.
const (
	maxKeptEdits   = 64
	maxKeptSockets = 64 // of an edit
	maxKeptChanges = 64 // of the decoded batch
	maxKeptBytes   = 64 << 10
	maxWipePoints  = 64
)

// applier executes batches for one shard. Writes of keys go straight to the
// database's batch; records, alarms and message numbers are edited in memory
// first, so that the batches of one run see each other without an index over
// the database's batch, and a record that changes often is written once.
type applier struct {
	// Fixed.
	store *Store
	shard uint32

	// Owned by the goroutine that applies the shard.
	index uint64 // last applied
	out   *pebble.Batch
	edits map[ID]*objectEdit // objects of this run
	list  []*objectEdit      // the same in order of their first batch, then spare ones of earlier runs
	batch Batch              // decoded into again and again
	key   []byte             // scratch
	value []byte             // scratch
}

func (a *applier) run(batches [][]byte, index uint64, header []byte) error {
	if index <= a.index {
		return fmt.Errorf("the state has entry %d already", a.index)
	}
	a.begin(batches)
	defer a.end()
	for i, data := range batches {
		if err := a.execute(data); err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
	}
	for _, e := range a.used() {
		if err := e.flush(a); err != nil {
			return err
		}
	}
	a.key = appendKindKey(a.key[:0], a.shard, kindPosition)
	a.value = appendPosition(a.value[:0], index, header)
	if err := a.out.Set(a.key, a.value, nil); err != nil {
		return err
	}
	if err := a.out.Commit(pebble.NoSync); err != nil {
		return err
	}
	a.index = index
	return nil
}

// begin drops the edits of the run before. Only a Forget looks for keys that the
// same run wrote, so only then the database's batch pays for an index.
func (a *applier) begin(batches [][]byte) {
	if len(a.edits) > maxKeptEdits {
		a.edits, a.list = make(map[ID]*objectEdit), nil
	}
	clear(a.edits)
	if slices.ContainsFunc(batches, forgets) {
		a.out = a.store.db.NewIndexedBatch()
	} else {
		a.out = a.store.db.NewBatch()
	}
}

// end lets go of the caller's data. The edits stay for Apply to look at.
func (a *applier) end() {
	a.out.Close() //nolint:errcheck // gives memory back; it has no error to tell
	a.out = nil
	a.batch = Batch{Writes: a.batch.Writes, Sockets: a.batch.Sockets}
	if cap(a.batch.Writes) > maxKeptChanges || cap(a.batch.Sockets) > maxKeptChanges {
		a.batch = Batch{}
	}
	clear(a.batch.Writes[:cap(a.batch.Writes)])
	clear(a.batch.Sockets[:cap(a.batch.Sockets)])
	if cap(a.value) > maxKeptBytes {
		a.value = nil
	}
}

// used gives the edits of this run.
func (a *applier) used() []*objectEdit { return a.list[:len(a.edits)] }

// execute decodes one batch and adds what it does.
func (a *applier) execute(data []byte) error {
	b := &a.batch
	if err := b.decode(data); err != nil {
		return err
	}
	if shard := a.store.shardOf(b.Object); shard != a.shard {
		return fmt.Errorf("object %s is in shard %d", b.Object, shard)
	}
	e := a.edit(b.Object)
	if err := e.merge(a, b); err != nil {
		return err
	}
	if b.Wipe {
		if err := e.wipe(a); err != nil {
			return err
		}
	}
	if err := a.write(e, b.Writes); err != nil {
		return err
	}
	if err := e.changeAlarm(a, b.Alarm); err != nil {
		return err
	}
	for i := range b.Sockets {
		if err := e.changeSocket(a, &b.Sockets[i]); err != nil {
			return err
		}
	}
	if err := a.changeOutbox(e.id, &b.Outbox); err != nil {
		return err
	}
	if err := e.changeKeyed(a, b.Keyed); err != nil {
		return err
	}
	if err := a.changePoison(e.id, b.Poison); err != nil {
		return err
	}
	if b.Forget {
		return e.forget(a)
	}
	return nil
}

// changeOutbox stores the frames of a batch as they are, and removes what has arrived.
func (a *applier) changeOutbox(id ID, c *OutboxChange) error {
	for _, number := range c.Delivered {
		a.key = appendOutboxKey(a.key[:0], a.shard, id, number)
		if err := a.out.Delete(a.key, nil); err != nil {
			return err
		}
	}
	if len(c.Part) == 0 {
		return nil
	}
	a.key = appendOutboxKey(a.key[:0], a.shard, id, c.Number)
	return a.out.Set(a.key, c.Part, nil)
}

// edit gives the object's edit in this run.
func (a *applier) edit(id ID) *objectEdit {
	if e := a.edits[id]; e != nil {
		e.again = true
		return e
	}
	if len(a.edits) == len(a.list) {
		a.list = append(a.list, new(objectEdit))
	}
	e := a.list[len(a.edits)]
	if len(e.sockets) > maxKeptSockets {
		e.sockets = nil
	}
	clear(e.sockets)
	*e = objectEdit{id: id, sockets: e.sockets}
	a.edits[id] = e
	return e
}

func (a *applier) write(e *objectEdit, writes []Write) error {
	for i := range writes {
		w := &writes[i]
		a.key = append(a.objectKey(kindKey, e.id), w.Key...)
		var err error
		if w.Delete {
			err = a.out.Delete(a.key, nil)
		} else {
			err = a.out.Set(a.key, w.Value, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// objectKey makes a key in the scratch memory: valid until the next one.
func (a *applier) objectKey(kind byte, id ID) []byte {
	a.key = appendObjectKey(a.key[:0], a.shard, kind, id)
	return a.key
}

func (a *applier) socketKey(id ID, socket SocketID, part byte) []byte {
	a.key = appendSocketKey(a.key[:0], a.shard, id, socket, part)
	return a.key
}
