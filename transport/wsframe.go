package transport

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// finalBit marks the last frame of a message, RFC 6455 5.2. Every message that
// leaves here is one frame, not masked and not compressed.
const finalBit = 0x80

// encodeFrame gives the bytes of one message, which are the same for every
// receiver: a broadcast is encoded once and shared by all sockets.
func encodeFrame(opcode byte, data []byte) []byte {
	frame := make([]byte, 0, 10+len(data))
	frame = append(frame, finalBit|opcode)
	switch n := len(data); {
	case n <= 125:
		frame = append(frame, byte(n))
	case n <= 0xffff:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	return append(frame, data...)
}

// encodeClose gives a Close frame. Codes 0 and 1005 mean one without a status. A
// reason that is too long for a control frame is cut between two characters.
func encodeClose(code int, reason string) []byte {
	if code == 0 || code == websocket.CloseNoStatusReceived {
		return encodeFrame(websocket.CloseMessage, nil)
	}
	if len(reason) > actor.MaxReasonBytes {
		end := actor.MaxReasonBytes
		for end > 0 && !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	return encodeFrame(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
}

// closeOf reads back a Close frame that gorilla made: its code and reason.
func closeOf(frame []byte) (code int, reason string, ok bool) {
	if len(frame) < 4 || frame[0] != finalBit|websocket.CloseMessage || int(frame[1]) != len(frame)-2 {
		return 0, "", false
	}
	return int(binary.BigEndian.Uint16(frame[2:4])), string(frame[4:]), true
}
