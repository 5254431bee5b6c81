package actor

import (
	"context"
	"fmt"
)

// Pulse returns when the lock of the host could be had and its loops have turned.
// It takes a lock, so only its wait for the loops ends with ctx.
func (h *Host) Pulse(ctx context.Context) error {
	h.objects()
	for name, pulse := range map[string]chan<- struct{}{"alarm clock": h.clock.times.pulse, "sweeper": h.pulse} {
		select {
		case pulse <- struct{}{}:
		case <-h.closed:
		case <-ctx.Done():
			return fmt.Errorf("actor: the %s does not turn: %w", name, context.Cause(ctx))
		}
	}
	return nil
}
