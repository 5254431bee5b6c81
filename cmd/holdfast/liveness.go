package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// livePatience is how long the loops may take to turn. Something slow, as a
	// disk, may hold them up; a restart helps only where they hang.
	livePatience = 10 * time.Second
	// liveWait is how long a question waits for an answer that is still to come.
	liveWait = time.Second
)

// liveness knows whether the loops turn. However many ask, one look at a time goes
// through the locks, so a part that hangs holds no more than one goroutine.
type liveness struct {
	look    func(ctx context.Context) error
	running sync.WaitGroup

	mu      sync.Mutex // guards the following fields
	closed  bool
	began   time.Time     // of the look that goes on
	over    chan struct{} // closed at its end; nil: none goes on
	verdict error         // of the last one
}

// check gives the newest verdict. It answers soon, whatever hangs.
func (l *liveness) check(ctx context.Context) error {
	over := l.begin()
	if over == nil {
		return nil // it was closed: to stop is no illness
	}
	timer := time.NewTimer(liveWait)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over == over {
		if since := time.Since(l.began); since >= livePatience {
			return fmt.Errorf("a main loop has not turned for %v", since.Round(time.Second))
		}
		return nil // it is late, and may still come
	}
	return l.verdict
}

// begin starts a look if none goes on, and gives its end.
func (l *liveness) begin() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != nil || l.closed {
		return l.over
	}
	over := make(chan struct{})
	l.began, l.over = time.Now(), over
	l.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), livePatience)
		defer cancel()
		verdict := l.look(ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.verdict, l.over = verdict, nil
		close(over)
	})
	return over
}

// close waits for the look that goes on.
func (l *liveness) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.running.Wait()
}
