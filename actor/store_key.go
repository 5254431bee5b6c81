package actor

import (
	"encoding/binary"
	"math"
)

// Keys of the state database. A shard is one range of keys, so that its state
// can be streamed and replaced as a whole; all numbers are big endian, so that
// bytewise order is their order:
//
//	shard (2) 'p'                                  position
//	shard (2) 'o' object (32)                      object record
//	shard (2) 'k' object (32) key                  value of a key
//	shard (2) 'a' object (32)                      alarm
//	shard (2) 'd' due (8, sign flipped) object     alarm again, in order of due time
//	shard (2) 'i' object (32)                      totals of the request keys
//	shard (2) 'i' object (32) key                  record of a request key
//	shard (2) 'e' expires (8, sign flipped) object key   the same key, in order of expiry
//	shard (2) 'q' object (32) number (8)           part of the outbox
//	shard (2) 's' object (32) socket (16) part (1) socket
//	shard (2) 'x' object (32)                      record of poison
const (
	kindAlarm    byte = 'a'
	kindDue      byte = 'd'
	kindExpiry   byte = 'e'
	kindKeyed    byte = 'i'
	kindKey      byte = 'k'
	kindObject   byte = 'o'
	kindPosition byte = 'p'
	kindOutbox   byte = 'q'
	kindSocket   byte = 's'
	kindPoison   byte = 'x'
)

// Parts of a socket. The number is there as long as the socket is open.
const (
	partRecord     byte = 0
	partNumber     byte = 1
	partAttachment byte = 2
	partSession    byte = 3
	partEnd        byte = 4
)

const (
	kindKeyBytes   = 3
	objectKeyBytes = kindKeyBytes + len(ID{})
	dueKeyBytes    = kindKeyBytes + 8 + len(ID{})
	socketKeyBytes = objectKeyBytes + len(SocketID{}) + 1
	outboxKeyBytes = objectKeyBytes + 8
)

// maxShard keeps 0xffff free for what does not belong to a shard.
const maxShard = math.MaxUint16 - 1

func appendKindKey(dst []byte, shard uint32, kind byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(shard))
	return append(dst, kind)
}

func appendObjectKey(dst []byte, shard uint32, kind byte, id ID) []byte {
	return append(appendKindKey(dst, shard, kind), id[:]...)
}

func appendSocketKey(dst []byte, shard uint32, id ID, socket SocketID, part byte) []byte {
	dst = appendObjectKey(dst, shard, kindSocket, id)
	return append(append(dst, socket[:]...), part)
}

func appendOutboxKey(dst []byte, shard uint32, id ID, number uint64) []byte {
	return binary.BigEndian.AppendUint64(appendObjectKey(dst, shard, kindOutbox, id), number)
}

func appendDueKey(dst []byte, shard uint32, due int64, id ID) []byte {
	dst = appendKindKey(dst, shard, kindDue)
	dst = binary.BigEndian.AppendUint64(dst, uint64(due)^1<<63)
	return append(dst, id[:]...)
}

func splitDueKey(key []byte) (due int64, id ID, ok bool) {
	if len(key) != dueKeyBytes {
		return 0, ID{}, false
	}
	due = int64(binary.BigEndian.Uint64(key[kindKeyBytes:]) ^ 1<<63)
	return due, ID(key[kindKeyBytes+8:]), true
}

// keyAfter gives the least key that is greater than every key that starts with
// prefix. The prefix holds a kind, so not all of its bytes are 0xff.
func keyAfter(prefix []byte) []byte {
	after := append([]byte(nil), prefix...)
	for i := len(after) - 1; i >= 0; i-- {
		after[i]++
		if after[i] != 0 {
			return after[:i+1]
		}
	}
	return nil
}
