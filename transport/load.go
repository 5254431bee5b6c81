package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// errBusy refuses a request because too many are under way.
var errBusy = fmt.Errorf("%w: too many requests under way on this node", actor.ErrOverloaded)

const (
	// goodbyes bounds the connections beyond the listener's bound that are told
	// why; the others are cut.
	goodbyes = 64
	// goodbyeTime bounds one of them.
	goodbyeTime = time.Second
	// goodbyeBytes is how much of its request is read, so that the answer is not
	// lost in a reset.
	goodbyeBytes = 64 << 10
)

const busyAnswer = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 109\r\n\r\n" +
	`{"error":{"code":"overloaded","message":"The node has too many connections. Nothing was done; try again."}}` + "\r\n"

// refuser answers connections for which there is no room.
type refuser struct {
	running sync.WaitGroup

	mu     sync.Mutex // guards the following fields
	conns  map[net.Conn]struct{}
	closed bool
}

func newRefuser() *refuser {
	return &refuser{conns: make(map[net.Conn]struct{})}
}

// refuse does not block.
func (f *refuser) refuse(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.conns) >= goodbyes {
		c.Close() //nolint:errcheck // it is cut off
		return
	}
	f.conns[c] = struct{}{}
	f.running.Go(func() {
		sayGoodbye(c)
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
	})
}

func sayGoodbye(c net.Conn) {
	defer c.Close() //nolint:errcheck // nothing was taken from it
	if err := c.SetDeadline(time.Now().Add(goodbyeTime)); err != nil {
		return
	}
	if _, err := io.WriteString(c, busyAnswer); err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, goodbyeBytes)
	}
}

// close cuts off those that are being told, and waits for them.
func (f *refuser) close() {
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		c.Close() //nolint:errcheck // it is cut off
	}
	f.mu.Unlock()
	f.running.Wait()
}

// shed says whether err is a refusal at the door, of which there may be many.
func shed(err error) bool { return errors.Is(err, errBusy) }
