package actor

import "encoding/binary"

// hibernated counts the objects that have left memory while sockets of theirs are
// open. Those of a new ownership are not known until they were in memory, which
// their gateways bring about by attaching them.
//
// It costs a few bytes for each such object, where each of its sockets costs
// kilobytes on some node. Eight random bytes tell objects apart well enough for a
// count. The zero value is ready; it is guarded by the host's mutex.
type hibernated struct {
	shards map[uint32]map[uint64]struct{}
}

func (s *hibernated) add(shard uint32, object ID) {
	if s.shards == nil {
		s.shards = make(map[uint32]map[uint64]struct{})
	}
	if s.shards[shard] == nil {
		s.shards[shard] = make(map[uint64]struct{})
	}
	s.shards[shard][hibernatedKey(object)] = struct{}{}
}

// wake notes that the object is in memory.
func (s *hibernated) wake(shard uint32, object ID) {
	delete(s.shards[shard], hibernatedKey(object))
}

// forget drops a shard that has another owner, or none.
func (s *hibernated) forget(shard uint32) { delete(s.shards, shard) }

func (s *hibernated) count() (n int) {
	for _, objects := range s.shards {
		n += len(objects)
	}
	return n
}

func hibernatedKey(object ID) uint64 { return binary.BigEndian.Uint64(object[8:]) }
