package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"

	"github.com/holdfast-dev/holdfast/actor"
)

// exchange is one call on its connection, from the first byte that is written to
// the last of the answer. Its goroutine writes and reads; a long body has
// another one, and the answer is read whatever becomes of that.
type exchange struct {
	conn    *peerConn
	out     *outgoing
	senders *sync.WaitGroup
	unwatch func() bool // ends the watch for the end of the call's context

	sender *bodySender // nil: the body went with the head, or is not wanted yet
	sent   bool        // the whole call went with the head
	answer *http.Response
	body   *endNoter // of the answer
}

// send writes the call and reads the head of the answer.
func (e *exchange) send(call []byte, whole bool) (*http.Response, error) {
	e.sent = whole
	if _, err := e.conn.Conn.Write(call); err != nil {
		return nil, err
	}
	if !whole && !e.out.asks {
		e.sendBody()
	}
	e.conn.limit = forwardHeadBytes
	for {
		resp, err := http.ReadResponse(e.conn.reader, e.out.request)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= http.StatusOK {
			e.conn.limit = math.MaxInt64
			e.body = &endNoter{ReadCloser: resp.Body, ended: resp.Body == http.NoBody}
			e.answer, resp.Body = resp, e.body
			return resp, nil
		}
		if resp.StatusCode == http.StatusContinue && !e.sent && e.sender == nil {
			e.sendBody()
		}
	}
}

func (e *exchange) sendBody() {
	e.sender = &bodySender{conn: e.conn, out: e.out, done: make(chan struct{})}
	e.senders.Go(e.sender.run)
}

// over ends the exchange and says whether the connection can carry another call:
// all was sent and all was read, and the owner does not close it, which one that
// has not read the body does.
func (e *exchange) over() bool {
	if !e.unwatch() || e.answer == nil || e.answer.Close || !e.body.ended || !e.conn.silent() {
		return false
	}
	return e.sent || e.sender.succeeded()
}

// unknown gives the error of a call of which something may have been written and
// that has no answer.
func (e *exchange) unknown(ctx context.Context, node string, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errOvertaken):
		return fmt.Errorf("%w: node %s did not answer: %w", actor.ErrOutcomeUnknown, node, errOvertaken)
	case ctx.Err() != nil:
		return actor.ErrCallerLeft
	}
	return fmt.Errorf("%w: the link to node %s broke: %w", actor.ErrOutcomeUnknown, node, err)
}

// endNoter notes that a body was read to its end.
type endNoter struct {
	io.ReadCloser
	ended bool
}

// Read implements io.Reader.
func (b *endNoter) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}
