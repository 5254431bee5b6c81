package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestLiveness: what hangs is reported after its time, in bounded time, and costs one goroutine.
func TestLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		hang := make(chan struct{})
		verdict := errors.New("it does not turn")
		l := &liveness{look: func(context.Context) error {
			switch looks.Add(1) {
			case 1:
				return nil
			case 2:
				return verdict
			case 3:
				<-hang
			}
			return nil
		}}
		if err := l.check(t.Context()); err != nil {
			t.Errorf("check = %v, want nil", err)
		}
		if err := l.check(t.Context()); !errors.Is(err, verdict) {
			t.Errorf("check = %v, want %v", err, verdict)
		}
		for range 12 {
			began := time.Now()
			err := l.check(t.Context())
			if took := time.Since(began); took > liveWait {
				t.Errorf("check took %v, want %v at most", took, liveWait)
			}
			if hung := time.Since(l.began) >= livePatience; (err != nil) != hung {
				t.Errorf("check after %v = %v, want an error after %v", time.Since(l.began), err, livePatience)
			}
		}
		if n := looks.Load(); n != 3 {
			t.Errorf("%d looks, want 3", n)
		}
		close(hang)
		synctest.Wait()
		if err := l.check(t.Context()); err != nil {
			t.Errorf("check when it turns again = %v, want nil", err)
		}
		l.close()
		if err := l.check(t.Context()); err != nil || looks.Load() != 4 {
			t.Errorf("check after close = %v and %d looks, want nil and 4", err, looks.Load())
		}
	})
}
