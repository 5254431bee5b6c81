package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// replicaChange is one step of a shard's group, as the control leader sends it
// to the shard's owner.
type replicaChange struct {
	Shard placement.ShardID  `json:"shard"`
	Kind  placement.StepKind `json:"kind"`
	// Replica is what is added, promoted, demoted or removed, or gets the leadership.
	Replica raft.ServerID `json:"replica"`
	// Ownership and Configuration are those of the report for which the step was
	// chosen: it is made under no other.
	Ownership     uint64 `json:"ownership"`
	Configuration uint64 `json:"configuration"`
	// Look is the one at which it was chosen. It must be the newest for which the
	// owner has reported.
	Look look `json:"look"`
}

// look is one look of a control leader at all shards. Later leaders have later
// terms, and each counts its looks.
type look struct {
	Term   uint64 `json:"term"`
	Number uint64 `json:"number"`
}

func (l look) before(other look) bool {
	return l.Term < other.Term || l.Term == other.Term && l.Number < other.Number
}

// shardReport is what the owner of a shard knows about its group.
type shardReport struct {
	Shard placement.ShardID `json:"shard"`
	// Ownership under which the owner speaks. 0: the replica knows no leader.
	Ownership uint64 `json:"ownership"`
	// Configuration is the index of the newest configuration, which may not be
	// committed yet: then the group is busy.
	Configuration uint64          `json:"configuration"`
	Busy          bool            `json:"busy"`
	Leader        raft.ServerID   `json:"leader"`
	Replicas      []replicaReport `json:"replicas"`
}

// replicaReport is one replica of a group, as its leader sees it.
type replicaReport struct {
	ID       raft.ServerID `json:"id"`
	Voter    bool          `json:"voter"`
	Healthy  bool          `json:"healthy"`
	CaughtUp bool          `json:"caught_up"`
}

// Why an owner does not make a change. The control leader looks again.
var (
	errOldLook       = errors.New("cluster: change replicas: it was chosen at another look than the newest")
	errUnknownChange = errors.New("cluster: change replicas: a step that this version does not know")
)

// reportTimeout bounds the proof that a report needs where there is no lease.
const reportTimeout = time.Second

// report gives what the owner knows about the group. It is not ok if this node
// cannot prove that it owns the shard. The proof may take an entry: after a transfer
// that failed there is no lease, and the transfer has to be tried again.
//
// From here on steps of earlier looks are refused, so what is decided by this report
// stays right until this ownership ends or the next look asks. A change that is
// still being made counts as busy: nobody knows yet how it ends.
func (g *group) report(ctx context.Context, at look) (r shardReport, ok bool) {
	number, busy, ok := g.lookedAt(at)
	if !ok {
		return shardReport{}, false
	}
	replicas := reportOf(g.raft, g.me.serverID(), g.progress)
	index, committed := g.configuration()
	proved := make(chan error, 1)
	g.prove(number, func(err error) { proved <- err })
	timer := time.NewTimer(reportTimeout)
	defer timer.Stop()
	select {
	case err := <-proved:
		if err != nil {
			return shardReport{}, false
		}
	case <-timer.C:
		return shardReport{}, false
	case <-ctx.Done():
		return shardReport{}, false
	}
	return shardReport{
		Shard: g.shard, Ownership: number, Configuration: index, Busy: busy || !committed,
		Leader: g.me.serverID(), Replicas: replicas,
	}, true
}

// orphaned gives the newest configuration that this replica knows, if it knows no
// leader: it is how an ownerless shard's majority is known to be lost.
func (g *group) orphaned() (r shardReport, ok bool) {
	if _, leader := g.raft.LeaderWithID(); leader != "" {
		return shardReport{}, false
	}
	nobody := func(raft.ServerID) (bool, uint64) { return false, 0 }
	replicas := reportOf(g.raft, g.me.serverID(), nobody)
	index, _ := g.configuration()
	return shardReport{Shard: g.shard, Configuration: index, Replicas: replicas}, len(replicas) > 0
}

// reportOf gives the replicas of a group that this replica leads.
func reportOf(r *raft.Raft, me raft.ServerID, progress func(raft.ServerID) (healthy bool, last uint64)) (replicas []replicaReport) {
	last := r.LastIndex()
	for _, server := range r.GetConfiguration().Configuration().Servers {
		report := replicaReport{ID: server.ID, Voter: server.Suffrage == raft.Voter, Healthy: true, CaughtUp: true}
		if server.ID != me {
			var at uint64
			report.Healthy, at = progress(server.ID)
			report.CaughtUp = report.Healthy && at+caughtUpEntries >= last
		}
		replicas = append(replicas, report)
	}
	return replicas
}

// caughtUpEntries is how far behind its leader a replica that has caught up may
// be: what is on the way, and then some, so that it does not flicker under load.
const caughtUpEntries = 1024

// change makes one change of the group's configuration, or hands the leadership
// over, and returns when that is done. After an error it may still happen.
func (g *group) change(ctx context.Context, c replicaChange) error {
	if err := g.admitChange(c); err != nil {
		return err
	}
	defer g.changed()
	if c.Kind == placement.StepTransfer {
		return g.handOver(ctx, c.Replica)
	}
	future, err := changeConfiguration(g.raft, c.Kind, c.Replica, c.Configuration)
	if err != nil {
		return err
	}
	if err := future.Error(); err != nil {
		return fmt.Errorf("cluster: shard %d: %s %s: %w", g.shard, c.Kind, c.Replica, err)
	}
	return nil
}

// changeConfiguration asks the library for one change of a group.
func changeConfiguration(r *raft.Raft, kind placement.StepKind, id raft.ServerID, previous uint64) (raft.IndexFuture, error) {
	replica, err := parseReplicaID(id)
	if err != nil {
		return nil, err
	}
	switch kind {
	case placement.StepAddNonvoter:
		return r.AddNonvoter(id, replica.address(), previous, 0), nil
	case placement.StepPromote:
		return r.AddVoter(id, replica.address(), previous, 0), nil
	case placement.StepDemote:
		return r.DemoteVoter(id, previous, 0), nil
	case placement.StepRemove:
		return r.RemoveServer(id, previous, 0), nil
	default:
		return nil, errUnknownChange
	}
}
