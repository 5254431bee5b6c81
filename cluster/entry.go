package cluster

import (
	"encoding/binary"
	"fmt"
)

// entryVersion is the newest form of a shard's log entries. A replica that meets
// a greater one stops: to skip it would let replicas differ.
const entryVersion = 1

// entryKind says what a log entry of a shard is.
type entryKind byte

const (
	// entryOpen begins an ownership. Its log index is the ownership's number.
	entryOpen entryKind = 1
	// entryBatches carries batches of the shard's objects.
	entryBatches entryKind = 2
)

// entry is what a shard's Raft log holds: version byte, kind byte, the term in
// which it was proposed; entryBatches also has the ownership, n, and the batches.
// All numbers are unsigned varints.
type entry struct {
	kind      entryKind
	term      uint64
	ownership uint64
	n         uint64 // 1, 2, 3… within the ownership
	batches   [][]byte
}

// entryOverhead bounds the bytes of an encoded entry that are not batches.
const entryOverhead = 2 + 4*binary.MaxVarintLen64

// batchOverhead bounds the bytes that one batch adds to an entry besides itself.
const batchOverhead = binary.MaxVarintLen32

// appendOpen adds an encoded Open entry to dst.
func appendOpen(dst []byte, term uint64) []byte {
	dst = append(dst, entryVersion, byte(entryOpen))
	return binary.AppendUvarint(dst, term)
}

// appendBatchesHead adds all of an encoded batches entry that comes before its
// count batches, each of which the caller adds with appendBatch.
func appendBatchesHead(dst []byte, term, ownership, n uint64, count int) []byte {
	dst = append(dst, entryVersion, byte(entryBatches))
	dst = binary.AppendUvarint(dst, term)
	dst = binary.AppendUvarint(dst, ownership)
	dst = binary.AppendUvarint(dst, n)
	return binary.AppendUvarint(dst, uint64(count))
}

func appendBatch(dst, batch []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(batch)))
	return append(dst, batch...)
}

// decodeEntry reads an entry. Its batches alias data.
func decodeEntry(data []byte) (entry, error) {
	if len(data) < 2 {
		return entry{}, fmt.Errorf("cluster: decode entry of %d bytes: %w", len(data), ErrCorrupt)
	}
	if data[0] != entryVersion {
		return entry{}, fmt.Errorf("cluster: decode entry of version %d: %w", data[0], ErrUnknownVersion)
	}
	e := entry{kind: entryKind(data[1])}
	r := reader{rest: data[2:]}
	switch e.kind {
	case entryOpen:
		e.term = r.uvarint()
	case entryBatches:
		e.term = r.uvarint()
		e.ownership = r.uvarint()
		e.n = r.uvarint()
		e.batches = r.batches()
	default:
		return entry{}, fmt.Errorf("cluster: decode entry of kind %d: %w", e.kind, ErrUnknownVersion)
	}
	if r.bad || len(r.rest) > 0 {
		return entry{}, fmt.Errorf("cluster: decode entry of kind %d: %w", e.kind, ErrCorrupt)
	}
	return e, nil
}

// reader takes numbers and byte strings off the front of a buffer. After the
// first thing that does not fit, bad is set and everything else reads as zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// bytes reads a length and that many bytes, which alias the buffer.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reader) batches() [][]byte {
	count := r.uvarint()
	// Each batch takes at least its length byte: a count beyond the rest is a lie,
	// and believing it would allocate without bound.
	if count > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	batches := make([][]byte, 0, count)
	for range count {
		batches = append(batches, r.bytes())
	}
	return batches
}
