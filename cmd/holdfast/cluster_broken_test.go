package main

import (
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
)

// scene is a plot, and what the sound variant of it has to bear.
type scene struct {
	name string
	play func(*plot) error
	bear []cluster.Fault
}

func scenes() []scene {
	return []scene{
		{"an owner is deposed", (*plot).deposed, nil},
		{"late answers", (*plot).lateAnswers, nil},
		{"a voter restarts", (*plot).restartedVoter, nil},
		{"a voter loses all", (*plot).wipedVoter, nil},
		{"proposals are turned down", (*plot).crowd, []cluster.Fault{cluster.FaultTurnDown}},
	}
}

// Sound clusters get through every scene.
func TestClusterScenes(t *testing.T) {
	for _, sc := range scenes() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				if err := perform(t, seed, flaws{faults: faults{cluster: sc.bear}}, sc.play); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// hasty acknowledges a batch and then commits it. Probes are left alone: their
// alarms would be found still there, again and again in no time.
func hasty(c actor.Committer, object actor.ID, ownership uint64, data []byte, done func(error)) {
	if _, ok := markOf(data); ok {
		c.Commit(object, ownership, data, done)
		return
	}
	done(nil)
	c.Commit(object, ownership, data, func(error) {})
}

// Broken clusters do not: the closing checks notice.
func TestClusterCatches(t *testing.T) {
	all := scenes()
	play := func(at int) func(*testing.T, uint64, flaws) error {
		return func(t *testing.T, seed uint64, f flaws) error {
			t.Helper()
			f.cluster = append(f.cluster, all[at].bear...)
			return perform(t, seed, f, all[at].play)
		}
	}
	for _, broken := range []struct {
		name  string
		flaws flaws
		run   func(*testing.T, uint64, flaws) error
	}{
		{"an ownership begins before its Open entry is applied", flaws{faults: faults{cluster: []cluster.Fault{cluster.FaultOwnBeforeOpen}}}, play(0)},
		{"acknowledged before the commit", flaws{commit: hasty}, simulate},
		{"a lease from the receipt of the answer", flaws{faults: faults{cluster: []cluster.Fault{cluster.FaultLeaseFromAnswer}}}, play(1)},
		{"a replica votes right after its start", flaws{faults: faults{cluster: []cluster.Fault{cluster.FaultVoteAtOnce}}}, play(2)},
		{"an empty replica votes", flaws{faults: faults{cluster: []cluster.Fault{cluster.FaultVoteEmpty}}}, play(3)},
		{"no fence", flaws{faults: faults{cluster: []cluster.Fault{cluster.FaultNoFence}}}, play(4)},
	} {
		t.Run(broken.name, func(t *testing.T) {
			t.Parallel()
			const most = 40
			for seed := uint64(1); seed <= most; seed++ {
				if err := broken.run(t, seed, broken.flaws); err != nil {
					t.Logf("caught at seed %d: %.300v", seed, err)
					return
				}
			}
			t.Errorf("the checkers found nothing in %d seeds, want an error", most)
		})
	}
}
