package cluster

import "sync/atomic"

// budget bounds the bytes that all shards of a node hold between Propose and
// the answer.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes, or nothing if that would pass the limit.
func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.limit {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// give returns what take reserved.
func (b *budget) give(n int) { b.used.Add(-int64(n)) }
