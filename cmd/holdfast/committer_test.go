package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

func TestOutcome(t *testing.T) {
	all := []error{actor.ErrNotOwner, actor.ErrOverloaded, actor.ErrStorageFull, actor.ErrRefused, actor.ErrOutcomeUnknown}
	tests := []struct {
		err  error
		want error
	}{
		{cluster.ErrNotOwner, actor.ErrNotOwner},
		{cluster.ErrOverloaded, actor.ErrOverloaded},
		{cluster.ErrStorageFull, actor.ErrStorageFull},
		{cluster.ErrRefused, actor.ErrRefused},
		{cluster.ErrTooLarge, actor.ErrRefused},
		{cluster.ErrUnknown, actor.ErrOutcomeUnknown},
		{cluster.ErrClosed, actor.ErrOutcomeUnknown},
		{errors.New("anything else"), actor.ErrOutcomeUnknown},
	}
	for _, test := range tests {
		for _, err := range []error{test.err, fmt.Errorf("wrapped: %w", test.err)} {
			got := outcome(err)
			if !errors.Is(got, test.err) {
				t.Errorf("outcome(%v) = %v, want it to keep its cause", err, got)
			}
			for _, word := range all {
				if is, want := errors.Is(got, word), word == test.want; is != want { //nolint:errorlint // sentinels are compared with themselves
					t.Errorf("errors.Is(outcome(%v), %v) = %v, want %v", err, word, is, want)
				}
			}
		}
	}
	if err := outcome(nil); err != nil {
		t.Errorf("outcome(nil) = %v, want nil", err)
	}
}

// recordingNode remembers which shard it was asked about.
type recordingNode struct {
	shard placement.ShardID
	err   error
}

func (n *recordingNode) Ownership(shard placement.ShardID) (uint64, error) {
	n.shard = shard
	return 7, n.err
}

func (n *recordingNode) Propose(shard placement.ShardID, _ uint64, _ []byte, done func(error)) {
	n.shard = shard
	done(n.err)
}

func (n *recordingNode) Confirm(shard placement.ShardID, _ uint64) error {
	n.shard = shard
	return n.err
}

func (n *recordingNode) Prove(shard placement.ShardID, _ uint64, done func(error)) {
	n.shard = shard
	done(n.err)
}

// leaseless is a node that can prove nothing at once.
type leaseless struct {
	recordingNode
	asked []func(error)
}

func (n *leaseless) Confirm(placement.ShardID, uint64) error { return cluster.ErrNotOwner }

func (n *leaseless) Prove(_ placement.ShardID, _ uint64, done func(error)) {
	n.asked = append(n.asked, done)
}

func TestCommitterWithoutALeaseWaitsForAProof(t *testing.T) {
	node := &leaseless{}
	var answers []error
	for range 2 {
		committer{node: node, shards: 4}.Prove(actor.ID{}, 7, func(err error) { answers = append(answers, err) })
	}
	if len(answers) != 0 || len(node.asked) != 2 {
		t.Fatalf("answers %v after %d proofs, want none after 2", answers, len(node.asked))
	}
	node.asked[0](nil)
	node.asked[1](cluster.ErrRefused)
	if len(answers) != 2 || answers[0] != nil || !errors.Is(answers[1], actor.ErrRefused) {
		t.Errorf("answers %v, want nil and ErrRefused", answers)
	}
}

func TestCommitterWithALeaseAllocatesNothing(t *testing.T) {
	c := committer{node: &recordingNode{}, shards: 4}
	done := func(error) {}
	if n := testing.AllocsPerRun(100, func() { c.Prove(actor.ID{}, 7, done) }); n != 0 {
		t.Errorf("Prove allocates %v times, want 0", n)
	}
}

func TestCommitterFindsShard(t *testing.T) {
	const shards = 32
	node := &recordingNode{err: cluster.ErrNotOwner}
	c := committer{node: node, shards: shards}
	for first := range 2 * shards {
		object := actor.ID{7: byte(first)}
		want := placement.ShardID(first % shards)
		calls := map[string]func() error{
			"Ownership": func() error { _, err := c.Ownership(object); return err },
			"Commit": func() (err error) {
				c.Commit(object, 7, nil, func(e error) { err = e })
				return err
			},
			"Prove": func() (err error) { c.Prove(object, 7, func(e error) { err = e }); return err },
		}
		for name, call := range calls {
			node.shard = shards
			if err := call(); !errors.Is(err, actor.ErrNotOwner) {
				t.Errorf("%s(%v) = %v, want %v", name, object, err, actor.ErrNotOwner)
			}
			if node.shard != want {
				t.Errorf("%s(%v) asked shard %d, want %d", name, object, node.shard, want)
			}
		}
	}
}
