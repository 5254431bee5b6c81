package transport

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// openConns says which connections of a pool, by number, are open.
type openConns struct {
	mu   sync.Mutex // guards open
	open []bool
}

func (o *openConns) set(n int, is bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[n] = is
}

// now gives the numbers of the open ones.
func (o *openConns) now() (numbers []int) {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	for n, is := range o.open {
		if is {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func pipePool(t *testing.T) (*peerPool, *openConns) {
	t.Helper()
	o := &openConns{}
	p := &peerPool{idle: make(map[string][]*peerConn), dial: func(context.Context, string) (net.Conn, error) {
		mine, theirs := net.Pipe()
		n := len(o.open) // only the test itself dials
		o.mu.Lock()
		o.open = append(o.open, true)
		o.mu.Unlock()
		go func() {
			io.Copy(io.Discard, theirs)
			o.set(n, false)
		}()
		return mine, nil
	}}
	t.Cleanup(p.close)
	return p, o
}

func takeAll(t *testing.T, p *peerPool, n int) (conns []*peerConn) {
	t.Helper()
	for range n {
		c, err := p.take(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns
}

func TestPeerPoolClosesWhatNobodyUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, open := pipePool(t)
		conns := takeAll(t, p, 3)
		for _, c := range conns {
			p.put(c)
		}
		for range 10 { // the one that was used last is used again, the others never
			time.Sleep(forwardIdle / 5)
			p.put(takeAll(t, p, 1)[0])
		}
		if now := open.now(); !slices.Equal(now, []int{2}) {
			t.Errorf("connections %v are open after %v, want only the last of 3", now, 2*forwardIdle)
		}
		time.Sleep(forwardIdle + forwardSweep)
		if now := open.now(); len(now) > 0 || p.sweep != nil {
			t.Errorf("connections %v are open and the sweep is %v, want none", now, p.sweep)
		}
	})
}

func TestPeerPoolIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, open := pipePool(t)
		for _, c := range takeAll(t, p, forwardIdlePerPeer+5) {
			p.put(c)
		}
		if n := len(open.now()); n != forwardIdlePerPeer {
			t.Errorf("%d idle connections, want %d", n, forwardIdlePerPeer)
		}
		busy := takeAll(t, p, 1)[0]
		p.close()
		p.put(busy)
		if n := len(open.now()); n != 0 {
			t.Errorf("%d connections are open after close, want 0", n)
		}
		if _, err := p.take(t.Context(), "b"); err == nil {
			t.Error("take after close = nil, want an error")
		}
	})
}
