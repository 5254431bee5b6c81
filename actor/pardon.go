package actor

import (
	"context"
	"errors"
	"fmt"
)

// errPardoned ends an activation that was there only to forgive.
var errPardoned = errors.New("actor: pardoned")

// Pardon forgets the strikes of an object of this node, so that it runs again at
// once, and returns when that is durable. An object that is quarantined is not
// started by it. The error is ErrNotOwner if another node owns the object, and
// ErrStuck if a handler of it does not end: that cannot be forgiven.
func (h *Host) Pardon(ctx context.Context, target Target) error {
	for {
		h.quarantines.forget(target.ID)
		outcome := make(chan error, 1)
		ev := &event{kind: EventPardon, name: target.Name, fail: func(err error) { outcome <- err }}
		ev.body = func(_ context.Context, ev *event) {
			ev.act.pardon()
			outcome <- nil
		}
		if _, err := h.deliver(target, ev); err != nil {
			return err
		}
		var err error
		select {
		case err = <-outcome:
		case <-ctx.Done():
			return fmt.Errorf("actor: pardon %s: %w", target.ID, context.Cause(ctx))
		}
		var quarantined *QuarantineError
		switch {
		case errors.Is(err, errPardoned):
			return nil
		case errors.As(err, &quarantined): // an activation that was starting has found it so
		case err != nil:
			return err
		default:
			return ev.act.awaitSaved()
		}
	}
}

// pardon forgives an object that runs.
func (act *activation) pardon() {
	act.mu.Lock()
	act.suspectLocked().want = PoisonRecord{}
	commit := act.saveLocked()
	act.mu.Unlock()
	commit()
}

// pardons says whether an activation that starts with these events is there
// to forgive.
func pardons(events []*event) bool {
	for _, ev := range events {
		if ev.kind == EventPardon {
			return true
		}
	}
	return false
}
