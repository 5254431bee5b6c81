package actor

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// storeModel is the state as maps: what Store must do, said in the plainest way.
type storeModel struct {
	objects   map[ID]*modelObject
	positions map[uint32]modelPosition
}

type modelPosition struct {
	index  uint64
	header string
}

type modelObject struct {
	record   *ObjectRecord
	keys     map[string]string
	alarm    *AlarmRecord
	sockets  []SocketRecord
	accepted uint64
	outbox   map[uint64]string
	poison   PoisonRecord
	keyed    map[string]KeyedRecord
}

func newStoreModel() *storeModel {
	return &storeModel{objects: make(map[ID]*modelObject), positions: make(map[uint32]modelPosition)}
}

func (m *storeModel) apply(call *applyCall) {
	for _, b := range call.batches {
		m.batch(b)
	}
	m.positions[call.shard] = modelPosition{index: call.index, header: string(call.header)}
}

func (m *storeModel) object(id ID) *modelObject {
	o := m.objects[id]
	if o == nil {
		o = &modelObject{keys: make(map[string]string), outbox: make(map[uint64]string), keyed: make(map[string]KeyedRecord)}
		m.objects[id] = o
	}
	return o
}

func (m *storeModel) batch(b *Batch) {
	o := m.object(b.Object)
	o.speak(b)
	if b.Wipe {
		clear(o.keys)
		o.alarm = nil
	}
	for _, w := range b.Writes {
		if w.Delete {
			delete(o.keys, w.Key)
		} else {
			o.keys[w.Key] = string(w.Value)
		}
	}
	o.changeAlarm(b.Alarm)
	for _, c := range b.Sockets {
		o.changeSocket(c)
	}
	for _, number := range b.Outbox.Delivered {
		delete(o.outbox, number)
	}
	if len(b.Outbox.Part) > 0 {
		o.outbox[b.Outbox.Number] = string(b.Outbox.Part)
	}
	for _, c := range b.Keyed {
		o.changeKeyed(c)
	}
	if b.Poison != nil {
		o.poison = *b.Poison
	}
	if b.Forget && len(o.keys) == 0 && o.alarm == nil && len(o.sockets) == 0 && (o.record == nil || o.record.Auto == nil) {
		o.record = nil
		clear(o.outbox)
	}
}

// speak takes what a batch says of the object itself; one that says nothing
// makes no record.
func (o *modelObject) speak(b *Batch) {
	if o.record == nil {
		if b.Class == "" && b.Name == "" && b.Frame == 0 && b.Auto == nil && len(b.Sockets) == 0 {
			return
		}
		o.record = &ObjectRecord{}
		o.accepted = 0
	}
	o.record.Class = cmp.Or(o.record.Class, b.Class)
	o.record.Name = cmp.Or(o.record.Name, b.Name)
	o.record.Frame = max(o.record.Frame, b.Frame)
	if b.Auto != nil {
		o.record.Auto = b.Auto.Reply
	}
}

func (o *modelObject) changeKeyed(c KeyedChange) {
	switch c.Op {
	case KeyedStarted, KeyedAnswered:
		o.keyed[c.Key] = KeyedRecord{Expires: c.Expires, Fingerprint: c.Fingerprint, Answer: c.Answer}
	case KeyedExpired:
		if o.keyed[c.Key].Expires == c.Expires {
			delete(o.keyed, c.Key)
		}
	}
}

func (o *modelObject) changeAlarm(c AlarmChange) {
	if c.If != 0 && (o.alarm == nil || o.alarm.Due != c.If) {
		return
	}
	switch c.Op {
	case AlarmKeep:
	case AlarmDelete:
		o.alarm = nil
	case AlarmSet:
		a := c.Record
		if a.Due <= 0 {
			a.Due = 1
		}
		o.alarm = &a
	}
}

func (o *modelObject) changeSocket(c SocketChange) {
	at := slices.IndexFunc(o.sockets, func(s SocketRecord) bool { return s.Socket == c.Socket })
	if c.Op == SocketOpen {
		if at >= 0 {
			o.sockets = slices.Delete(o.sockets, at, at+1)
		}
		o.accepted++
		o.sockets = append(o.sockets, SocketRecord{Socket: c.Socket, Conn: c.Socket, Tags: c.Tags, Protocol: c.Protocol, Sequence: o.accepted})
		return
	}
	if at < 0 {
		return
	}
	switch c.Op {
	case SocketClosed:
		o.sockets = slices.Delete(o.sockets, at, at+1)
	case SocketAttach:
		o.sockets[at].Attachment = c.Attachment
	case SocketMessage:
		o.sockets[at].Number = max(o.sockets[at].Number, c.Number)
	case SocketSession:
		o.sockets[at].Session, o.sockets[at].Conn, o.sockets[at].Number = c.Session, c.Conn, c.Number
	case SocketOpen:
	}
}

// records gives the number of records that the database must have.
func (m *storeModel) records() int {
	n := len(m.positions)
	for _, o := range m.objects {
		if o.record != nil {
			n++
		}
		n += len(o.keys)
		if o.alarm != nil {
			n += 2
		}
		if o.poison != (PoisonRecord{}) {
			n++
		}
		if len(o.keyed) > 0 {
			n += 2*len(o.keyed) + 1
		}
		n += 2*len(o.sockets) + len(o.outbox)
		for _, s := range o.sockets {
			if s.Attachment != nil {
				n++
			}
			if s.Session != (Session{}) || s.Conn != s.Socket {
				n++
			}
		}
	}
	return n
}

// checkStore compares all that the store can tell with the model.
func checkStore(s *Store, m *storeModel) error {
	for shard := range uint32(testShards) {
		index, header, err := s.Position(shard)
		if err != nil {
			return err
		}
		if got := (modelPosition{index, string(header)}); got != m.positions[shard] {
			return fmt.Errorf("Position(%d) = %v, want %v", shard, got, m.positions[shard])
		}
		if err := checkShard(s, m, shard); err != nil {
			return err
		}
	}
	for id, o := range m.objects {
		if err := checkObject(s, id, o); err != nil {
			return fmt.Errorf("object %v: %w", id, err)
		}
	}
	records, err := rawRecords(s, nil, nil)
	if err == nil && len(records) != m.records() {
		err = fmt.Errorf("the database has %d records, want %d", len(records), m.records())
	}
	return err
}

func checkObject(s *Store, id ID, o *modelObject) error {
	record, ok, err := s.Object(id)
	if err != nil {
		return err
	}
	if ok != (o.record != nil) || ok && !reflect.DeepEqual(record, *o.record) {
		return fmt.Errorf("Object = %+v, %v, want %+v", record, ok, o.record)
	}
	alarm, ok, err := s.Alarm(id)
	if err != nil {
		return err
	}
	if ok != (o.alarm != nil) || ok && alarm != *o.alarm {
		return fmt.Errorf("Alarm = %+v, %v, want %+v", alarm, ok, o.alarm)
	}
	sockets, err := s.Sockets(id)
	if err != nil {
		return err
	}
	if len(sockets)+len(o.sockets) > 0 && !reflect.DeepEqual(sockets, o.sockets) {
		return fmt.Errorf("Sockets = %+v, want %+v", sockets, o.sockets)
	}
	outbox, err := rawOutbox(s, id)
	if err != nil {
		return err
	}
	if !maps.Equal(outbox, o.outbox) {
		return fmt.Errorf("outbox = %v, want %v", outbox, o.outbox)
	}
	if err := checkKeyed(s, id, o); err != nil {
		return err
	}
	poison, err := s.Poison(id)
	if err != nil {
		return err
	}
	if poison != o.poison {
		return fmt.Errorf("Poison = %+v, want %+v", poison, o.poison)
	}
	wantEmpty := len(o.keys) == 0 && o.alarm == nil && len(o.sockets) == 0
	empty, err := s.Empty(id)
	if err != nil {
		return err
	}
	if empty != wantEmpty {
		return fmt.Errorf("Empty = %v, want %v", empty, wantEmpty)
	}
	for _, key := range testKeys {
		value, ok, err := s.Get(id, key)
		if err != nil {
			return err
		}
		if want, wantOK := o.keys[key]; ok != wantOK || string(value) != want {
			return fmt.Errorf("Get(%q) = %q, %v, want %q, %v", key, value, ok, want, wantOK)
		}
	}
	return checkList(s, id, o, Range{})
}

func checkList(s *Store, id ID, o *modelObject, r Range) error {
	var got, want []string
	err := s.List(id, r, func(key string, value []byte) bool {
		got = append(got, key+"="+string(value))
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(o.keys)) {
		if key >= r.From && (!r.HasTo || key < r.To) {
			want = append(want, key+"="+o.keys[key])
		}
	}
	if r.Reverse {
		slices.Reverse(want)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("List(%+v) = %q, want %q", r, got, want)
	}
	return nil
}

func checkShard(s *Store, m *storeModel, shard uint32) error {
	var want []DueAlarm
	var ids []ID
	for id, o := range m.objects {
		if testShardOf(id) != shard {
			continue
		}
		if o.record != nil {
			ids = append(ids, id)
		}
		if o.alarm != nil {
			want = append(want, DueAlarm{Object: id, AlarmRecord: *o.alarm})
		}
	}
	slices.SortFunc(want, func(a, b DueAlarm) int {
		return cmp.Or(cmp.Compare(a.Due, b.Due), bytes.Compare(a.Object[:], b.Object[:]))
	})
	if err := checkDue(s, shard, want); err != nil {
		return err
	}
	if err := checkExpiries(s, m, shard); err != nil {
		return err
	}
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	var got []ID
	if err := s.Objects(shard, ID{}, func(id ID, _ ObjectRecord) bool {
		got = append(got, id)
		return true
	}); err != nil {
		return err
	}
	if !slices.Equal(got, ids) {
		return fmt.Errorf("Objects(%d) = %v, want %v", shard, got, ids)
	}
	return nil
}

// checkDue asks for each possible split of the alarms into due and not due.
func checkDue(s *Store, shard uint32, all []DueAlarm) error {
	for limit := 0; limit <= len(all)+1; limit++ {
		for _, until := range []int64{-1, 0, 1, 10, 11, 20, 1 << 50} {
			due, next, err := s.DueAlarms(shard, until, limit)
			if err != nil {
				return err
			}
			n := 0
			for n < len(all) && n < limit && all[n].Due <= until {
				n++
			}
			var wantNext int64
			if n < len(all) {
				wantNext = all[n].Due
			}
			if !slices.Equal(due, all[:n]) || next != wantNext {
				return fmt.Errorf("DueAlarms(%d, %d, %d) = %v, %d, want %v, %d", shard, until, limit, due, next, all[:n], wantNext)
			}
		}
	}
	return nil
}

// rawOutbox gives the parts of an object's outbox, not decoded.
func rawOutbox(s *Store, id ID) (map[uint64]string, error) {
	first := appendObjectKey(nil, s.shardOf(id), kindOutbox, id)
	outbox := make(map[uint64]string)
	err := s.scan(pebble.IterOptions{LowerBound: first, UpperBound: keyAfter(first)}, false, func(key, value []byte) (bool, error) {
		outbox[binary.BigEndian.Uint64(key[objectKeyBytes:])] = string(value)
		return true, nil
	})
	return outbox, err
}

// rawRecords gives what the database itself has, as "key=value".
func rawRecords(s *Store, from, to []byte) ([]string, error) {
	var records []string
	err := s.scan(pebble.IterOptions{LowerBound: from, UpperBound: to}, false, func(key, value []byte) (bool, error) {
		records = append(records, fmt.Sprintf("%x=%x", key, value))
		return true, nil
	})
	return records, err
}
