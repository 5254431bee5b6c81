package cluster

import (
	"encoding/binary"
	"fmt"
)

// fenceVersion is the newest form of the header that is stored with the state.
const fenceVersion = 1

// fence is what the applied log of a shard says about who may write: the newest
// ownership that was opened, its term, and the n of its last entry. It is the
// same on every replica at the same index, and is stored with the state as the
// opaque header.
type fence struct {
	ownership uint64 // 0: none was ever opened
	term      uint64
	n         uint64
}

// admit decides whether the entry at that index and Raft term may take effect,
// and gives the fence after it. An entry that is not admitted changes nothing.
//
// The term alone would be no fence: after a failed leadership transfer the
// library accepts the next proposal of the same term, which would commit on top
// of one that was lost. So n must be the next, too.
func (f fence) admit(e entry, index, term uint64) (fence, bool) {
	if e.term != term {
		return f, false
	}
	if e.kind == entryOpen {
		return fence{ownership: index, term: term}, true
	}
	if f.ownership == 0 || e.ownership != f.ownership || e.n != f.n+1 {
		return f, false
	}
	f.n = e.n
	return f, true
}

// append adds the encoded fence to dst: a version byte and three varints.
func (f fence) append(dst []byte) []byte {
	dst = append(dst, fenceVersion)
	dst = binary.AppendUvarint(dst, f.ownership)
	dst = binary.AppendUvarint(dst, f.term)
	return binary.AppendUvarint(dst, f.n)
}

// decodeFence reads a header; none at all is the fence of a new shard.
func decodeFence(header []byte) (fence, error) {
	if len(header) == 0 {
		return fence{}, nil
	}
	if header[0] != fenceVersion {
		return fence{}, fmt.Errorf("cluster: decode header of version %d: %w", header[0], ErrUnknownVersion)
	}
	r := reader{rest: header[1:]}
	f := fence{ownership: r.uvarint(), term: r.uvarint(), n: r.uvarint()}
	if r.bad || len(r.rest) > 0 {
		return fence{}, fmt.Errorf("cluster: decode header: %w", ErrCorrupt)
	}
	return f, nil
}
