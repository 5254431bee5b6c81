package actor

import (
	"context"
	"maps"
	"slices"
	"unicode/utf8"
)

// Storage is an object's private storage: keys and values, ordered by the bytes
// of the keys, and one alarm. Writes take effect in the object's view at once;
// all writes between two outside waits are committed together or not at all.
// Every method takes the context of the event that holds the gate, and returns
// ErrNoGate otherwise. A method that returns an error has written nothing.
type Storage struct {
	act *activation
}

// KV is what Storage and Transaction have in common.
type KV interface { //nolint:interfacebloat // the methods that the original's storage and transaction share, and what the typed helpers need
	// Get gives a copy of the value of a key, and whether there is one.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// GetMany gives the values of up to MaxKeysPerCall keys; those without one are left out.
	GetMany(ctx context.Context, keys []string) (map[string][]byte, error)
	// Put stores a copy of value.
	Put(ctx context.Context, key string, value []byte) error
	// PutMany stores up to MaxKeysPerCall values, all or none.
	PutMany(ctx context.Context, values map[string][]byte) error
	// Delete removes a key and says whether it was there.
	Delete(ctx context.Context, key string) (existed bool, err error)
	// DeleteMany removes up to MaxKeysPerCall keys and says how many were there.
	DeleteMany(ctx context.Context, keys []string) (existed int, err error)
	// List gives the entries that the options select.
	List(ctx context.Context, opt ListOptions) ([]Entry, error)

	getTagged(ctx context.Context, key string) ([]byte, bool, error)
	putTagged(ctx context.Context, tag byte, key string, value []byte) error
	listTagged(ctx context.Context, opt ListOptions) ([]Entry, error)
}

// Entry is a key with its value.
type Entry struct {
	Key   string
	Value []byte
}

// ListOptions select entries. Bounds compare bytes; Reverse turns the order and
// leaves the bounds as they are.
type ListOptions struct {
	Start      string // first key that may be given
	StartAfter string // last key that may not be given; not with Start
	End        string // first key after the range; "" = no end
	Prefix     string
	Reverse    bool
	Limit      int // most entries; 0 = no limit
}

// Get implements KV.
func (s *Storage) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, ok, err := s.getTagged(ctx, key)
	return untag(value), ok, err
}

// GetMany implements KV.
func (s *Storage) GetMany(ctx context.Context, keys []string) (map[string][]byte, error) {
	if len(keys) > MaxKeysPerCall {
		return nil, ErrTooManyKeys
	}
	values := make(map[string][]byte, len(keys))
	for _, key := range keys {
		value, ok, err := s.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if ok {
			values[key] = value
		}
	}
	return values, nil
}

// Put implements KV.
func (s *Storage) Put(ctx context.Context, key string, value []byte) error {
	return s.putTagged(ctx, tagRaw, key, value)
}

// PutMany implements KV.
func (s *Storage) PutMany(ctx context.Context, values map[string][]byte) error {
	if len(values) > MaxKeysPerCall {
		return ErrTooManyKeys
	}
	for key, value := range values {
		if err := checkWrite(key, value); err != nil {
			return err
		}
	}
	return s.write(ctx, func(v *view) error {
		growth := 0
		for key, value := range values {
			growth += v.growth(key, value) + 1 // the tag
		}
		if !s.act.roomLocked(growth) {
			return ErrBatchTooLarge
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			v.set(key, tagged(tagRaw, values[key]))
		}
		return nil
	})
}

// Delete implements KV.
func (s *Storage) Delete(ctx context.Context, key string) (bool, error) {
	existed, err := s.DeleteMany(ctx, []string{key})
	return existed == 1, err
}

// DeleteMany implements KV.
func (s *Storage) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if len(keys) > MaxKeysPerCall {
		return 0, ErrTooManyKeys
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(keys)))
	var there []string
	for _, key := range distinct {
		_, ok, err := s.getTagged(ctx, key)
		if err != nil {
			return 0, err
		}
		if ok {
			there = append(there, key)
		}
	}
	err := s.write(ctx, func(v *view) error {
		growth := 0
		for _, key := range there {
			growth += v.growth(key, nil)
		}
		if !s.act.roomLocked(growth) {
			return ErrBatchTooLarge
		}
		for _, key := range there {
			v.set(key, nil)
		}
		s.act.emptied = s.act.emptied || len(there) > 0
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(there), nil
}

// List implements KV. The result is a copy of at most MaxListBytes.
func (s *Storage) List(ctx context.Context, opt ListOptions) ([]Entry, error) {
	entries, err := s.listTagged(ctx, opt)
	for i := range entries {
		entries[i].Value = untag(entries[i].Value)
	}
	return entries, err
}

// DeleteAll removes all keys and the alarm.
func (s *Storage) DeleteAll(ctx context.Context) error {
	act := s.act
	act.mu.Lock()
	defer act.mu.Unlock()
	ev, err := act.enterLocked(ctx)
	if err != nil {
		return err
	}
	if ev.tx > 0 {
		return ErrInTransaction
	}
	act.view.deleteAll()
	act.changeAlarmLocked(AlarmChange{Op: AlarmDelete})
	act.changes.alarm = AlarmChange{} // the wipe deletes it
	act.emptied = true
	return nil
}

// Sync returns when all writes that the object made before the call are
// durable. It is an outside wait.
func (s *Storage) Sync(ctx context.Context) error {
	durable := make(chan error, 1)
	if err := s.act.emitSealed(ctx, false, func(_ *event, err error) { durable <- err }); err != nil {
		return err
	}
	ev, err := s.act.leave(ctx, false)
	if err != nil {
		return err
	}
	err = <-durable
	if back := s.act.comeBack(ev); back != nil {
		return back
	}
	return err
}

func (s *Storage) getTagged(ctx context.Context, key string) ([]byte, bool, error) {
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	act := s.act
	act.mu.Lock()
	_, err := act.enterLocked(ctx)
	if err != nil {
		act.mu.Unlock()
		return nil, false, err
	}
	value, known := act.view.get(key)
	act.mu.Unlock()
	if known {
		return slices.Clone(value), value != nil, nil
	}
	// No batch under way writes the key, and none can begin while this event holds the gate.
	return act.host.store.Get(act.target.ID, key)
}

func (s *Storage) putTagged(ctx context.Context, tag byte, key string, value []byte) error {
	if err := checkWrite(key, value); err != nil {
		return err
	}
	stored := tagged(tag, value)
	return s.write(ctx, func(v *view) error {
		if !s.act.roomLocked(v.growth(key, stored)) {
			return ErrBatchTooLarge
		}
		v.set(key, stored)
		return nil
	})
}

func (s *Storage) write(ctx context.Context, f func(v *view) error) error {
	s.act.mu.Lock()
	defer s.act.mu.Unlock()
	if _, err := s.act.enterLocked(ctx); err != nil {
		return err
	}
	return f(&s.act.view)
}

func checkKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes || !utf8.ValidString(key) {
		return ErrKey
	}
	return nil
}

func checkWrite(key string, value []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if len(value) > MaxValueBytes {
		return ErrValueTooLarge
	}
	return nil
}

func tagged(tag byte, value []byte) []byte {
	stored := make([]byte, 1+len(value))
	stored[0] = tag
	copy(stored[1:], value)
	return stored
}

func untag(stored []byte) []byte {
	if len(stored) == 0 {
		return nil
	}
	return stored[1:]
}

// bounds turns the options into the range of keys that they select.
func (o ListOptions) bounds() (Range, error) {
	if o.Start != "" && o.StartAfter != "" || o.Limit < 0 {
		return Range{}, ErrListOptions
	}
	r := Range{From: o.Start, To: o.End, HasTo: o.End != "", Reverse: o.Reverse}
	if o.StartAfter != "" {
		r.From = o.StartAfter + "\x00"
	}
	r.From = max(r.From, o.Prefix)
	if end, ok := prefixEnd(o.Prefix); ok && (!r.HasTo || end < r.To) {
		r.To, r.HasTo = end, true
	}
	return r, nil
}

// prefixEnd gives the first key after all those with the prefix.
func prefixEnd(prefix string) (end string, ok bool) {
	for last := len(prefix) - 1; last >= 0; last-- {
		if next := prefix[last] + 1; next != 0 {
			return prefix[:last] + string([]byte{next}), true
		}
	}
	return "", false
}
