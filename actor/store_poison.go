package actor

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// changePoison replaces the object's record of poison, or removes it if the new one is zero.
func (a *applier) changePoison(id ID, p *PoisonRecord) error {
	switch {
	case p == nil:
		return nil
	case *p == PoisonRecord{}:
		return a.out.Delete(a.objectKey(kindPoison, id), nil)
	}
	a.value = appendPoison(append(a.value[:0], recordVersion), p)
	return a.out.Set(a.objectKey(kindPoison, id), a.value, nil)
}

// Poison gives the object's record of poison: zero if it has none.
func (s *Store) Poison(id ID) (PoisonRecord, error) {
	data, ok, err := s.get(appendObjectKey(nil, s.shardOf(id), kindPoison, id))
	if !ok || err != nil {
		return PoisonRecord{}, err
	}
	return decodePoison(data)
}

// Poisons visits the records of poison of a shard's objects until visit returns false.
func (s *Store) Poisons(shard uint32, visit func(ID, PoisonRecord) bool) error {
	prefix := appendKindKey(nil, shard, kindPoison)
	span := pebble.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)}
	return s.scan(span, false, func(key, value []byte) (bool, error) {
		if len(key) != objectKeyBytes {
			return false, fmt.Errorf("%w: poison key %x", ErrCorruptState, key)
		}
		p, err := decodePoison(value)
		if err != nil {
			return false, err
		}
		return visit(ID(key[kindKeyBytes:]), p), nil
	})
}
