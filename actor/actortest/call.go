package actortest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/holdfast-dev/holdfast/actor"
)

// errAborted is the error of a call whose answer broke off after its head.
var errAborted = errors.New("actortest: the answer was aborted")

// Call is a call under way.
type Call struct {
	recorder *httptest.ResponseRecorder
	done     chan struct{}
	err      error // after done
}

// Begin makes a call and does not wait for it.
func (n *Node) Begin(target actor.Target, method, path, body string) *Call {
	return n.BeginRequest(target, httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body)))
}

// BeginRequest is Begin with any request. Its context is the client's.
func (n *Node) BeginRequest(target actor.Target, r *http.Request) *Call {
	c := &Call{recorder: httptest.NewRecorder(), done: make(chan struct{})}
	n.calls.Go(func() {
		defer close(c.done)
		defer func() {
			if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // the very value is the protocol of net/http
				c.err = errAborted
			} else if p != nil {
				panic(p)
			}
		}()
		c.err = n.Host.Dispatch(c.recorder, r, target, actor.SocketID{})
	})
	return c
}

// Over says whether the call has ended.
func (c *Call) Over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Seen gives what has arrived so far: a status of 0 means not even the head. In
// a synctest bubble it may be called after synctest.Wait, elsewhere after Wait.
func (c *Call) Seen() (status int, body string) {
	if !c.recorder.Flushed && !c.Over() {
		return 0, ""
	}
	return c.recorder.Code, c.recorder.Body.String()
}

// Wait gives the answer, whose body may be read once more; err is what Dispatch returned.
func (c *Call) Wait() (resp *http.Response, body string, err error) {
	<-c.done
	return c.recorder.Result(), c.recorder.Body.String(), c.err
}

// Err waits for the end of the call and gives its error.
func (c *Call) Err() error {
	<-c.done
	return c.err
}
