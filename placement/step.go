package placement

import (
	"cmp"
	"fmt"
	"slices"
)

// StepKind says what a [Step] does.
type StepKind uint8

// Kinds of steps.
const (
	// StepNone: the group is as wanted.
	StepNone StepKind = iota
	// StepWait: something must come first that no step can bring about, such as
	// a leader, a majority, or a replica that catches up.
	StepWait
	// StepLost: a majority of the voters has lost its disks. No step can help
	// without giving up what was acknowledged, so only an operator may go on.
	StepLost
	// StepAddNonvoter adds a replica of Node, with a new number.
	StepAddNonvoter
	// StepPromote makes Replica a voter.
	StepPromote
	// StepTransfer gives the leadership to Replica.
	StepTransfer
	// StepDemote makes Replica a non-voter.
	StepDemote
	// StepRemove takes Replica out of the configuration.
	StepRemove
)

// String gives the kind as logs show it.
func (k StepKind) String() string {
	names := [...]string{"none", "wait", "lost", "add_nonvoter", "promote", "transfer", "demote", "remove"}
	if int(k) >= len(names) {
		return fmt.Sprintf("step(%d)", k)
	}
	return names[k]
}

// Step is one change of a group on its way to the wanted set, or the reason why
// there is none.
type Step struct {
	Kind    StepKind
	Node    NodeID    // of StepAddNonvoter, StepPromote, StepTransfer, StepDemote and StepRemove
	Replica ReplicaID // the same, but for StepAddNonvoter
}

// Next gives the next step of a group towards the wanted nodes, home first. Three
// or more wanted nodes are voters; of fewer the home is the only voter.
//
// Whatever group and wanted are, in any order of the replicas:
//
//   - A step leaves a majority of the voters healthy, and is given only to a
//     group that has one, a leader, and no other change under way.
//   - The leader is neither removed nor demoted.
//   - Only a replica that is healthy and has caught up gets a vote or leadership.
//   - A group of one voter gets a second only when a third is ready as well, or
//     when the home needs the vote to take over. A group of two voters never
//     waits: it goes on to three or back to one. As long as both are healthy, that is:
//     with one of them gone nothing can be committed.
//
// Steps end with the wanted group once all of its replicas are ready.
func Next(group Group, wanted []NodeID) Step {
	if len(wanted) == 0 {
		return Step{Kind: StepWait}
	}
	voters := group.voters()
	if !majority(voters, func(r Replica) bool { return !r.DiskLost }) {
		return Step{Kind: StepLost}
	}
	leads := func(r Replica) bool { return r.ID == group.Leader }
	if group.Busy || !slices.ContainsFunc(voters, leads) || !majority(voters, func(r Replica) bool { return r.Healthy }) {
		return Step{Kind: StepWait}
	}
	p := newPath(group, wanted)
	if len(voters) == 2 {
		if s := p.leaveTwo(); s.Kind != StepNone {
			return s
		}
	}
	for _, rule := range []func() Step{p.dropNonvoter, p.addNonvoter, p.promote, p.transfer, p.retire} {
		if s := rule(); s.Kind != StepNone {
			return s
		}
	}
	if p.arrived() {
		return Step{}
	}
	return Step{Kind: StepWait}
}

// path is the way of one group to the wanted set.
type path struct {
	group  Group
	voters []Replica // as they are
	wanted []NodeID
	target []NodeID // the nodes of wanted that shall vote, home first
}

func newPath(group Group, wanted []NodeID) *path {
	target := wanted[:1]
	if len(wanted) >= Copies {
		target = wanted
	}
	return &path{group: group, voters: group.voters(), wanted: wanted, target: target}
}

// leaveTwo takes a group of two voters, where the loss of either would stop the
// group, to the next safe number.
func (p *path) leaveTwo() Step {
	if s := p.promote(); s.Kind != StepNone && len(p.target) >= Copies {
		return s
	}
	other := p.voters[0]
	if other.ID == p.group.Leader {
		other = p.voters[1]
	}
	if len(p.target) == 1 && other.Node == p.target[0] && other.ready() {
		return Step{StepTransfer, other.Node, other.ID}
	}
	return p.drop(other)
}

// dropNonvoter removes a non-voter that nobody wants, which puts nothing at risk.
func (p *path) dropNonvoter() Step {
	for _, r := range p.sortedReplicas() {
		if !r.Voter && !p.keeps(r, p.wanted) {
			return Step{StepRemove, r.Node, r.ID}
		}
	}
	return Step{}
}

// addNonvoter adds one of the replicas that are missing. It waits for none of
// those before, so that they catch up at the same time.
func (p *path) addNonvoter() Step {
	for _, node := range p.wanted {
		if _, ok := p.group.of(node); !ok {
			return Step{Kind: StepAddNonvoter, Node: node}
		}
	}
	return Step{}
}

// promote gives a vote to a replica that is ready. It keeps a majority healthy:
// one more healthy voter raises it by one at most.
func (p *path) promote() Step {
	var ready []Replica
	for _, node := range p.target {
		if r, ok := p.group.of(node); ok && !r.Voter && r.ready() {
			ready = append(ready, r)
		}
	}
	switch {
	case len(ready) == 0:
		return Step{}
	case len(p.target) >= Copies && len(p.voters) == 1 && len(ready) == 1:
		return Step{} // would rest at two
	case len(p.voters) > max(len(p.target), Copies):
		return Step{} // one in the place of another, so the other goes first
	}
	return Step{StepPromote, ready[0].Node, ready[0].ID}
}

// transfer gives the leadership to the home.
func (p *path) transfer() Step {
	home, ok := p.group.of(p.target[0])
	if !ok || home.ID == p.group.Leader || !home.Voter || !home.ready() {
		return Step{}
	}
	return Step{StepTransfer, home.Node, home.ID}
}

// retire takes the vote from a voter that is too many. To come down from three to
// one it waits until the home leads, so that the group is not at two for long.
func (p *path) retire() Step {
	if len(p.voters) <= len(p.target) {
		return Step{}
	}
	home, ok := p.group.of(p.target[0])
	if len(p.voters) <= Copies && len(p.target) == 1 && (!ok || home.ID != p.group.Leader) {
		return Step{}
	}
	leaderGoes := false
	for _, r := range p.surplus() {
		if r.ID == p.group.Leader {
			leaderGoes = true
			continue
		}
		if p.safeWithout(r) {
			return p.drop(r)
		}
	}
	if leaderGoes {
		return p.handOver()
	}
	return Step{}
}

// handOver gives the leadership to any voter that stays: the home cannot have it
// now, and the leader is in the way.
func (p *path) handOver() Step {
	for _, node := range p.target {
		if r, ok := p.group.of(node); ok && r.Voter && r.ready() {
			return Step{StepTransfer, r.Node, r.ID}
		}
	}
	return Step{}
}

// surplus gives the voters that shall not vote, those first that are of least use.
func (p *path) surplus() []Replica {
	var surplus []Replica
	for _, r := range p.sortedReplicas() {
		if r.Voter && !p.keeps(r, p.target) {
			surplus = append(surplus, r)
		}
	}
	slices.SortStableFunc(surplus, func(a, b Replica) int {
		return cmp.Or(truth(b.DiskLost)-truth(a.DiskLost), truth(a.Healthy)-truth(b.Healthy))
	})
	return surplus
}

// safeWithout says whether the other voters have a healthy majority.
func (p *path) safeWithout(gone Replica) bool {
	rest := slices.DeleteFunc(slices.Clone(p.voters), func(r Replica) bool { return r.ID == gone.ID })
	return majority(rest, func(r Replica) bool { return r.Healthy })
}

// drop takes the vote from a voter, and leaves the copy where it is still wanted.
func (p *path) drop(r Replica) Step {
	if p.keeps(r, p.wanted) {
		return Step{StepDemote, r.Node, r.ID}
	}
	return Step{StepRemove, r.Node, r.ID}
}

// keeps says whether the replica is the one by which its node is among nodes.
func (p *path) keeps(r Replica, nodes []NodeID) bool {
	kept, ok := p.group.of(r.Node)
	return ok && kept.ID == r.ID && slices.Contains(nodes, r.Node)
}

// arrived says whether the group is as wanted.
func (p *path) arrived() bool {
	if len(p.group.Replicas) != len(p.wanted) || len(p.voters) != len(p.target) {
		return false
	}
	for _, node := range p.target {
		if r, ok := p.group.of(node); !ok || !r.Voter {
			return false
		}
	}
	home, _ := p.group.of(p.target[0])
	return home.ID == p.group.Leader
}

func (p *path) sortedReplicas() []Replica {
	return slices.SortedFunc(slices.Values(p.group.Replicas), func(a, b Replica) int { return cmp.Compare(a.ID, b.ID) })
}
