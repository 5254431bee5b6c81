package cluster

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// shardScene is one shard of three voters, a, b and c with the numbers 1, 2 and 3,
// owned by a, and what nodes say of it. Each test changes it.
type shardScene struct {
	table *table
	nodes []NodeOverview
	views map[string]*nodeView
}

func sceneDirectory(number uint64) directoryID { return directoryID{byte(number)} }

func sceneReplica(node string, number uint64) replicaID {
	return replicaID{node: node, directory: sceneDirectory(number), number: number}
}

func newShardScene() *shardScene {
	s := &shardScene{table: &table{Nodes: map[string]tableNode{}, Shards: make([]tableShard, 1)}, views: map[string]*nodeView{}}
	report := shardReport{Ownership: 40, Configuration: 9, Leader: sceneReplica("a", 1).serverID()}
	for i, name := range []string{"a", "b", "c"} {
		r := sceneReplica(name, uint64(i+1))
		s.table.Shards[0].Wanted = append(s.table.Shards[0].Wanted, name)
		s.table.Shards[0].Replicas = append(s.table.Shards[0].Replicas, tableReplica{Node: name, DirectoryID: r.directory.String(), Number: r.number})
		s.nodes = append(s.nodes, NodeOverview{Name: placement.NodeID(name), Alive: true, Answered: true})
		s.views[name] = &nodeView{Replicas: []heldReplica{{ID: r.serverID(), Term: 7, Applied: 100, Committed: 100}}}
		report.Replicas = append(report.Replicas, replicaReport{ID: r.serverID(), Voter: true, Healthy: true})
	}
	s.views["a"].Owned = []shardReport{report}
	return s
}

// silence makes a node alive and without an answer; kill makes it dead.
func (s *shardScene) silence(name string) {
	delete(s.views, name)
	for i := range s.nodes {
		if string(s.nodes[i].Name) == name {
			s.nodes[i].Answered = false
		}
	}
}

func (s *shardScene) kill(name string) {
	s.silence(name)
	for i := range s.nodes {
		if string(s.nodes[i].Name) == name {
			s.nodes[i].Alive = false
		}
	}
}

// orphan makes a node one that knows no leader of the group.
func (s *shardScene) orphan(name string) {
	r := s.views["a"].Owned[0]
	r.Ownership, r.Leader = 0, ""
	s.views[name].Owned = []shardReport{r}
}

func (s *shardScene) owned() *shardReport { return &s.views["a"].Owned[0] }

func TestCollationConditions(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(s *shardScene)
		want   Condition
	}{
		{"all there", func(*shardScene) {}, ConditionOK},
		{"a voter does not answer its owner", func(s *shardScene) { s.owned().Replicas[2].Healthy = false }, ConditionReduced},
		{"a voter has stopped", func(s *shardScene) { s.views["c"].Replicas[0].Stopped = "entry of version 9" }, ConditionReduced},
		{"a replica could not be opened", func(s *shardScene) {
			s.views["c"] = &nodeView{Failed: []failedOpening{{Number: 3, Reason: "acknowledged writes are missing"}}}
		}, ConditionReduced},
		{"a node that is not asked any more says nothing against it", func(s *shardScene) { s.silence("c") }, ConditionOK},
		{"a step", func(s *shardScene) {
			s.views["b"].Steps = []Move{{Step: placement.StepPromote, Node: "c"}}
		}, ConditionMoving},
		{"a replica that is to be added", func(s *shardScene) { s.owned().Replicas = s.owned().Replicas[:2] }, ConditionMoving},
		{"a replica where none is wanted", func(s *shardScene) { s.table.Shards[0].Wanted[2] = "d" }, ConditionMoving},
		{"the owner is silent, the others follow it", func(s *shardScene) { s.silence("a") }, ConditionUnknown},
		{"the owner died, the others look for one", func(s *shardScene) {
			s.orphan("b")
			s.orphan("c")
			s.kill("a")
		}, ConditionNoOwner},
		{"the owner died, the others have not noticed", func(s *shardScene) { s.kill("a") }, ConditionNoOwner},
		{"two died", func(s *shardScene) {
			s.orphan("b")
			s.kill("a")
			s.kill("c")
		}, ConditionNoMajority},
		{"one died and one is silent", func(s *shardScene) {
			s.orphan("b")
			s.kill("a")
			s.silence("c")
		}, ConditionUnknown},
		{"one died and one has stopped", func(s *shardScene) {
			s.orphan("b")
			s.kill("a")
			s.views["c"].Replicas[0].Stopped = "entry of version 9"
		}, ConditionNoMajority},
	} {
		s := newShardScene()
		tc.change(s)
		if got := newCollation(s.table, s.nodes, s.views).shard(0); got.State != tc.want {
			t.Errorf("%s: state %s, want %s (%+v)", tc.name, got.State, tc.want, got)
		}
	}
}

func TestCollationReplicas(t *testing.T) {
	s := newShardScene()
	s.views["b"].Replicas[0].Applied = 90
	s.views["a"].Replicas[0].Applied = 101 // read a little later than what was committed
	s.owned().Replicas[1].Voter = false
	s.silence("c")
	d := sceneReplica("d", 4)
	s.table.Shards[0].Replicas = append(s.table.Shards[0].Replicas, tableReplica{Node: "d", DirectoryID: d.directory.String(), Number: 4})
	// An owner of earlier says that it still is the one.
	s.views["b"].Owned = []shardReport{{Ownership: 39, Configuration: 99, Leader: sceneReplica("b", 2).serverID(), Replicas: []replicaReport{{ID: raft.ServerID("b")}}}}

	got := newCollation(s.table, s.nodes, s.views).shard(0)
	if got.Owner != "a" || got.Ownership != 40 || got.Term != 7 {
		t.Errorf("owner %s, ownership %d, term %d, want a, 40, 7", got.Owner, got.Ownership, got.Term)
	}
	show := func(n *uint64) string {
		if n == nil {
			return "?"
		}
		return fmt.Sprint(*n)
	}
	want := []string{"a 1 voter applied 101 lag 0", "b 2 non_voter applied 90 lag 10", "c 3 voter applied ? lag ?", "d 4 outside applied ? lag ?"}
	for i, r := range got.Replicas {
		if line := fmt.Sprintf("%s %d %s applied %s lag %s", r.Node, r.Number, r.Role, show(r.Applied), show(r.Lag)); i >= len(want) || line != want[i] {
			t.Errorf("replica %d: %s, want %v", i, line, want)
		}
	}
	if len(got.Replicas) != len(want) {
		t.Errorf("%d replicas, want %d", len(got.Replicas), len(want))
	}
}
