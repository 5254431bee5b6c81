package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// controlWorld is a control group whose changes take effect at once.
type controlWorld struct {
	nodes  []controlNode
	leader raft.ServerID
}

func (w *controlWorld) of(id raft.ServerID) *controlNode {
	for i := range w.nodes {
		if w.nodes[i].id == id {
			return &w.nodes[i]
		}
	}
	return nil
}

// healthyMajority says whether the voters can commit.
func (w *controlWorld) healthyMajority() bool {
	voters, healthy := 0, 0
	for _, n := range w.nodes {
		if n.voter {
			voters++
			healthy += truth(n.healthy)
		}
	}
	return healthy > voters/2
}

// apply makes a step and says what was wrong with it.
func (w *controlWorld) apply(kind placement.StepKind, id raft.ServerID) error {
	n := w.of(id)
	if n == nil {
		return fmt.Errorf("%s of %q, which is not there", kind, id)
	}
	switch kind {
	case placement.StepAddNonvoter:
		if n.present || n.state == nodeLeft {
			return fmt.Errorf("add %+v", *n)
		}
		n.present = true
	case placement.StepPromote:
		if !n.ready() || n.voter {
			return fmt.Errorf("promote %+v", *n)
		}
		n.voter = true
	case placement.StepTransfer:
		if !n.voter || !n.ready() {
			return fmt.Errorf("transfer to %+v", *n)
		}
		w.leader = id
	case placement.StepDemote:
		if !n.voter || id == w.leader {
			return fmt.Errorf("demote %+v, leader %s", *n, w.leader)
		}
		n.voter = false
	case placement.StepRemove:
		if id == w.leader {
			return fmt.Errorf("remove the leader %s", id)
		}
		n.present, n.voter = false, false
	default:
		return fmt.Errorf("step %s", kind)
	}
	if !w.healthyMajority() {
		return fmt.Errorf("after %s of %s no majority is healthy", kind, id)
	}
	return nil
}

// TestControlStepArrives plays random groups to their ends: no step is wrong, and
// once everybody is well the group is as it should be.
func TestControlStepArrives(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 2))
		w := &controlWorld{leader: "n0"}
		states := []nodeState{nodeIn, nodeIn, nodeIn, nodeIn, nodeGone, nodeLeaving, nodeLeft}
		for i := range 1 + random.IntN(8) {
			n := controlNode{
				id: raft.ServerID(fmt.Sprint("n", i)), name: fmt.Sprint("n", i), zone: fmt.Sprint(random.IntN(3)),
				state: states[random.IntN(len(states))], present: random.IntN(3) > 0, healthy: random.IntN(4) > 0, caughtUp: random.IntN(4) > 0,
			}
			n.voter = n.present && random.IntN(2) == 0
			if i == 0 {
				n.present, n.voter, n.healthy, n.caughtUp = true, true, true, true
				n.state = states[random.IntN(6)]
			}
			w.nodes = append(w.nodes, n)
		}
		if !w.healthyMajority() {
			continue
		}
		play := func() {
			for range 100 {
				kind, id := controlStep(w.nodes, w.leader)
				if kind == placement.StepNone || kind == placement.StepWait {
					return
				}
				if err := w.apply(kind, id); err != nil {
					t.Fatalf("seed %d: %v\n%+v", seed, err, w.nodes)
				}
			}
			t.Fatalf("seed %d: 100 steps and no end: %+v", seed, w.nodes)
		}
		play()
		for i := range w.nodes {
			w.nodes[i].healthy, w.nodes[i].caughtUp = true, true
		}
		play()
		in, voters := 0, 0
		for _, n := range w.nodes {
			in += truth(n.state == nodeIn)
			voters += truth(n.voter)
			if n.present != (n.state != nodeLeft) {
				t.Errorf("seed %d: %+v at the end", seed, n)
			}
			if n.voter && n.state != nodeIn && in > 0 {
				t.Errorf("seed %d: %+v votes at the end", seed, n)
			}
		}
		want := 1
		if in >= someVoters {
			want = someVoters
		}
		if in >= manyVoters {
			want = manyVoters
		}
		if in > 0 && voters != want {
			t.Errorf("seed %d: %d voters of %d nodes at the end, want %d: %+v", seed, voters, in, want, w.nodes)
		}
	}
}

// TestControlStepWaits looks at groups that must not move.
func TestControlStepWaits(t *testing.T) {
	node := func(id string, state nodeState, flags string) controlNode {
		n := controlNode{id: raft.ServerID(id), name: id, state: state}
		for _, f := range flags {
			switch f {
			case 'p':
				n.present = true
			case 'v':
				n.present, n.voter = true, true
			case 'h':
				n.healthy = true
			case 'c':
				n.caughtUp = true
			}
		}
		return n
	}
	for _, tt := range []struct {
		name  string
		nodes []controlNode
		want  placement.StepKind
		id    raft.ServerID
	}{
		{"alone", []controlNode{node("a", nodeIn, "vhc")}, placement.StepNone, ""},
		{"two nodes keep one voter", []controlNode{node("a", nodeIn, "vhc"), node("b", nodeIn, "phc")}, placement.StepNone, ""},
		{"one to three waits for both", []controlNode{node("a", nodeIn, "vhc"), node("b", nodeIn, "phc"), node("c", nodeIn, "ph")}, placement.StepWait, ""},
		{"both are ready", []controlNode{node("a", nodeIn, "vhc"), node("b", nodeIn, "phc"), node("c", nodeIn, "phc")}, placement.StepPromote, "b"},
		{"lost disk goes first", []controlNode{node("a", nodeIn, "vhc"), node("b", nodeIn, "vhc"), node("c", nodeIn, "p"), node("old", nodeLeft, "v")}, placement.StepRemove, "old"},
		{"no majority without it", []controlNode{node("a", nodeIn, "vhc"), node("b", nodeIn, "v"), node("c", nodeIn, "p"), node("old", nodeLeft, "vh")}, placement.StepNone, ""},
		{"leader leaves", []controlNode{node("a", nodeLeaving, "vhc"), node("b", nodeIn, "vhc"), node("c", nodeIn, "vhc"), node("d", nodeIn, "vhc")}, placement.StepTransfer, "b"},
	} {
		if kind, id := controlStep(tt.nodes, "a"); kind != tt.want || id != tt.id {
			t.Errorf("%s: controlStep = %s %q, want %s %q", tt.name, kind, id, tt.want, tt.id)
		}
	}
}
