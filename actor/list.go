package actor

import (
	"context"
	"strings"
)

// listTagged merges the object's view with the Store. Both are in order; where
// both have a key, the view's write is the newer one.
func (s *Storage) listTagged(ctx context.Context, opt ListOptions) ([]Entry, error) {
	r, err := opt.bounds()
	if err != nil {
		return nil, err
	}
	act := s.act
	act.mu.Lock()
	_, err = act.enterLocked(ctx)
	if err != nil {
		act.mu.Unlock()
		return nil, err
	}
	writes, hidden := act.view.pick(r)
	act.mu.Unlock()
	m := merge{writes: writes, reverse: opt.Reverse, limit: opt.Limit}
	if !hidden && (!r.HasTo || r.From < r.To) {
		if err := act.host.store.List(act.target.ID, r, m.stored); err != nil {
			return nil, err
		}
	}
	for !m.full && len(m.writes) > 0 {
		m.take()
	}
	if m.bytes > MaxListBytes {
		return nil, ErrListTooLarge
	}
	return m.entries, nil
}

// merge collects a list from writes and from stored entries that come in order.
type merge struct {
	writes  []Write // not taken yet, ascending by key
	reverse bool
	limit   int

	entries []Entry
	bytes   int
	full    bool
}

// stored takes the next entry of the Store; false ends the iteration.
func (m *merge) stored(key string, value []byte) bool {
	for len(m.writes) > 0 && !m.full {
		order := strings.Compare(m.next().Key, key)
		if m.reverse {
			order = -order
		}
		if order > 0 {
			break
		}
		m.take()
		if order == 0 {
			return !m.full
		}
	}
	if !m.full {
		m.add(key, value)
	}
	return !m.full
}

func (m *merge) next() Write {
	if m.reverse {
		return m.writes[len(m.writes)-1]
	}
	return m.writes[0]
}

// take adds the next write and removes it from those that wait.
func (m *merge) take() {
	w := m.next()
	if m.reverse {
		m.writes = m.writes[:len(m.writes)-1]
	} else {
		m.writes = m.writes[1:]
	}
	if !w.Delete {
		m.add(w.Key, w.Value)
	}
}

func (m *merge) add(key string, value []byte) {
	m.entries = append(m.entries, Entry{Key: key, Value: append([]byte(nil), value...)})
	m.bytes += len(key) + len(value)
	m.full = m.bytes > MaxListBytes || (m.limit > 0 && len(m.entries) >= m.limit)
}
