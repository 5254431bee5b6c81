package placement

// ReplicaID names one copy of one group for ever, in the form in which the
// group's configuration has it. A node that lost its directory comes back with
// other replica IDs.
type ReplicaID string

// Replica is one entry of a group's configuration with what is known about it.
type Replica struct {
	ID    ReplicaID
	Node  NodeID
	Voter bool
	// Healthy says that the replica answers its leader.
	Healthy bool
	// CaughtUp says that the replica has what the leader has, but for what is on
	// the way. It should not flicker under load: it is what moves wait for.
	CaughtUp bool
	// DiskLost says that what the replica had is gone for good: its node came back
	// with another directory, or threw the replica away.
	DiskLost bool
}

// Group is what the owner of a shard knows about its Raft group.
type Group struct {
	// Replicas is the newest configuration, committed or not.
	Replicas []Replica
	// Leader is empty while there is none.
	Leader ReplicaID
	// Busy says that a change of the configuration is not committed yet, or that
	// a transfer of leadership is under way.
	Busy bool
}

// ready says whether a replica may be given a vote or the leadership.
func (r Replica) ready() bool { return r.Healthy && r.CaughtUp && !r.DiskLost }

func (g Group) voters() []Replica {
	var voters []Replica
	for _, r := range g.Replicas {
		if r.Voter {
			voters = append(voters, r)
		}
	}
	return voters
}

// of gives the replica that a node can go on with, a voter before a non-voter.
func (g Group) of(node NodeID) (found Replica, ok bool) {
	for _, r := range g.Replicas {
		if r.Node != node || r.DiskLost {
			continue
		}
		better := truth(r.Voter) - truth(found.Voter)
		if !ok || better > 0 || better == 0 && r.ID < found.ID {
			found, ok = r, true
		}
	}
	return found, ok
}

// majority says whether the voters for which ok holds are enough to commit.
func majority(voters []Replica, ok func(Replica) bool) bool {
	count := 0
	for _, r := range voters {
		count += truth(ok(r))
	}
	return count > len(voters)/2
}
