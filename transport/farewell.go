package transport

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// farewell is how a server parts from clients that keep their connections. A
// connection that is closed while a request is on its way leaves its client
// without an answer, and nobody could tell him that nothing ran. So before it
// closes those that are quiet, a server tells each client with his next answer to
// come back over another connection, and gives him some time to ask.
type farewell struct {
	wait time.Duration

	said  atomic.Pointer[time.Time] // nil: not yet
	quiet atomic.Int64              // connections without a request
}

const farewellPoll = 20 * time.Millisecond

// say makes each answer from now on the last of its connection.
func (f *farewell) say() {
	now := time.Now()
	f.said.CompareAndSwap(nil, &now)
}

func (f *farewell) isSaid() bool { return f.said.Load() != nil }

// connState counts quiet connections. net/http calls it for one connection after
// another state, never for two at a time.
func (f *farewell) connState(c net.Conn, state http.ConnState) {
	edge, ok := c.(*edgeConn)
	if !ok {
		return
	}
	quiet := state == http.StateNew || state == http.StateIdle
	switch {
	case quiet && !edge.quiet:
		f.quiet.Add(1)
	case !quiet && edge.quiet:
		f.quiet.Add(-1)
	}
	edge.quiet = quiet
}

// settle returns when no connection is quiet any more, when those that are have
// had their time, or when ctx ends.
func (f *farewell) settle(ctx context.Context) {
	said := f.said.Load()
	if said == nil {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, said.Add(f.wait))
	defer cancel()
	poll := time.NewTicker(farewellPoll)
	defer poll.Stop()
	for f.quiet.Load() > 0 {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}
