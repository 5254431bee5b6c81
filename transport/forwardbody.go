package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// bodySender sends a body that does not go with the head, on a goroutine of its
// own. Its end is no end of the call: the owner may have answered and closed the
// connection without the body.
type bodySender struct {
	conn *peerConn
	out  *outgoing
	done chan struct{} // closed at the end

	err error // read only after done
}

func (s *bodySender) run() {
	defer close(s.done)
	if s.out.length < 0 {
		s.err = s.chunks()
	} else {
		s.err = s.whole()
	}
	if _, ok := errors.AsType[*sourceError](s.err); ok {
		s.conn.interrupt() // the owner would wait for the rest
	}
}

// succeeded says whether the whole body has been sent. It does not wait: who
// sends may be waiting for a client whose body nobody wants any more.
func (s *bodySender) succeeded() bool {
	if s == nil {
		return false
	}
	select {
	case <-s.done:
		return s.err == nil
	default:
		return false
	}
}

// sourceError is a failure of the body, not of the connection.
type sourceError struct{ cause error }

// Error implements error.
func (e *sourceError) Error() string { return fmt.Sprintf("transport: read the body: %v", e.cause) }

// Unwrap implements errors.Unwrap.
func (e *sourceError) Unwrap() error { return e.cause }

// whole sends a body of known length.
func (s *bodySender) whole() error {
	buf := make([]byte, min(copyBytes, s.out.length))
	for left := s.out.length; left > 0; {
		n, err := s.out.request.Body.Read(buf[:min(left, int64(len(buf)))])
		if n > 0 {
			if _, err := s.conn.Conn.Write(buf[:n]); err != nil {
				return err
			}
			left -= int64(n)
		}
		if err != nil && left > 0 {
			return &sourceError{fmt.Errorf("%d bytes before its end: %w", left, err)}
		}
	}
	return nil
}

// chunkRoom is left before a chunk for its length in hexadecimal and the line's end.
const chunkRoom = 8

// chunks sends a body of unknown length, and its trailers.
func (s *bodySender) chunks() error {
	buf := make([]byte, chunkRoom+copyBytes+2)
	for {
		n, err := s.out.request.Body.Read(buf[chunkRoom : chunkRoom+copyBytes])
		if n > 0 {
			if _, err := s.conn.Conn.Write(frameChunk(buf, n)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &sourceError{err}
		}
	}
	end := append(buf[:0], "0\r\n"...)
	for key, values := range s.out.request.Trailer {
		key = http.CanonicalHeaderKey(key)
		for _, value := range values {
			if isToken(key) && isText(value) {
				end = appendField(end, key, value)
			}
		}
	}
	_, err := s.conn.Conn.Write(append(end, "\r\n"...))
	return err
}

// frameChunk gives the chunk whose n bytes begin at chunkRoom.
func frameChunk(buf []byte, n int) []byte {
	head := strconv.AppendInt(make([]byte, 0, chunkRoom), int64(n), 16)
	head = append(head, "\r\n"...)
	begin := chunkRoom - len(head)
	copy(buf[begin:], head)
	copy(buf[chunkRoom+n:], "\r\n")
	return buf[begin : chunkRoom+n+2]
}
