package main

import (
	"errors"
	"fmt"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// replicator is what the committer needs of cluster.Node.
type replicator interface {
	Ownership(shard placement.ShardID) (uint64, error)
	Propose(shard placement.ShardID, ownership uint64, batch []byte, done func(error))
	Confirm(shard placement.ShardID, ownership uint64) error
	Prove(shard placement.ShardID, ownership uint64, done func(error))
}

// committer is the runtime's way to the shards: it finds an object's shard and
// says in the runtime's words how a proposal ended.
type committer struct {
	node   replicator
	shards int
}

func (c committer) Ownership(object actor.ID) (uint64, error) {
	ownership, err := c.node.Ownership(placement.ShardOf(object, c.shards))
	return ownership, outcome(err)
}

func (c committer) Commit(object actor.ID, ownership uint64, batch []byte, done func(error)) {
	c.node.Propose(placement.ShardOf(object, c.shards), ownership, batch, func(err error) { done(outcome(err)) })
}

// Prove answers at once, and without a closure of its own, as long as there is a
// lease. Otherwise the ownership is asked for a proof that may take a commit.
func (c committer) Prove(object actor.ID, ownership uint64, done func(error)) {
	shard := placement.ShardOf(object, c.shards)
	if c.node.Confirm(shard, ownership) == nil {
		done(nil)
		return
	}
	c.node.Prove(shard, ownership, func(err error) { done(outcome(err)) })
}

// outcome puts an error of the cluster into the words of the runtime. What
// cannot be proven to be a refusal is unknown.
func outcome(err error) error {
	if err == nil {
		return nil
	}
	word := actor.ErrOutcomeUnknown
	switch {
	case errors.Is(err, cluster.ErrNotOwner):
		word = actor.ErrNotOwner
	case errors.Is(err, cluster.ErrOverloaded):
		word = actor.ErrOverloaded
	case errors.Is(err, cluster.ErrStorageFull):
		word = actor.ErrStorageFull
	case errors.Is(err, cluster.ErrRefused):
		word = actor.ErrRefused
	}
	return fmt.Errorf("%w: %w", word, err)
}
