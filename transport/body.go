package transport

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// stallBody is a request body whose Read fails when no byte has come for a
// while, or at a time that the runtime has set through SetReadDeadline,
// whichever is first. The connection has a deadline only while somebody reads,
// since net/http goes on reading after the body's end to see the client leave.
type stallBody struct {
	// Fixed.
	body  io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration

	mu      sync.Mutex // guards the following fields and the order of deadlines
	limit   time.Time  // the runtime's deadline; zero: none
	began   time.Time  // of the Read under way; zero: none
	ended   bool       // the body was read to its end, or failed
	stopped bool       // leave was called
}

// Read implements io.Reader.
func (b *stallBody) Read(p []byte) (int, error) {
	if !b.begin() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.body.Read(p)
	b.end(err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errBodySlow
	}
	return n, err
}

func (b *stallBody) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return false
	}
	b.began = time.Now()
	b.applyLocked()
	return true
}

func (b *stallBody) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = time.Time{}
	b.ended = b.ended || err != nil
	if !b.stopped {
		b.setLocked(time.Time{})
	}
}

// complete says whether the body was read to its end, or cannot be read further.
func (b *stallBody) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// Close implements io.Closer.
func (b *stallBody) Close() error { return b.body.Close() }

// setLimit is the runtime's SetReadDeadline. A Read under way ends by it too.
func (b *stallBody) setLimit(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = t
	if !b.began.IsZero() && !b.stopped {
		b.applyLocked()
	}
}

// leave is called when the answer is complete or has failed. A Read that is
// still under way on another goroutine is ended at once, because net/http waits
// for it before it writes the answer; a rest that nobody has read gets a last
// deadline, because net/http reads some of it before the next request.
func (b *stallBody) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	switch {
	case b.ended:
	case !b.began.IsZero():
		b.setLocked(time.Now())
	default:
		b.setLocked(time.Now().Add(b.stall))
	}
}

func (b *stallBody) applyLocked() {
	deadline := b.began.Add(b.stall)
	if !b.limit.IsZero() && b.limit.Before(deadline) {
		deadline = b.limit
	}
	b.setLocked(deadline)
}

// setLocked fails only on a connection that is gone, where Read fails too.
func (b *stallBody) setLocked(t time.Time) { _ = b.conn.SetReadDeadline(t) }
