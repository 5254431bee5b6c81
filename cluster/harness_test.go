package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// testDir is the data directory on memory file systems.
const testDir = "/data/node"

// startWait bounds how long a test waits for a node to own its shards.
const startWait = 60 * time.Second

// testNode is a node on a file system of the test's, with a test state.
type testNode struct {
	*Node

	state *testState
}

// testConfig is a node on fs whose control group outlives it.
func testConfig(fs vfs.FS, control ControlStore) Config {
	return Config{Dir: testDir, Name: "a", Shards: 4, FS: fs, Control: control, Log: slog.New(slog.DiscardHandler)}
}

// startNode opens and starts a node and its state.
func startNode(tb testing.TB, cfg Config) *testNode {
	tb.Helper()
	n, err := tryStart(tb, cfg)
	if err != nil {
		tb.Fatalf("start node: %v", err)
	}
	return n
}

// tryStart is startNode for nodes that need not start. What was opened is closed
// again on an error.
func tryStart(tb testing.TB, cfg Config) (*testNode, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	node, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	n := &testNode{Node: node, state: openTestState(tb, cfg.FS, node.StateDir())}
	if err := node.Start(ctx, n.state); err != nil {
		n.stop(tb)
		return nil, err
	}
	return n, nil
}

// stop closes the node and its state.
func (n *testNode) stop(tb testing.TB) {
	tb.Helper()
	if err := n.Close(); err != nil {
		tb.Errorf("close node: %v", err)
	}
	n.state.close(tb)
}

// write proposes a batch under the present ownership and waits for the answer.
func (n *testNode) write(shard placement.ShardID, batch string) error {
	number, err := n.Ownership(shard)
	if err != nil {
		return err
	}
	return n.writeAs(shard, number, batch)
}

func (n *testNode) writeAs(shard placement.ShardID, ownership uint64, batch string) error {
	answer := make(chan error, 1)
	n.Propose(shard, ownership, []byte(batch), func(err error) { answer <- err })
	return <-answer
}

// history is what a client of one shard knows: the batches in the order in which
// it proposed them under one ownership after the other, with their answers.
type history struct {
	mu       sync.Mutex // guards the following fields
	proposed []proposed
	answers  map[string]error
	again    []string // answered more than once
}

type proposed struct {
	batch     string
	ownership uint64
}

func newHistory() *history { return &history{answers: map[string]error{}} }

// copy gives the history as it is now.
func (h *history) copy() *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &history{proposed: slices.Clone(h.proposed), answers: maps.Clone(h.answers), again: slices.Clone(h.again)}
}

// note records a proposal and gives its done function.
func (h *history) note(ownership uint64, batch string) func(error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proposed = append(h.proposed, proposed{batch, ownership})
	return func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, ok := h.answers[batch]; ok {
			h.again = append(h.again, batch)
		}
		h.answers[batch] = err
	}
}

// check compares the history with the list of batches that the state holds: each
// acknowledged one is there, no refused one is, none is there twice, out of order
// or behind one of the same ownership that is missing, and nothing is there that
// was never proposed.
func (h *history) check(state []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	order := map[string]int{}
	for i, p := range h.proposed {
		order[p.batch] = i
	}
	var errs []error
	seen := map[string]bool{}
	last := -1
	for _, batch := range state {
		at, ok := order[batch]
		answer, answered := h.answers[batch]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%q was never proposed", batch))
			continue
		case seen[batch]:
			errs = append(errs, fmt.Errorf("%q took effect twice", batch))
		case at < last:
			errs = append(errs, fmt.Errorf("%q took effect after a later proposal", batch))
		case answered && errors.Is(answer, ErrRefused):
			errs = append(errs, fmt.Errorf("%q took effect and was refused: %w", batch, answer))
		}
		seen[batch] = true
		last = max(last, at)
	}
	missing := map[uint64]string{} // by ownership, the first
	for _, p := range h.proposed {
		before, gap := missing[p.ownership]
		switch {
		case !seen[p.batch] && !gap:
			missing[p.ownership] = p.batch
		case seen[p.batch] && gap:
			errs = append(errs, fmt.Errorf("%q took effect, and %q of the same ownership %d before it did not", p.batch, before, p.ownership))
		}
	}
	for batch, answer := range h.answers {
		if answer == nil && !seen[batch] {
			errs = append(errs, fmt.Errorf("%q was acknowledged and is missing", batch))
		}
	}
	for _, batch := range h.again {
		errs = append(errs, fmt.Errorf("%q was answered twice", batch))
	}
	return errors.Join(errs...)
}
