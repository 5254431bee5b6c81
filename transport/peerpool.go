package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Bounds of the connections that calls are forwarded on.
const (
	forwardIdlePerPeer = 256
	forwardIdle        = 90 * time.Second
	forwardSweep       = forwardIdle / 3 // an idle connection is closed at most that much later
)

var errPoolClosed = errors.New("transport: no calls are forwarded any more")

// peerPool keeps the connections to other nodes that carry no call. Such a
// connection has no goroutine: whether it still stands is looked at when it is
// taken, and those that nobody takes are closed by a timer.
type peerPool struct {
	dial func(ctx context.Context, node string) (net.Conn, error)

	mu     sync.Mutex             // guards the following fields
	idle   map[string][]*peerConn // by node, the one used last at the end
	sweep  *time.Timer            // nil: none is idle
	closed bool
}

// take gives a connection that carries no call. Nothing was written to it for
// the call, so after an error the call certainly did not run.
func (p *peerPool) take(ctx context.Context, node string) (*peerConn, error) {
	for {
		c, err := p.pop(node)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			conn, err := p.dial(ctx, node)
			if err != nil {
				return nil, err
			}
			return newPeerConn(conn, node), nil
		case c.stands():
			return c, nil
		}
		c.drop()
	}
}

func (p *peerPool) pop(node string) (*peerConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errPoolClosed
	}
	idle := p.idle[node]
	if len(idle) == 0 {
		return nil, nil
	}
	c := idle[len(idle)-1]
	idle[len(idle)-1] = nil
	p.idle[node] = idle[:len(idle)-1]
	return c, nil
}

// put takes a connection back whose call is over to the last byte.
func (p *peerPool) put(c *peerConn) {
	if !p.keep(c) {
		c.drop()
	}
}

func (p *peerPool) keep(c *peerConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle[c.node]
	if p.closed || len(idle) >= forwardIdlePerPeer {
		return false
	}
	c.since = time.Now()
	p.idle[c.node] = append(idle, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(forwardSweep, p.expire)
	}
	return true
}

// expire closes the connections that have been idle for long, before the peer does.
func (p *peerPool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep = nil
	for node, idle := range p.idle {
		old := 0
		for old < len(idle) && time.Since(idle[old].since) >= forwardIdle {
			idle[old].drop()
			old++
		}
		if old == len(idle) {
			delete(p.idle, node)
			continue
		}
		p.idle[node] = append([]*peerConn(nil), idle[old:]...)
	}
	if len(p.idle) > 0 && !p.closed {
		p.sweep = time.AfterFunc(forwardSweep, p.expire)
	}
}

// close closes the idle connections, and each other one when its call is over.
func (p *peerPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	for _, idle := range p.idle {
		for _, c := range idle {
			c.drop()
		}
	}
	clear(p.idle)
}
