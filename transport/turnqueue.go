package transport

import (
	"encoding/binary"
	"sync"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	// pieceBytes is how much of one message goes before the next stream has its turn.
	pieceBytes = 16 << 10
	// turnBytes is about how much is written to the connection at once.
	turnBytes = 64 << 10
	// pieceHead is the length of a piece with moreBit, and its stream.
	pieceHead = 4 + 8 + len(actor.ID{})
	// moreBit says that the message goes on in another piece.
	moreBit = 1 << 31
)

// streamID names one ordered stream: what an object and one gateway say to each other.
type streamID struct {
	gateway uint64 // start number
	object  actor.ID
}

// turnQueue holds the messages that wait for a connection. Those of one stream
// leave in order; streams take turns, a piece each, so that a large message
// does not keep small ones of other objects waiting.
type turnQueue struct {
	limit int           // bytes
	ready chan struct{} // one slot: there is something to send

	mu      sync.Mutex // guards the following fields
	streams map[streamID]*turn
	turns   []*turn // those that have something, in the order of their turns
	bytes   int
}

// turn is one stream's part of the queue.
type turn struct {
	id       streamID
	messages [][]byte
	sent     int // bytes of the first message that were taken
}

func newTurnQueue(limit int) *turnQueue {
	return &turnQueue{limit: limit, ready: make(chan struct{}, 1), streams: make(map[streamID]*turn)}
}

// push adds a message, which the queue keeps. It is false if the queue is full; a
// message that is larger than the whole queue passes if it is alone.
func (q *turnQueue) push(id streamID, message []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > 0 && q.bytes+len(message) > q.limit {
		return false
	}
	q.bytes += len(message)
	t := q.streams[id]
	if t == nil {
		t = &turn{id: id}
		q.streams[id] = t
		q.turns = append(q.turns, t)
	}
	t.messages = append(t.messages, message)
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return true
}

// take appends the next pieces, about turnBytes of them, to buf.
func (q *turnQueue) take(buf []byte) []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(buf) < turnBytes && len(q.turns) > 0 {
		t := q.turns[0]
		q.turns = q.turns[1:]
		buf = q.takePiece(buf, t)
		if len(t.messages) > 0 {
			q.turns = append(q.turns, t)
		} else {
			delete(q.streams, t.id)
		}
	}
	if len(q.turns) > 0 {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return buf
}

func (q *turnQueue) takePiece(buf []byte, t *turn) []byte {
	message := t.messages[0]
	piece := message[t.sent:]
	head := uint32(0)
	if len(piece) > pieceBytes {
		piece, head = piece[:pieceBytes], moreBit
	}
	buf = binary.BigEndian.AppendUint32(buf, head|uint32(len(piece)))
	buf = binary.BigEndian.AppendUint64(buf, t.id.gateway)
	buf = append(buf, t.id.object[:]...)
	buf = append(buf, piece...)
	t.sent += len(piece)
	q.bytes -= len(piece)
	if head == 0 {
		t.messages[0] = nil
		t.messages, t.sent = t.messages[1:], 0
	}
	return buf
}

// empty says that everything was taken.
func (q *turnQueue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.turns) == 0
}

// size gives the bytes that wait.
func (q *turnQueue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
