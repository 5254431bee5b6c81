package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// stepShards brings each shard one step on. The steps of different shards are
// made at the same time; of one shard the next is chosen only when this one is over.
func (s *steward) stepShards(ctx context.Context, owned map[placement.ShardID]ownedShard) (Moves, error) {
	t := s.control.table()
	steps := make([]placement.Step, len(t.Shards))
	numbers := make(map[placement.ShardID]uint64) // of replicas, for the shards of which a step is to be made
	errs := make([]error, len(t.Shards))
	ownerless := 0
	for i := range t.Shards {
		id := placement.ShardID(i)
		o, ok := owned[id]
		ownerless += truth(o.report.Ownership == 0)
		if !ok {
			steps[i] = placement.Step{Kind: placement.StepWait}
			continue
		}
		for _, r := range o.report.Replicas {
			if replica, err := parseReplicaID(r.ID); err == nil {
				delete(s.fresh, replica.number)
			}
		}
		steps[i] = placement.Next(s.group(t, o.report), t.wanted()[id])
		if o.report.Ownership == 0 {
			continue // nobody is there who could make a step
		}
		number, err := s.prepare(t, o.report, &steps[i])
		if errs[i] = err; err == nil && steps[i].Kind >= placement.StepAddNonvoter {
			numbers[id] = number
		}
	}
	if err := s.stepAll(ctx, owned, steps, numbers, errs); err != nil {
		return Moves{}, err
	}
	moves := s.summary(steps)
	moves.Ownerless = ownerless
	return moves, errors.Join(errs...)
}

// stepAll makes the steps of those shards at the same time. Only who was not deposed
// when the reports were made may send a step.
func (s *steward) stepAll(ctx context.Context, owned map[placement.ShardID]ownedShard, steps []placement.Step, numbers map[placement.ShardID]uint64, errs []error) error {
	if len(numbers) == 0 {
		return nil
	}
	if err := s.prove(); err != nil {
		return err
	}
	var stepping sync.WaitGroup
	slots := make(chan struct{}, maxStewardCalls)
	for id, number := range numbers {
		stepping.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[id] = s.step(ctx, id, owned[id], steps[id], number)
			s.events.shardStepped(id, steps[id].Kind, errs[id])
		})
	}
	stepping.Wait()
	return nil
}

// group puts the owner's report into the terms of placement. What is on a node that
// drains, or does not say whether it does, does not count as ready for anything: one
// that stops is not asked any more once it has left the gossip, and its replicas
// answer until the end.
func (s *steward) group(t *table, r shardReport) placement.Group {
	g := placement.Group{Leader: placement.ReplicaID(r.Leader), Busy: r.Busy}
	for _, replica := range r.Replicas {
		id, err := parseReplicaID(replica.ID)
		if err != nil {
			continue // no replica of ours
		}
		g.Replicas = append(g.Replicas, placement.Replica{
			ID: placement.ReplicaID(replica.ID), Node: placement.NodeID(id.node), Voter: replica.Voter,
			Healthy: replica.Healthy, CaughtUp: replica.CaughtUp && s.willing[id.node] && !s.stopped[id.number], DiskLost: s.lost[id.number] || t.lost(r.Shard, id),
		})
	}
	return g
}

// lost says whether what a replica had is gone for good: its node came back with
// another directory or left, or the table has told it to throw its data away.
func (t *table) lost(shard placement.ShardID, id replicaID) bool {
	node, ok := t.Nodes[id.node]
	if !ok || node.DirectoryID != id.directory.String() {
		return true
	}
	replica, ok := t.Shards[shard].of(id.node, node.DirectoryID)
	return !ok || replica.Number != id.number
}

// prepare brings the table in step with a group before its next step: replicas
// that are out of the group are dropped, and one that is to be added gets a number.
// That replica's node opens it while the owner is told of it.
func (s *steward) prepare(t *table, r shardReport, step *placement.Step) (number uint64, err error) {
	shard := t.Shards[r.Shard]
	if r.Busy {
		return 0, nil
	}
	var waiting uint64
	for _, replica := range shard.Replicas {
		id, err := replica.id()
		if err != nil {
			return 0, err
		}
		present := slices.ContainsFunc(r.Replicas, func(have replicaReport) bool { return have.ID == id.serverID() })
		if s.faults.dropAtOnce && !slices.Contains(shard.Wanted, replica.Node) {
			present = false
		}
		switch {
		case present && s.lost[replica.Number] && step.Kind != placement.StepLost:
			// Its node shall make room for the next one.
			if err := s.control.propose(command{Drop: &dropCommand{Shard: r.Shard, Number: replica.Number}}); err != nil {
				return 0, err
			}
		case present:
		case s.fresh[replica.Number] && step.Kind == placement.StepAddNonvoter && string(step.Node) == replica.Node && !t.gone(replica):
			waiting = replica.Number
		default:
			delete(s.fresh, replica.Number)
			if err := s.control.propose(command{Drop: &dropCommand{Shard: r.Shard, Number: replica.Number}}); err != nil {
				return 0, err
			}
		}
	}
	if step.Kind != placement.StepAddNonvoter {
		return 0, nil
	}
	if waiting > 0 {
		return waiting, nil
	}
	if t.Nodes[string(step.Node)].State != nodeIn {
		*step = placement.Step{Kind: placement.StepWait}
		return 0, nil
	}
	version := s.control.table().Shards[r.Shard].Version
	if err := s.control.propose(command{Add: &addCommand{Shard: r.Shard, Version: version, Node: string(step.Node)}}); err != nil {
		return 0, err
	}
	now := s.control.table()
	added, ok := now.Shards[r.Shard].of(string(step.Node), now.Nodes[string(step.Node)].DirectoryID)
	if !ok {
		*step = placement.Step{Kind: placement.StepWait} // the node has left meanwhile
		return 0, nil
	}
	s.fresh[added.Number] = true
	return added.Number, nil
}

// gone says whether a replica is of a directory that its node does not have any more.
func (t *table) gone(r tableReplica) bool {
	node, ok := t.Nodes[r.Node]
	return !ok || node.DirectoryID != r.DirectoryID
}

// step makes one step of a shard through its owner.
func (s *steward) step(ctx context.Context, shard placement.ShardID, o ownedShard, step placement.Step, number uint64) error {
	t := s.control.table()
	c := replicaChange{
		Shard: shard, Kind: step.Kind, Replica: raft.ServerID(step.Replica),
		Ownership: o.report.Ownership, Configuration: o.report.Configuration, Look: s.at,
	}
	if step.Kind == placement.StepAddNonvoter {
		id, err := tableReplica{Node: string(step.Node), DirectoryID: t.Nodes[string(step.Node)].DirectoryID, Number: number}.id()
		if err != nil {
			return err
		}
		c.Replica = id.serverID()
	}
	s.log.Debug("shard moves", "shard", shard, "step", step.Kind, "replica", c.Replica, "owner", o.node)
	return s.send(ctx, o.node, c)
}

// summary says what moves, and logs what is lost when it is found out.
func (s *steward) summary(steps []placement.Step) Moves {
	m := Moves{Settled: true}
	for i, step := range steps {
		id := placement.ShardID(i)
		before := s.said[id]
		s.said[id] = step.Kind
		if step.Kind == placement.StepNone {
			continue
		}
		if step.Kind != placement.StepLost { // nothing that this node does will change it
			m.Settled = false
		} else if before != placement.StepLost {
			s.log.Error("shard lost: a majority of its replicas has lost its disks; an operator has to decide", "shard", id)
		}
		m.Steps = append(m.Steps, Move{Shard: id, Step: step.Kind, Node: step.Node})
	}
	return m
}
