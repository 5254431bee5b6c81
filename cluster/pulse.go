package cluster

import (
	"context"
	"fmt"
)

// Pulse returns when the locks of the node and of every shard could be had and
// the loop that looks after elections has turned. It takes locks, so only its wait
// for that loop ends with ctx.
func (n *Node) Pulse(ctx context.Context) error {
	n.Status()
	p := n.prompter.Load()
	if p == nil {
		return nil // before Start nothing turns yet
	}
	select {
	case p.pulse <- struct{}{}:
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("cluster: the prompter does not turn: %w", context.Cause(ctx))
	}
	return nil
}
