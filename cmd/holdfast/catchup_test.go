package main

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// replicasSeen is an overview by node "me" of shards in which it has a replica each,
// that far behind: -1 says that the owner is not known.
func replicasSeen(applied uint64, lags ...int64) cluster.Overview {
	o := cluster.Overview{SeenBy: "me"}
	for i, lag := range lags {
		mine := cluster.ReplicaOverview{Node: "me", Number: uint64(i + 1), Role: cluster.RoleVoter, Applied: &applied}
		if lag >= 0 {
			behind := uint64(lag)
			mine.Lag = &behind
		}
		other := cluster.ReplicaOverview{Node: "other", Number: uint64(i + 100), Role: cluster.RoleVoter}
		o.Shards = append(o.Shards, cluster.ShardOverview{Shard: placement.ShardID(i), Replicas: []cluster.ReplicaOverview{other, mine}})
	}
	return o
}

// seenInTurn gives overviews one after the other, and the last one for ever.
type seenInTurn struct {
	mu   sync.Mutex // guards the following field
	next []cluster.Overview
}

func (s *seenInTurn) overview(context.Context) cluster.Overview {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.next[0]
	if len(s.next) > 1 {
		s.next = s.next[1:]
	}
	return now
}

func TestCatchUp(t *testing.T) {
	stopped := replicasSeen(100, 50, 0)
	stopped.Shards[0].Replicas[1].Stopped = "entry of a later version"
	moved := replicasSeen(100, 50, 0)
	moved.Shards[0].Replicas[1].Number = 7
	for _, tc := range []struct {
		name string
		seen []cluster.Overview
		done int // the look at which it is ready
	}{
		{"nothing held", []cluster.Overview{replicasSeen(100)}, 1},
		{"all caught up", []cluster.Overview{replicasSeen(100, 0, 0)}, 1},
		// The owner goes on writing: what counts is what there was at first.
		{"behind", []cluster.Overview{replicasSeen(100, 50), replicasSeen(149, 60), replicasSeen(150, 70)}, 3},
		{"no owner yet", []cluster.Overview{replicasSeen(100, -1), replicasSeen(100, -1), replicasSeen(100, 5), replicasSeen(105, 1)}, 4},
		{"stopped", []cluster.Overview{replicasSeen(100, 50, 0), stopped}, 2},
		{"replaced", []cluster.Overview{replicasSeen(100, 50, 0), moved}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := &seenInTurn{next: tc.seen}
				c := startCatchUp(seen.overview, slog.New(slog.DiscardHandler))
				defer c.close()
				if c.check() == nil {
					t.Error("ready before anybody was asked")
				}
				for look := 1; look <= len(tc.seen); look++ {
					synctest.Wait()
					if err := c.check(); (err == nil) != (look >= tc.done) {
						t.Errorf("after look %d: check = %v, want ready from look %d on", look, err, tc.done)
					}
					time.Sleep(catchUpPause)
				}
			})
		})
	}
}

// A shard that stays without an owner keeps the node away from clients for a while only.
func TestCatchUpIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &seenInTurn{next: []cluster.Overview{replicasSeen(100, -1, 0)}}
		c := startCatchUp(seen.overview, slog.New(slog.DiscardHandler))
		defer c.close()
		time.Sleep(catchUpBound - time.Second)
		if c.check() == nil {
			t.Errorf("ready %v after the start, with a replica that has not caught up", catchUpBound-time.Second)
		}
		time.Sleep(2 * time.Second)
		if err := c.check(); err != nil {
			t.Errorf("check after %v = %v, want ready", catchUpBound, err)
		}
	})
}
