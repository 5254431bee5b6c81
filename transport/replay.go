package transport

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// replayBytes bounds what is kept of a body so that a refused call can be sent
// again.
const replayBytes = 1 << 20

var errReplayed = errors.New("transport: the call is being sent again")

// replayBody keeps what was read of a body, up to replayBytes. Whoever sent the
// call before may still be reading when it is sent again.
type replayBody struct {
	src     io.ReadCloser
	reading chan struct{} // one slot: taken while src is read

	mu      sync.Mutex // guards the following fields
	kept    []byte
	current *replayReader
	lost    bool // more was read than is kept
}

func newReplayBody(r *http.Request) *replayBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &replayBody{src: r.Body, reading: make(chan struct{}, 1)}
}

// attach gives the request with the body from its beginning. It is not ok if that
// is gone: the sender before may have read on since anybody looked.
func (b *replayBody) attach(r *http.Request) (_ *http.Request, ok bool) {
	if b == nil {
		return r, true
	}
	r = r.WithContext(r.Context())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost {
		return nil, false
	}
	b.current = &replayReader{body: b}
	r.Body = b.current
	return r, true
}

// whole says whether the body can be given from its beginning.
func (b *replayBody) whole() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost
}

// replayReader is the body as it is sent once.
type replayReader struct {
	body *replayBody
	at   int // next byte of kept to give; guarded by body.mu
}

// Read implements io.Reader. It fails once the call is being sent again.
func (r *replayReader) Read(p []byte) (int, error) {
	b := r.body
	b.reading <- struct{}{}
	defer func() { <-b.reading }()
	b.mu.Lock()
	kept := b.kept[min(r.at, len(b.kept)):]
	stale := b.current != r
	if len(kept) > 0 {
		r.at += copy(p, kept)
	}
	b.mu.Unlock()
	switch {
	case stale:
		return 0, errReplayed
	case len(kept) > 0:
		return copy(p, kept), nil
	}
	n, err := b.src.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == r && len(b.kept)+n > replayBytes {
		b.lost, b.kept = true, nil
	}
	if !b.lost {
		b.kept = append(b.kept, p[:n]...)
		r.at = len(b.kept)
	}
	return n, err
}

// Close implements io.Closer. The server closes the client's body itself.
func (r *replayReader) Close() error { return nil }
