package actor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPulse: a loop that does not turn is named.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Host{pulse: make(chan struct{}), closed: make(chan struct{}), clock: &alarmClock{times: newTimetable()}}
		pulse := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return h.Pulse(ctx)
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				select {
				case <-h.clock.times.pulse:
				case <-h.closed:
					return
				}
			}
		}()
		if err := pulse(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "sweeper") {
			t.Errorf("Pulse with a sweeper that hangs = %v, want its name", err)
		}
		go func() { <-h.pulse }()
		if err := pulse(); err != nil {
			t.Errorf("Pulse = %v, want nil", err)
		}
		close(h.closed)
		<-over
		if err := pulse(); err != nil {
			t.Errorf("Pulse of a host that stops = %v, want nil: it has no loops any more", err)
		}
	})
}
