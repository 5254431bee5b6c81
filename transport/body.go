package transport

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// stallBody is a request body whose Read fails when no byte has come for a
// while. The deadline stands only while somebody reads, since net/http goes on
// reading from the connection after the body's end to see the client leave.
type stallBody struct {
	body  io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration

	reading atomic.Bool // a Read is under way
	ended   atomic.Bool // the body was read to its end, or failed
	left    atomic.Bool // leave was called
}

// Read implements io.Reader.
func (b *stallBody) Read(p []byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	b.deadline(time.Now().Add(b.stall))
	if b.left.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.ended.Store(true)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errBodySlow
	}
	b.deadline(time.Time{})
	return n, err
}

// Close implements io.Closer.
func (b *stallBody) Close() error { return b.body.Close() }

// leave is called when the answer is complete or has failed. A Read that is
// still under way on another goroutine is ended at once, because net/http waits
// for it before it writes the answer; a rest that nobody has read gets a last
// deadline, because net/http reads some of it before the next request.
func (b *stallBody) leave() {
	b.left.Store(true)
	if b.ended.Load() {
		return
	}
	deadline := time.Now().Add(b.stall)
	if b.reading.Load() {
		deadline = time.Now()
	}
	b.deadline(deadline)
}

// deadline fails only on a connection that is gone, where Read fails too.
func (b *stallBody) deadline(t time.Time) { _ = b.conn.SetReadDeadline(t) }
