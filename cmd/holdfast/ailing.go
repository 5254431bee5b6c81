package main

import (
	"context"
	"log/slog"
	"sync"
)

// ailing drains a node that is not well, once: others take its shards before it
// takes them down with itself.
type ailing struct {
	log *slog.Logger
	// drain is nil for a node that has no others: it is better than none.
	drain func(context.Context) error

	mu      sync.Mutex // guards the following fields
	reason  string     // "": it is well
	closed  bool
	running sync.WaitGroup
}

// begin does not wait for the drain.
func (a *ailing) begin(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reason != "" || a.closed {
		return
	}
	a.reason = reason
	if a.drain == nil {
		a.log.Error("the node is not well, and there is no other that could take its shards: start it anew", "reason", reason)
		return
	}
	a.log.Error("the node is not well: it drains itself, and has to be started anew", "reason", reason)
	a.running.Go(func() {
		if err := a.drain(context.Background()); err != nil {
			a.log.Error("the node could not hand over all of its shards", "error", err)
		}
	})
}

// why gives the reason, or "".
func (a *ailing) why() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reason
}

// close waits for a drain that goes on.
func (a *ailing) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.running.Wait()
}
