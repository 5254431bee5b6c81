package transport

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
)

func testStream(n byte) streamID { return streamID{gateway: uint64(n), object: actor.ID{n}} }

// Whatever is pushed comes out whole and in the order of its stream.
func TestTurnQueueKeepsStreams(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	q := newTurnQueue(1 << 30)
	var wire bytes.Buffer
	sent, got := make(map[streamID][]string), make(map[streamID][]string)
	for i := range 300 {
		id := testStream(byte(random.IntN(5)))
		message := fmt.Sprint(i, " ", repeat("x", random.IntN(3*pieceBytes)))
		sent[id] = append(sent[id], message)
		if !q.push(id, []byte(message)) {
			t.Fatal("the queue is full")
		}
		if random.IntN(10) == 0 {
			wire.Write(q.take(nil))
		}
	}
	for !q.empty() {
		wire.Write(q.take(nil))
	}
	parts := newParts()
	for wire.Len() > 0 {
		id, message, err := parts.next(&wire)
		if err != nil {
			t.Fatal(err)
		}
		if message != nil {
			got[id] = append(got[id], string(message))
		}
	}
	for id := range sent {
		if !slices.Equal(got[id], sent[id]) {
			t.Errorf("stream %d came out as %d messages, want the %d that went in, in order", id.gateway, len(got[id]), len(sent[id]))
		}
	}
	if q.bytes != 0 || parts.bytes != 0 {
		t.Errorf("%d bytes are still counted in the queue, %d in parts", q.bytes, parts.bytes)
	}
}

// A large message does not keep a small one of another object waiting.
func TestTurnQueueIsFair(t *testing.T) {
	q := newTurnQueue(64 << 20)
	q.push(testStream(1), make([]byte, 32<<20))
	q.take(nil)
	q.push(testStream(2), []byte("small"))
	if buf := q.take(nil); !bytes.Contains(buf, []byte("small")) {
		t.Errorf("the small message is not among the next %d bytes", len(buf))
	}
}

func TestTurnQueueIsBounded(t *testing.T) {
	q := newTurnQueue(100)
	if !q.push(testStream(1), make([]byte, 1000)) {
		t.Error("a message that is alone does not pass")
	}
	if q.push(testStream(2), []byte{1}) {
		t.Error("a message beyond the bound passes")
	}
	for !q.empty() {
		q.take(nil)
	}
	if !q.push(testStream(2), []byte{1}) {
		t.Error("a message does not pass an empty queue")
	}
}
