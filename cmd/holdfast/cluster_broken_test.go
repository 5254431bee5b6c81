package main

import (
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/transport"
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
		{"owners are lost in a conversation", (*plot).lostOwner, nil},
		{"owners move in a conversation", (*plot).movedOwner, nil},
		{"gateways are lost in a conversation", (*plot).lostGateway, nil},
		{"owners are lost between two steps", (*plot).pairs, nil},
		{"processes of owners end", (*plot).prompts, nil},
		{"disks of owners hang", (*plot).stalledDisk, nil},
		{"power goes while a snapshot comes", (*plot).halfInstalled, []cluster.Fault{cluster.FaultShortLog}},
	}
}

// seedsPerScene is how many seeds of simulations there are for one more of a scene.
const seedsPerScene = 100

// Sound clusters get through every scene.
func TestClusterScenes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for _, sc := range scenes() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(1 + *simSeeds/seedsPerScene) {
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

// unkept drops the frames that an object's batch keeps.
func unkept(c actor.Committer, object actor.ID, ownership uint64, data []byte, done func(error)) {
	if b, err := actor.DecodeBatch(data); err == nil && len(b.Outbox.Part) > 0 {
		b.Outbox.Part = nil
		data = b.Append(nil)
	}
	c.Commit(object, ownership, data, done)
}

// brokenVariant is a mistake, and the scene that shows it.
type brokenVariant struct {
	name  string
	flaws flaws
	scene string // "": whatever seeds do
}

func inCluster(f cluster.Fault) flaws { return flaws{faults: faults{cluster: []cluster.Fault{f}}} }
func inRelay(f transport.Fault) flaws { return flaws{faults: faults{relay: f}} }
func inActor(f actor.Fault) flaws     { return flaws{faults: faults{actor: f}} }

func brokenVariants() []brokenVariant {
	return []brokenVariant{
		{"an ownership begins before its Open entry is applied", inCluster(cluster.FaultOwnBeforeOpen), "an owner is deposed"},
		{"acknowledged before the commit", flaws{commit: hasty}, ""},
		{"a lease from the receipt of the answer", inCluster(cluster.FaultLeaseFromAnswer), "late answers"},
		{"a replica votes right after its start", inCluster(cluster.FaultVoteAtOnce), "a voter restarts"},
		{"an empty replica votes", inCluster(cluster.FaultVoteEmpty), "a voter loses all"},
		{"no fence", inCluster(cluster.FaultNoFence), "proposals are turned down"},
		{"no message is sent again", inRelay(transport.FaultNoResend), "owners are lost in a conversation"},
		{"no frame is known to have come", inRelay(transport.FaultNoFilter), "owners move in a conversation"},
		{"frames of any owner count", inRelay(transport.FaultAnyWay), "owners are lost in a conversation"},
		{"no frame is kept", flaws{commit: unkept}, "owners are lost in a conversation"},
		{"a client that comes back gets nothing that it missed", inActor(actor.FaultForgotten), "gateways are lost in a conversation"},
		{"what clients may not have got counts as arrived", inRelay(transport.FaultUnconfirmed), "gateways are lost in a conversation"},
		{"a call that has started runs again", inActor(actor.FaultRerun), "owners are lost between two steps"},
		{"an answer is recorded before the writes", inActor(actor.FaultEarlyAnswer), "owners are lost between two steps"},
		{"nobody is prompted", inCluster(cluster.FaultUnprompted), "processes of owners end"},
		{"a node with a stalled disk is not silent", inCluster(cluster.FaultNeverSilent), "disks of owners hang"},
		{"the log goes before the state comes", inCluster(cluster.FaultLogBeforeState), "power goes while a snapshot comes"},
	}
}

// play plays the scene that shows the mistake, or what the seed says.
func (b brokenVariant) play(t *testing.T, seed uint64) error {
	t.Helper()
	for _, sc := range scenes() {
		if sc.name == b.scene {
			f := b.flaws
			f.cluster = append(f.cluster, sc.bear...)
			return perform(t, seed, f, sc.play)
		}
	}
	if b.scene != "" {
		t.Fatalf("there is no scene %q", b.scene)
	}
	return simulate(t, seed, b.flaws)
}

// Broken clusters do not: the closing checks notice.
func TestClusterCatches(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for _, broken := range brokenVariants() {
		t.Run(broken.name, func(t *testing.T) {
			t.Parallel()
			const most = 40
			for seed := uint64(1); seed <= most; seed++ {
				if err := broken.play(t, seed); err != nil {
					t.Logf("caught at seed %d: %.300v", seed, err)
					return
				}
			}
			t.Errorf("the checkers found nothing in %d seeds, want an error", most)
		})
	}
}
