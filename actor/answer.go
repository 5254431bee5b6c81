package actor

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
)

// answer is the pipe between an event and its caller. The event's side adds
// parts as the output gate releases them and never blocks; the caller's side takes them.
type answer struct {
	mu    sync.Mutex    // guards the following fields
	ready chan struct{} // one slot: something changed for the caller
	space signal        // parts were taken, or the caller left
	parts []part
	bytes int     // flushed by the event and not taken yet
	gone  bool    // the caller left
	left  func()  // tells the event's side of it; may be nil
	call  *Call   // of the stub that waits for it; nil when it is settled, and for other callers
	again bool    // the call can be sent again if it lost its owner
	next  *answer // has what comes, because the call was sent again
	err   error   // no further part will come
}

// part is a piece of an answer.
type part struct {
	status  int         // of the head, in the first part; 0 in later ones
	header  http.Header // of the head, or the trailer in the last part
	body    []byte
	end     bool
	upgrade bool
}

func newAnswer() *answer { return &answer{ready: make(chan struct{}, 1)} }

func (a *answer) poke() {
	select {
	case a.ready <- struct{}{}:
	default:
	}
}

// push adds a part that the output gate has released.
func (a *answer) push(p part) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && !a.gone && a.next == nil {
		a.settleLocked()
		a.parts = append(a.parts, p)
		a.poke()
	}
}

// onSettle has the call settled when the answer begins or fails, or its caller
// leaves. again says that the call is sent again if it loses its owner before that.
func (a *answer) onSettle(c *Call, again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.call, a.again = c, again
	if a.gone {
		a.settleLocked()
	}
}

func (a *answer) settleLocked() {
	if a.call != nil {
		a.call.sequence.settle(a.call.number)
		a.call = nil
	}
}

// fail ends the answer without its end. The first failure stands. If nothing came
// of the call and it can be sent again, another answer follows instead.
func (a *answer) fail(err error) {
	a.mu.Lock()
	if a.err != nil || a.next != nil {
		a.mu.Unlock()
		return
	}
	if call := a.call; call != nil && a.again && !a.gone && errors.Is(err, ErrNotOwner) {
		next := newAnswer()
		a.call, a.next = nil, next
		a.poke()
		a.mu.Unlock()
		call.sendAgain(next)
		return
	}
	defer a.mu.Unlock()
	a.settleLocked()
	a.err = err
	a.space.broadcast()
	a.poke()
}

// leave notes that nobody takes the answer any more.
func (a *answer) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	a.parts = nil
	a.space.broadcast()
	a.settleLocked()
	if a.left != nil {
		a.left()
	}
	if a.next != nil {
		a.next.leave()
	}
}

// onLeave has f, which must not block, called when the caller leaves.
func (a *answer) onLeave(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left = f
	if a.gone {
		f()
	}
}

func (a *answer) abandoned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone
}

// there says whether take would not wait.
func (a *answer) there() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		return a.next.there()
	}
	return len(a.parts) > 0
}

// take waits for the next part. left ends the wait.
func (a *answer) take(left <-chan struct{}) (part, error) {
	for {
		a.mu.Lock()
		if len(a.parts) > 0 {
			p := a.parts[0]
			a.parts = a.parts[1:]
			a.bytes -= len(p.body)
			a.space.broadcast()
			a.mu.Unlock()
			return p, nil
		}
		err, next := a.err, a.next
		a.mu.Unlock()
		switch {
		case err != nil:
			return part{}, err
		case next != nil:
			return next.take(left)
		}
		select {
		case <-a.ready:
		case <-left:
			return part{}, ErrCallerLeft
		}
	}
}

// reserve counts bytes that the event is about to flush. If there is no room
// the channel is closed when there may be.
func (a *answer) reserve(n int) (full <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes > answerQueueBytes && !a.gone && a.err == nil {
		return a.space.waitLocked()
	}
	a.bytes += n
	return nil
}

// copyTo writes the answer to w as it comes. It returns an error only if
// nothing was written; a failure after that aborts the connection.
func (a *answer) copyTo(w http.ResponseWriter, r *http.Request) error {
	defer a.leave()
	for first := true; ; first = false {
		p, err := a.take(r.Context().Done())
		switch {
		case err != nil && first:
			return err
		case err != nil:
			panic(http.ErrAbortHandler)
		}
		if first {
			maps.Copy(w.Header(), p.header)
			w.WriteHeader(p.status)
		} else if p.end {
			maps.Copy(w.Header(), p.header)
		}
		if p.upgrade {
			return nil
		}
		if len(p.body) > 0 {
			if _, err := w.Write(p.body); err != nil {
				return nil // the client is gone; the event goes on without it
			}
		}
		if p.end {
			return nil
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
}

// answerBody is the rest of an answer as the caller, an event of another
// object, reads it. Waiting for more opens the caller's gate.
type answerBody struct {
	answer  *answer
	wait    func(f func()) error // runs f with the caller's gate open
	left    <-chan struct{}
	current []byte
	end     bool
	trailer http.Header
}

func (b *answerBody) Read(p []byte) (int, error) {
	for len(b.current) == 0 {
		if b.end {
			return 0, io.EOF
		}
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.current)
	b.current = b.current[n:]
	return n, nil
}

func (b *answerBody) next() error {
	there := b.answer.there()
	var p part
	var err error
	take := func() { p, err = b.answer.take(b.left) }
	if there {
		take()
	} else if back := b.wait(take); back != nil {
		return back
	}
	if err != nil {
		return err
	}
	b.current, b.end = p.body, p.end
	if p.end {
		maps.Copy(b.trailer, p.header)
	}
	return nil
}

func (b *answerBody) Close() error {
	b.answer.leave()
	return nil
}
