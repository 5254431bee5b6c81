package actor

import "github.com/cockroachdb/pebble/v2"

// Break makes a broken variant of a host that is idle.
func (h *Host) Break(f Fault) { h.fault = f }

// Keys counts the keys of the whole database but the shards' positions.
func (s *Store) Keys() (n int, err error) {
	err = s.scan(pebble.IterOptions{}, false, func(key, _ []byte) (bool, error) {
		if key[kindKeyBytes-1] != kindPosition {
			n++
		}
		return true, nil
	})
	return n, err
}

// WrapCommitter puts something between a host that is idle and its committer.
func (h *Host) WrapCommitter(wrap func(Committer) Committer) { h.committer = wrap(h.committer) }

// Shard gives the shard of an object.
func (h *Host) Shard(object ID) uint32 { return h.shardOf(object) }

// Disown has the host lose one object, as SetOwnership does for those of a shard.
func (h *Host) Disown(object ID) {
	h.mu.Lock()
	act := h.table[object]
	h.mu.Unlock()
	act.lose(ErrNotOwner, 0)
}
