package actor

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
)

// applyCall is one call of Apply.
type applyCall struct {
	shard   uint32
	batches []*Batch
	index   uint64
	header  []byte
}

func (c *applyCall) encoded() [][]byte {
	encoded := make([][]byte, len(c.batches))
	for i, b := range c.batches {
		encoded[i] = b.Append(nil)
	}
	return encoded
}

const testShards = 3

func testShardOf(id ID) uint32 { return uint32(binary.BigEndian.Uint64(id[:8]) % testShards) }

// Keys with order traps: prefixes of each other, the least and the greatest bytes.
var testKeys = []string{"", "\x00", "a", "a\x00", "a\xff", "ab", "b", "\xff", "\xff\xff", strings.Repeat("k", 300)}

// batchMaker makes random batches over few objects, keys and sockets, so that
// they meet each other often.
type batchMaker struct {
	random     *rand.Rand
	objects    []ID
	valueBytes int // the longest value
}

func newBatchMaker(random *rand.Rand) *batchMaker {
	m := &batchMaker{random: random, valueBytes: 8}
	for i := range byte(testShards) {
		// Neighbours in the key space, and the greatest ID of the shard.
		m.objects = append(m.objects, ID{7: i}, ID{7: i, 31: 1})
		last := ID(bytes.Repeat([]byte{0xff}, len(ID{})))
		last[7] -= i
		m.objects = append(m.objects, last)
	}
	return m
}

func (m *batchMaker) chance(percent int) bool { return m.random.IntN(100) < percent }

func (m *batchMaker) call(index uint64) *applyCall {
	c := &applyCall{shard: uint32(m.random.IntN(testShards)), index: index}
	for range m.random.IntN(5) {
		b := m.batch()
		for testShardOf(b.Object) != c.shard {
			b.Object = pick(m, m.objects)
		}
		c.batches = append(c.batches, b)
	}
	if m.chance(80) {
		c.header = binary.BigEndian.AppendUint64(nil, m.random.Uint64())
	}
	return c
}

func (m *batchMaker) batch() *Batch {
	b := &Batch{Object: pick(m, m.objects)}
	if m.chance(70) {
		b.Class, b.Name = "Counter", pick(m, []string{"", "alpha"})
	}
	b.Wipe = m.chance(8)
	b.Forget = m.chance(15)
	if m.chance(15) {
		b.Frame = m.random.Uint64N(100)
	}
	deletes := pick(m, []int{10, 90})
	for _, key := range slices.Sorted(slices.Values(testKeys)) {
		if !m.chance(25) {
			continue
		}
		w := Write{Key: key, Delete: m.chance(deletes)}
		if !w.Delete {
			w.Value = m.bytes(m.valueBytes)
		}
		b.Writes = append(b.Writes, w)
	}
	if m.chance(25) {
		b.Alarm = m.alarm()
	}
	for m.chance(35) {
		b.Sockets = append(b.Sockets, m.socket())
	}
	if m.chance(8) {
		b.Auto = pick(m, []*AutoChange{{}, {}, {Reply: &AutoReply{Request: "ping", Reply: "pong"}}})
	}
	if m.chance(20) {
		b.Outbox.Number, b.Outbox.Part = m.random.Uint64N(5), append([]byte{1}, m.bytes(m.valueBytes)...)
	}
	for number := range uint64(5) {
		if number > 0 && m.chance(10) {
			b.Outbox.Delivered = append(b.Outbox.Delivered, number)
		}
	}
	for m.chance(25) {
		b.Keyed = append(b.Keyed, m.keyed())
	}
	if m.chance(10) {
		b.Poison = pick(m, []*PoisonRecord{{}, {Class: "Counter", Marked: 7, Since: -1}, {Strikes: 2, Struck: 5, Quarantines: 1, Until: 9}})
	}
	return b
}

func (m *batchMaker) alarm() AlarmChange {
	times := []int64{-7, 0, 1, 10, 11, 20}
	c := AlarmChange{Op: pick(m, []AlarmOp{AlarmSet, AlarmSet, AlarmDelete})}
	if m.chance(40) {
		c.If = pick(m, times)
	}
	if c.Op == AlarmSet {
		c.Record = AlarmRecord{Due: pick(m, times), Scheduled: pick(m, times), Retries: uint8(m.random.IntN(7))}
	}
	return c
}

func (m *batchMaker) keyed() KeyedChange {
	c := KeyedChange{Op: KeyedOp(1 + m.random.IntN(3)), Key: pick(m, []string{"a", "a\x00", "b", "\xff"}), Expires: pick(m, []int64{-7, 0, 1, 10, 20})}
	if c.Op != KeyedExpired {
		c.Fingerprint = Fingerprint{0: byte(m.random.IntN(3))}
	}
	if c.Op == KeyedAnswered {
		c.Answer = append([]byte{1}, m.bytes(m.valueBytes)...)
	}
	return c
}

func (m *batchMaker) socket() SocketChange {
	c := SocketChange{Op: SocketOp(1 + m.random.IntN(5)), Socket: NewSocketID(m.random.Uint64N(2), m.random.Uint64N(2))}
	switch c.Op {
	case SocketOpen:
		c.Tags = pick(m, [][]string{nil, {"x"}, {"x", "y"}})
		c.Protocol = pick(m, []string{"", "chat"})
	case SocketAttach:
		c.Attachment = pick(m, [][]byte{nil, {}, []byte("note")})
	case SocketMessage:
		c.Number = m.random.Uint64N(50)
	case SocketSession:
		c.Number = m.random.Uint64N(50)
		c.Session = Session{0: byte(m.random.IntN(3))}
		c.Conn = pick(m, []SocketID{c.Socket, NewSocketID(2, 3)})
	case SocketClosed:
	}
	return c
}

func (m *batchMaker) bytes(most int) []byte {
	b := make([]byte, m.random.IntN(most+1))
	for i := range b {
		b[i] = byte(m.random.Uint32())
	}
	return b
}

func pick[T any](m *batchMaker, from []T) T { return from[m.random.IntN(len(from))] }
