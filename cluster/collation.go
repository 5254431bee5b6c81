package cluster

import (
	"cmp"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// collation puts together what all nodes say of the shards.
type collation struct {
	table   *table
	wanted  [][]placement.NodeID
	silent  map[string]bool // nodes that are alive and have not answered
	reports map[placement.ShardID]ownedShard
	held    map[raft.ServerID]heldReplica
	failed  map[uint64]string // numbers of replicas that could not be opened, and why
	steps   map[placement.ShardID]Move
}

func newCollation(t *table, nodes []NodeOverview, views map[string]*nodeView) *collation {
	c := &collation{
		table: t, wanted: t.wanted(), silent: make(map[string]bool), reports: make(map[placement.ShardID]ownedShard),
		held: make(map[raft.ServerID]heldReplica), failed: make(map[uint64]string), steps: make(map[placement.ShardID]Move),
	}
	for _, node := range nodes {
		c.silent[string(node.Name)] = node.Alive && !node.Answered
	}
	for name, view := range views {
		for _, r := range view.Owned {
			now, ok := c.reports[r.Shard]
			if !ok || now.report.Ownership < r.Ownership ||
				now.report.Ownership == r.Ownership && now.report.Configuration < r.Configuration {
				c.reports[r.Shard] = ownedShard{node: name, report: r}
			}
		}
		for _, h := range view.Replicas {
			c.held[h.ID] = h
		}
		for _, f := range view.Failed {
			c.failed[f.Number] = f.Reason
		}
		for _, m := range view.Steps {
			c.steps[m.Shard] = m
		}
	}
	return c
}

// shard gives the picture of one shard.
func (c *collation) shard(id placement.ShardID) ShardOverview {
	s := ShardOverview{Shard: id, Wanted: c.wanted[id], Replicas: c.replicas(id)}
	if o := c.reports[id]; o.report.Ownership > 0 {
		s.Owner, s.Ownership, s.Term = placement.NodeID(o.node), o.report.Ownership, c.held[o.report.Leader].Term
	}
	if m, ok := c.steps[id]; ok {
		s.Step = &StepOverview{Step: m.Step.String(), Node: m.Node}
	}
	if s.Owner == "" {
		s.State = c.orphanCondition(s.Replicas)
	} else {
		s.State = ownedCondition(s)
	}
	return s
}

// replicas gives those that the group has as far as its owner, or else the newest
// of those who look for one, says; and those that only the table has.
func (c *collation) replicas(id placement.ShardID) []ReplicaOverview {
	o, known := c.reports[id]
	all := []ReplicaOverview{}
	seen := make(map[raft.ServerID]bool)
	for _, r := range o.report.Replicas {
		seen[r.ID] = true
		view := c.replica(r.ID, o.report)
		view.Role = RoleNonvoter
		if r.Voter {
			view.Role = RoleVoter
		}
		if o.report.Ownership > 0 {
			view.Healthy = &r.Healthy
		}
		all = append(all, view)
	}
	for _, r := range c.table.Shards[id].Replicas {
		replica, err := r.id()
		if err != nil || seen[replica.serverID()] {
			continue
		}
		view := c.replica(replica.serverID(), o.report)
		if known {
			view.Role = RoleOutside
		}
		all = append(all, view)
	}
	slices.SortFunc(all, func(a, b ReplicaOverview) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Number, b.Number))
	})
	return all
}

// replica gives what the replica's own node says of it.
func (c *collation) replica(id raft.ServerID, owner shardReport) ReplicaOverview {
	var view ReplicaOverview
	if parsed, err := parseReplicaID(id); err == nil {
		view.Node, view.Number = placement.NodeID(parsed.node), parsed.number
	}
	view.Stopped = c.failed[view.Number]
	h, ok := c.held[id]
	if !ok {
		return view
	}
	view.Applied, view.Stopped, view.Stalled = &h.Applied, h.Stopped, h.Stalled
	if leader, ok := c.held[owner.Leader]; ok && owner.Ownership > 0 {
		lag := max(leader.Committed, h.Applied) - h.Applied
		view.Lag = &lag
	}
	return view
}

func ownedCondition(s ShardOverview) Condition {
	moving := s.Step != nil
	for _, r := range s.Replicas {
		switch {
		case r.Stopped != "", r.Stalled, r.Healthy != nil && !*r.Healthy:
			return ConditionReduced
		case r.Role == RoleOutside, !slices.Contains(s.Wanted, r.Node):
			moving = true
		}
	}
	if moving || len(s.Replicas) < len(s.Wanted) {
		return ConditionMoving
	}
	return ConditionOK
}

// orphanCondition says how a shard is of which nobody is the owner. Who is silent
// may be, and may be one of a majority.
func (c *collation) orphanCondition(replicas []ReplicaOverview) Condition {
	var voters, there, silent int
	configured := false
	for _, r := range replicas {
		if c.silent[string(r.Node)] {
			silent++
		}
		if r.Role != RoleVoter {
			continue
		}
		configured = true
		voters++
		there += truth(r.Applied != nil && r.Stopped == "")
	}
	switch {
	case there > voters/2:
		return ConditionNoOwner
	case silent > 0:
		return ConditionUnknown
	case configured:
		return ConditionNoMajority
	default:
		return ConditionNoOwner
	}
}
