package actor

import (
	"encoding/binary"
	"fmt"
)

// KeyedOp says what a batch records under a request key. The numbers are part of
// the disk format.
type KeyedOp uint8

// What a batch records under a request key.
const (
	KeyedStarted  KeyedOp = 1 // the call has begun, and has no answer yet: Fingerprint
	KeyedAnswered KeyedOp = 2 // its answer is Answer: Fingerprint
	KeyedExpired  KeyedOp = 3 // the record goes, if it expires at Expires
)

// KeyedChange is a change of what an object keeps for a call with a key.
type KeyedChange struct {
	Op          KeyedOp
	Key         string
	Expires     int64 // milliseconds, by the owner's clock when it made the batch
	Fingerprint Fingerprint
	Answer      []byte
}

// minKeyedBytes is the least size of a change.
const minKeyedBytes = 1 + 2 + 1

func keyedChangeBytes(c *KeyedChange) int {
	return 1 + len(c.Key) + len(c.Fingerprint) + len(c.Answer) + 4*binary.MaxVarintLen64
}

func appendKeyed(dst []byte, changes []KeyedChange) []byte {
	if len(changes) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(changes)))
	for i := range changes {
		c := &changes[i]
		if c.Key == "" || c.Op < KeyedStarted || c.Op > KeyedExpired || (c.Op == KeyedAnswered && len(c.Answer) == 0) || len(c.Answer) > maxBlobBytes {
			panic(fmt.Sprintf("actor: batch with op %d on the request key %q, answer of %d bytes", c.Op, c.Key, len(c.Answer)))
		}
		dst = appendText(append(dst, byte(c.Op)), bounded(c.Key))
		dst = binary.AppendVarint(dst, c.Expires)
		if c.Op == KeyedExpired {
			continue
		}
		dst = append(dst, c.Fingerprint[:]...)
		if c.Op == KeyedAnswered {
			dst = binary.AppendUvarint(dst, uint64(len(c.Answer)))
			dst = append(dst, c.Answer...)
		}
	}
	return dst
}

func (b *Batch) decodeKeyed(r *fieldReader) {
	n := r.count(minKeyedBytes)
	if n == 0 {
		r.fail()
	}
	for range n {
		c := KeyedChange{Op: KeyedOp(r.byte()), Key: r.text(maxTextBytes), Expires: r.varint()}
		switch c.Op {
		case KeyedStarted, KeyedAnswered:
			copy(c.Fingerprint[:], r.fixed(len(c.Fingerprint)))
		case KeyedExpired:
		default:
			r.fail()
		}
		if c.Op == KeyedAnswered {
			if c.Answer = r.bytes(maxBlobBytes); len(c.Answer) == 0 {
				r.fail()
			}
		}
		if c.Key == "" {
			r.fail()
		}
		if r.bad {
			return
		}
		b.Keyed = append(b.Keyed, c)
	}
}
