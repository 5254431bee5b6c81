package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfast-dev/holdfast/objects/history"
)

// The real binary is killed in the middle of a load, again and again on the same
// data. Every write that a client was told of is there afterwards, and no number
// is given twice.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	h := &history.History{}
	for round := range *kills {
		p := startProcess(t, dir)
		verify(t, p, h, round)
		ctx, cancel := context.WithCancel(t.Context())
		l := startLoad(ctx, t, p.clients, nil, h, fmt.Sprintf("r%d", round), rand.Int64N(400)+20)
		select {
		case <-l.reached:
		case <-l.gone:
		}
		p.kill(t)
		cancel()
		if err := l.wait(); err != nil {
			t.Fatalf("round %d: a client was answered %v\n%s", round, err, p.stderr)
		}
	}
	p := startProcess(t, dir)
	verify(t, p, h, *kills)
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0\n%s", code, p.stderr)
	}
	p = startProcess(t, dir)
	verify(t, p, h, *kills+1)
	p.stop(t, syscall.SIGTERM)
}

func verify(t *testing.T, p *process, h *history.History, round int) {
	t.Helper()
	writes := h.Copy()
	if err := checkHistory(t.Context(), newClient(t, nil), p.clients, writes); err != nil {
		t.Fatalf("after %d kills: %v\n%s", round, err, p.stderr)
	}
	t.Logf("after %d kills: %d writes on %d objects agree with what clients were told", round, len(writes), len(history.ByObject(writes)))
}
