package cluster

import (
	"cmp"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// Voters of the control group: so many as can be of this list.
const (
	manyVoters = 5 // from so many nodes on
	someVoters = 3
)

// controlNode is what the control leader knows about a node and its replica of
// the control group.
type controlNode struct {
	id   raft.ServerID // as the table has it, or as the configuration has one that the table has not
	name string
	zone string
	// state of the node; nodeLeft for a replica that the table does not have.
	state nodeState

	present  bool // in the configuration
	voter    bool
	healthy  bool
	caughtUp bool
}

func (n controlNode) ready() bool { return n.present && n.healthy && n.caughtUp }

// controlStep gives the next change of the control group's configuration: every
// node is a member, 3 of them voters, 5 from 5 nodes on. StepNone: it is as it
// should be, or nothing can be done now. leader is this node's replica. No step
// leaves the healthy voters without a majority; from one voter the group goes to
// three only when both newcomers have caught up.
func controlStep(nodes []controlNode, leader raft.ServerID) (placement.StepKind, raft.ServerID) {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b controlNode) int { return cmp.Compare(a.id, b.id) })
	target := controlVoters(nodes, leader)
	voters := 0
	for _, n := range nodes {
		voters += truth(n.voter)
		if n.present && !n.voter && n.state == nodeLeft {
			return placement.StepRemove, n.id
		}
		if !n.present && n.state != nodeLeft {
			return placement.StepAddNonvoter, n.id
		}
	}
	var promotable []raft.ServerID
	for _, n := range nodes {
		if n.present && !n.voter && slices.Contains(target, n.id) && n.ready() {
			promotable = append(promotable, n.id)
		}
	}
	missing := 0
	for _, id := range target {
		if !slices.ContainsFunc(nodes, func(n controlNode) bool { return n.id == id && n.voter }) {
			missing++
		}
	}
	waits := voters == 1 && len(target) >= someVoters && len(promotable) < 2
	if len(promotable) > 0 && !waits && voters < max(len(target), someVoters)+1 {
		return placement.StepPromote, promotable[0]
	}
	if missing > 0 && voters <= len(target) && !slices.ContainsFunc(nodes, func(n controlNode) bool { return n.voter && n.state == nodeLeft }) {
		return placement.StepWait, ""
	}
	return retireControl(nodes, target, leader)
}

// retireControl takes the vote from a voter that shall have none, those first
// that are of least use. The leader hands over before.
func retireControl(nodes []controlNode, target []raft.ServerID, leader raft.ServerID) (placement.StepKind, raft.ServerID) {
	var surplus []controlNode
	for _, n := range nodes {
		if n.voter && !slices.Contains(target, n.id) {
			surplus = append(surplus, n)
		}
	}
	slices.SortStableFunc(surplus, func(a, b controlNode) int {
		return cmp.Or(truth(b.state == nodeLeft)-truth(a.state == nodeLeft), truth(a.healthy)-truth(b.healthy))
	})
	for _, gone := range surplus {
		if gone.id == leader {
			for _, n := range nodes {
				if n.voter && n.id != leader && slices.Contains(target, n.id) && n.ready() {
					return placement.StepTransfer, n.id
				}
			}
			continue
		}
		rest, healthy := 0, 0
		for _, n := range nodes {
			if n.voter && n.id != gone.id {
				rest++
				healthy += truth(n.healthy)
			}
		}
		if healthy <= rest/2 {
			continue
		}
		if gone.state == nodeLeft {
			return placement.StepRemove, gone.id
		}
		return placement.StepDemote, gone.id
	}
	return placement.StepNone, ""
}

// controlVoters chooses who shall vote: whoever does stays, unless it is gone;
// newcomers come from zones of which there are fewest.
func controlVoters(nodes []controlNode, leader raft.ServerID) []raft.ServerID {
	var fit []controlNode
	for _, n := range nodes {
		if n.state == nodeIn {
			fit = append(fit, n)
		}
	}
	want := 1
	switch {
	case len(fit) >= manyVoters:
		want = manyVoters
	case len(fit) >= someVoters:
		want = someVoters
	}
	zones := make(map[string]int)
	var target []raft.ServerID
	for len(target) < min(want, len(fit)) {
		best := -1
		for i, n := range fit {
			if slices.Contains(target, n.id) {
				continue
			}
			if best < 0 || controlRank(n, leader, zones).above(controlRank(fit[best], leader, zones)) {
				best = i
			}
		}
		target = append(target, fit[best].id)
		zones[fit[best].zone]++
	}
	return target
}

// controlPreference orders candidates for a vote; the first difference decides.
type controlPreference [4]int

func (p controlPreference) above(other controlPreference) bool {
	return slices.Compare(p[:], other[:]) > 0
}

func controlRank(n controlNode, leader raft.ServerID, zones map[string]int) controlPreference {
	return controlPreference{truth(n.id == leader), truth(n.voter && n.healthy), truth(n.healthy), -zones[n.zone]}
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
