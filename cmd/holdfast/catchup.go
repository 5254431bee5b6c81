package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

const (
	// catchUpBound is how long a node that has started may count as not ready because
	// a replica lags: a shard without an owner, say, must not keep it away from
	// clients of all the others.
	catchUpBound = time.Minute
	catchUpPause = 250 * time.Millisecond
)

// catchUp follows the replicas that a node holds at its start until each has once
// applied what its shard's owner had committed when it was first asked.
type catchUp struct {
	left    atomic.Int64 // replicas that have not yet; -1: not known
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// startCatchUp follows the replicas of a node whose cluster part has started,
// until close.
func startCatchUp(overview func(context.Context) cluster.Overview, log *slog.Logger) *catchUp {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpBound)
	c := &catchUp{cancel: cancel}
	c.left.Store(-1)
	c.running.Go(func() { c.run(ctx, overview, log) })
	return c
}

func (c *catchUp) close() {
	c.cancel()
	c.running.Wait()
}

// check says whether something is still to come.
func (c *catchUp) check() error {
	switch left := c.left.Load(); {
	case left < 0:
		return errors.New("starting: asking the owners of shards how far they are")
	case left > 0:
		return fmt.Errorf("catching up: %d replicas have not everything that was written while the node was away", left)
	}
	return nil
}

func (c *catchUp) run(ctx context.Context, overview func(context.Context) cluster.Overview, log *slog.Logger) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	goals := make(map[placement.ShardID]catchUpGoal)
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				log.Warn("replicas have not caught up in time; clients are served nevertheless", "left", c.left.Load())
				c.left.Store(0)
			}
			return
		}
		seen := overview(ctx)
		if ctx.Err() != nil {
			continue // what it could not ask in time is not what there is
		}
		if c.left.Load() < 0 {
			goals = catchUpGoals(seen)
		}
		c.left.Store(int64(follow(goals, seen)))
		if c.left.Load() == 0 {
			log.Info("all replicas have caught up", "took", time.Since(began).Round(time.Millisecond))
			return
		}
		timer.Reset(catchUpPause)
	}
}

// catchUpGoal is the entry that a replica must have applied.
type catchUpGoal struct {
	replica uint64 // its number
	index   uint64 // 0: no owner has told yet
}

// catchUpGoals gives the replicas that the node itself holds. What has stopped waits
// for an operator, and does not count.
func catchUpGoals(seen cluster.Overview) map[placement.ShardID]catchUpGoal {
	goals := make(map[placement.ShardID]catchUpGoal)
	for _, shard := range seen.Shards {
		for _, r := range shard.Replicas {
			if r.Node == seen.SeenBy && r.Applied != nil && r.Role != cluster.RoleOutside {
				goals[shard.Shard] = catchUpGoal{replica: r.Number}
			}
		}
	}
	return goals
}

// follow takes what has been reached, or is not there any more, out of the goals,
// and gives how many are left.
func follow(goals map[placement.ShardID]catchUpGoal, seen cluster.Overview) (left int) {
	for _, shard := range seen.Shards {
		goal, ok := goals[shard.Shard]
		if !ok {
			continue
		}
		delete(goals, shard.Shard)
		for _, r := range shard.Replicas {
			if r.Number != goal.replica || r.Applied == nil || r.Stopped != "" {
				continue
			}
			if goal.index == 0 && r.Lag != nil {
				goal.index = *r.Applied + *r.Lag
			}
			if goal.index == 0 || *r.Applied < goal.index {
				goals[shard.Shard] = goal
			}
		}
	}
	return len(goals)
}
