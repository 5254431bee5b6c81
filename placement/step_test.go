package placement

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestNext gives groups and wishes in short: a replica is its node's letter, in
// upper case if it votes, then * if it leads, ! if it is down, ~ if it has not
// caught up, and x if its disk is lost. Its ID is its place in the list.
func TestNext(t *testing.T) {
	for _, test := range []struct{ name, group, wanted, want string }{
		{"as wanted", "A* B C", "abc", "none"},
		{"one node", "A*", "a", "none"},
		{"two nodes", "A* b", "ab", "none"},

		{"1 to 2", "A*", "ab", "add_nonvoter b"},
		{"2 to 3 adds", "A* b", "abc", "add_nonvoter c"},
		{"1 to 3 adds the first", "A*", "abc", "add_nonvoter b"},
		{"1 to 3 adds the second at once", "A* b~", "abc", "add_nonvoter c"},
		{"1 to 3 waits for both", "A* b c~", "abc", "wait"},
		{"1 to 3 waits for the dead", "A* b c!", "abc", "wait"},
		{"1 to 3 promotes", "A* b c", "abc", "promote 1"},
		{"2 goes on to 3", "A* B c", "abc", "promote 2"},
		{"2 goes back when the third is gone", "A* B c!", "abc", "demote 1"},
		{"2 goes back when the third is unknown", "A* B", "abc", "demote 1"},

		{"leadership goes home", "A B* C", "abc", "transfer 0"},
		{"not to a home that is behind", "A~ B* C", "abc", "wait"},
		{"not to a home that is down", "A! B* C", "abc", "wait"},
		{"while others catch up", "A B* C d~", "abd", "transfer 0"},

		{"a new node comes first", "A* B C", "abd", "add_nonvoter d"},
		{"the old one stays meanwhile", "A* B C d~", "abd", "wait"},
		{"the new one votes", "A* B C d", "abd", "promote 3"},
		{"the old one goes", "A* B C D", "abd", "remove 2"},
		{"the dead one goes", "A* B C! D", "abd", "remove 2"},
		{"the dead one stays until replaced", "A* B C! d~", "abd", "wait"},
		{"the leader hands over first", "A* B C D", "bcd", "transfer 1"},
		{"to another if the home cannot", "A* B~ C D", "bcd", "transfer 2"},
		{"and goes then", "A B* C D", "bcd", "remove 0"},
		{"all three are replaced", "A* B C d e f", "def", "promote 3"},
		{"one at a time", "A* B C D e f", "def", "transfer 3"},
		{"the others of them", "A B C D* e f", "def", "remove 0"},
		{"a non-voter that nobody wants goes", "A* B C d", "abc", "remove 3"},

		{"3 to 2 goes home first", "A B* C", "ab", "transfer 0"},
		{"3 to 2 waits for the home", "A! B* C", "ab", "wait"},
		{"3 to 2 drops one", "A* B C", "ab", "demote 1"},
		{"3 to 2 drops the dead one first", "A* B C!", "ab", "remove 2"},
		{"3 to 2 does not rest", "A* B", "ab", "demote 1"},
		{"4 to 3 waits for no home", "A* B C D e", "ef", "add_nonvoter f"},
		{"4 to 3 comes first", "A* B C D e f", "ef", "remove 1"},
		{"3 to 1", "A* B C", "a", "remove 1"},
		{"2 to 1", "A* b", "a", "remove 1"},
		{"a home moves between two nodes", "A* b", "ba", "promote 1"},
		{"then leads", "A* B", "ba", "transfer 1"},
		{"then votes alone", "A B*", "ba", "demote 0"},

		{"a lost disk is replaced", "A* B Cx!", "abc", "add_nonvoter c"},
		{"by the new replica", "A* B Cx! c", "abc", "promote 3"},
		{"and the old one goes", "A* B Cx! C", "abc", "remove 2"},
		{"a lost disk of a non-voter", "A* bx!", "ab", "remove 1"},
		{"a majority of lost disks", "A Bx! Cx!", "abc", "lost"},
		{"the only disk", "Ax! b", "ab", "lost"},
		{"a majority that is down", "A B! C!", "abc", "wait"},
		{"no leader", "A B C", "abd", "wait"},
		{"nothing wanted", "A* B C", "", "wait"},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			group := parseGroup(test.group)
			if got := describe(Next(group, parseNodes(test.wanted))); got != test.want {
				t.Errorf("Next(%s, %s) = %s, want %s", test.group, test.wanted, got, test.want)
			}
			group.Busy = true
			if got := Next(group, parseNodes(test.wanted)); got.Kind > StepLost {
				t.Errorf("Next(%s, %s) of a busy group = %s, want no step", test.group, test.wanted, describe(got))
			}
		})
	}
}

func parseNodes(text string) []NodeID {
	var nodes []NodeID
	for _, letter := range text {
		nodes = append(nodes, NodeID(letter))
	}
	return nodes
}

func parseGroup(text string) Group {
	var g Group
	for i, word := range strings.Fields(text) {
		r := Replica{
			ID:       ReplicaID(fmt.Sprint(i)),
			Node:     NodeID(strings.ToLower(word[:1])),
			Voter:    word[0] < 'a',
			Healthy:  !strings.Contains(word, "!"),
			CaughtUp: !strings.ContainsAny(word, "!~"),
			DiskLost: strings.Contains(word, "x"),
		}
		if strings.Contains(word, "*") {
			g.Leader = r.ID
		}
		g.Replicas = append(g.Replicas, r)
	}
	return g
}

func describe(s Step) string {
	switch s.Kind {
	case StepNone, StepWait, StepLost:
		return s.Kind.String()
	case StepAddNonvoter:
		return s.Kind.String() + " " + string(s.Node)
	default:
		return s.Kind.String() + " " + string(s.Replica)
	}
}

// TestStepsUnderFaults runs groups while nodes die, come back, lose their disks
// and wishes change, and checks each step. Then all nodes stay up, and the group
// must come to what is wanted.
func TestStepsUnderFaults(t *testing.T) {
	arrived, lost, longest := 0, 0, 0
	for seed := range uint64(3000) {
		w := newWorld(seed)
		steps, err := w.run(Next)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		longest = max(longest, steps)
		if w.isLost() {
			lost++
		} else {
			arrived++
		}
	}
	t.Logf("%d groups arrived, %d were lost; at most %d steps after the faults", arrived, lost, longest)
	if arrived < 1000 || lost < 100 {
		t.Errorf("%d groups arrived and %d were lost, want many of both", arrived, lost)
	}
}

// TestStepCheckerNotices runs rules that are wrong in one way each, under the
// error that they must lead to.
func TestStepCheckerNotices(t *testing.T) {
	for want, wrong := range map[string]func(Group, []NodeID) Step{
		"the replica is not ready": func(g Group, wanted []NodeID) Step {
			for i := range g.Replicas {
				g.Replicas[i].CaughtUp = true
			}
			return Next(g, wanted)
		},
		"the first of two newcomers is promoted alone": func(g Group, wanted []NodeID) Step {
			s := Next(g, wanted)
			for _, r := range g.Replicas {
				if s.Kind == StepWait && g.Leader != "" && !g.Busy && !r.Voter && r.ready() && len(g.voters()) == 1 {
					return Step{StepPromote, r.Node, r.ID}
				}
			}
			return s
		},
		"too few healthy voters are left": func(g Group, wanted []NodeID) Step {
			for i := range g.Replicas {
				g.Replicas[i].Healthy = true
			}
			return Next(g, wanted)
		},
		"the leader loses its vote": func(g Group, wanted []NodeID) Step {
			s := Next(g, wanted)
			if s.Kind == StepTransfer {
				return Step{StepRemove, find(g, g.Leader).Node, g.Leader}
			}
			return s
		},
		"two changes at once": func(g Group, wanted []NodeID) Step {
			g.Busy = false
			return Next(g, wanted)
		},
		"a group that cannot commit is changed": func(g Group, wanted []NodeID) Step {
			s := Next(g, wanted)
			if s.Kind == StepLost {
				return Step{StepRemove, g.Replicas[0].Node, g.Replicas[0].ID}
			}
			return s
		},
		"a group rests at two voters": func(g Group, wanted []NodeID) Step {
			if len(g.voters()) == 2 {
				return Step{Kind: StepWait}
			}
			return Next(g, wanted)
		},
		"rests at {": func(g Group, wanted []NodeID) Step {
			s := Next(g, wanted)
			if s.Kind == StepTransfer {
				return Step{Kind: StepWait}
			}
			return s
		},
	} {
		t.Run(strings.ReplaceAll(want, " ", "_"), func(t *testing.T) {
			var other error
			for seed := range uint64(3000) {
				_, err := newWorld(seed).run(wrong)
				if err != nil && strings.Contains(err.Error(), want) {
					return
				}
				other = cmp.Or(err, other)
			}
			t.Errorf("3000 groups passed, or failed otherwise: %v", other)
		})
	}
}

// world is one group of a cluster of some nodes with faults.
type world struct {
	rand   *rand.Rand
	nodes  []NodeID
	down   map[NodeID]bool
	group  Group
	wanted []NodeID
	next   int // number of the next replica
}

func newWorld(seed uint64) *world {
	w := &world{rand: rand.New(rand.NewPCG(seed, 1)), down: make(map[NodeID]bool)}
	w.nodes = parseNodes("abcdef"[:1+w.rand.IntN(6)])
	w.wish()
	w.add(w.wanted[0])
	w.group.Replicas[0].Voter = true
	w.group.Replicas[0].CaughtUp = true
	return w
}

// wish wants what Wanted may give: three nodes if there are so many.
func (w *world) wish() {
	w.rand.Shuffle(len(w.nodes), func(i, j int) { w.nodes[i], w.nodes[j] = w.nodes[j], w.nodes[i] })
	size := min(Copies, len(w.nodes))
	if w.rand.IntN(3) == 0 { // the cluster grows or shrinks
		size = 1 + w.rand.IntN(size)
	}
	w.wanted = slices.Clone(w.nodes[:size])
}

func (w *world) add(node NodeID) {
	w.next++
	w.group.Replicas = append(w.group.Replicas, Replica{ID: ReplicaID(fmt.Sprint(w.next)), Node: node, Healthy: !w.down[node]})
}

// run has a time with faults and one without, in which the steps must end. It
// gives the number of steps in the second.
func (w *world) run(next func(Group, []NodeID) Step) (int, error) {
	for range 60 {
		w.disturb()
		if _, err := w.advance(next); err != nil {
			return 0, err
		}
	}
	clear(w.down)
	steps := 0
	for range 100 {
		w.settle()
		s, err := w.advance(next)
		if err != nil {
			return steps, err
		}
		if s.Kind <= StepLost && !w.group.Busy {
			break
		}
		steps += truth(s.Kind > StepLost)
	}
	w.settle()
	if s := Next(w.group, w.wanted); s.Kind == StepLost != w.isLost() || s.Kind != StepLost && !w.isWanted() {
		return steps, fmt.Errorf("rests at %+v, %s, want %v", w.group, describe(s), w.wanted)
	}
	return steps, nil
}

// disturb changes what no step has changed.
func (w *world) disturb() {
	node := w.nodes[w.rand.IntN(len(w.nodes))]
	switch w.rand.IntN(12) {
	case 0, 1:
		w.down[node] = true
	case 2, 3, 4:
		w.down[node] = false
	case 5:
		w.wish()
	case 6:
		if w.rand.IntN(4) == 0 {
			w.loseDisk(node)
		}
	}
	for i := range w.group.Replicas {
		r := &w.group.Replicas[i]
		r.Healthy = !w.down[r.Node] && !r.DiskLost
		if !r.DiskLost && r.ID != w.group.Leader {
			r.CaughtUp = r.Healthy && (r.CaughtUp && w.rand.IntN(20) > 0 || w.rand.IntN(3) == 0)
		}
	}
	w.elect()
	w.group.Busy = w.group.Busy && w.rand.IntN(2) == 0
}

func (w *world) loseDisk(node NodeID) {
	for i, r := range w.group.Replicas {
		if r.Node == node {
			w.group.Replicas[i].DiskLost = true
			w.group.Replicas[i].Healthy = false
			w.group.Replicas[i].CaughtUp = false
		}
	}
}

// settle lets everything come up and catch up.
func (w *world) settle() {
	for i := range w.group.Replicas {
		r := &w.group.Replicas[i]
		r.Healthy = !r.DiskLost
		r.CaughtUp = !r.DiskLost
	}
	w.group.Busy = false
	w.elect()
}

// elect lets a healthy voter lead while a majority is healthy. Whoever leads has
// all that is committed.
func (w *world) elect() {
	healthy := func(r Replica) bool { return r.Healthy }
	voters := w.group.voters()
	if !majority(voters, healthy) {
		w.group.Leader = ""
		return
	}
	if slices.ContainsFunc(voters, func(r Replica) bool { return r.ID == w.group.Leader && r.Healthy }) {
		return
	}
	voters = slices.DeleteFunc(voters, func(r Replica) bool { return !r.Healthy })
	w.group.Leader = voters[w.rand.IntN(len(voters))].ID
	for i := range w.group.Replicas {
		if w.group.Replicas[i].ID == w.group.Leader {
			w.group.Replicas[i].CaughtUp = true
		}
	}
}

// advance asks for a step, checks it and does it.
func (w *world) advance(next func(Group, []NodeID) Step) (Step, error) {
	asked := w.group
	asked.Replicas = slices.Clone(w.group.Replicas)
	w.rand.Shuffle(len(asked.Replicas), func(i, j int) {
		asked.Replicas[i], asked.Replicas[j] = asked.Replicas[j], asked.Replicas[i]
	})
	s := next(asked, slices.Clone(w.wanted))
	if other := next(Group{slices.Clone(w.group.Replicas), w.group.Leader, w.group.Busy}, w.wanted); other != s {
		return s, fmt.Errorf("step %s in one order of the replicas, %s in another", describe(s), describe(other))
	}
	before := w.group
	before.Replicas = slices.Clone(w.group.Replicas)
	if err := w.do(s); err != nil {
		return s, fmt.Errorf("step %s of %+v to %v: %w", describe(s), before, w.wanted, err)
	}
	if err := checkStep(before, s, w.group, w.wanted); err != nil {
		return s, fmt.Errorf("step %s of %+v to %v: %w", describe(s), before, w.wanted, err)
	}
	return s, nil
}

func (w *world) do(s Step) error {
	at := slices.IndexFunc(w.group.Replicas, func(r Replica) bool { return r.ID == s.Replica && r.Node == s.Node })
	switch s.Kind {
	case StepNone, StepWait, StepLost:
		return nil
	case StepAddNonvoter:
		w.add(s.Node)
		w.group.Busy = true
		return nil
	default:
	}
	if at < 0 {
		return fmt.Errorf("there is no replica %q on %q", s.Replica, s.Node)
	}
	switch s.Kind {
	case StepPromote:
		w.group.Replicas[at].Voter = true
	case StepTransfer:
		w.group.Leader = s.Replica
	case StepDemote:
		w.group.Replicas[at].Voter = false
	default:
		w.group.Replicas = slices.Delete(slices.Clone(w.group.Replicas), at, at+1)
	}
	w.group.Busy = true
	return nil
}

// checkStep checks what Next promises, by what the group is before and after.
func checkStep(before Group, s Step, after Group, wanted []NodeID) error {
	healthy := func(r Replica) bool { return r.Healthy }
	voters, left := before.voters(), after.voters()
	canCommit := before.Leader != "" && majority(voters, healthy)
	if s.Kind <= StepLost {
		if canCommit && !before.Busy && len(voters) == 2 {
			return fmt.Errorf("a group rests at two voters")
		}
		return nil
	}
	target := find(before, s.Replica)
	twoNewcomers := 0
	for _, r := range before.Replicas {
		twoNewcomers += truth(!r.Voter && r.ready() && slices.Contains(wanted, r.Node))
	}
	switch {
	case before.Busy:
		return fmt.Errorf("two changes at once")
	case !canCommit:
		return fmt.Errorf("a group that cannot commit is changed")
	case !majority(left, healthy):
		return fmt.Errorf("too few healthy voters are left")
	case max(len(left)-len(voters), len(voters)-len(left)) > 1:
		return fmt.Errorf("voters change from %d to %d", len(voters), len(left))
	case !slices.ContainsFunc(left, func(r Replica) bool { return r.ID == after.Leader }):
		return fmt.Errorf("the leader loses its vote")
	case (s.Kind == StepPromote || s.Kind == StepTransfer) && !target.ready():
		return fmt.Errorf("the replica is not ready")
	case s.Kind == StepTransfer && !target.Voter:
		return fmt.Errorf("the new leader has no vote")
	case s.Kind == StepPromote && len(voters) == 1 && len(wanted) >= Copies && twoNewcomers < 2:
		return fmt.Errorf("the first of two newcomers is promoted alone")
	case s.Kind == StepPromote && (target.Voter || !slices.Contains(wanted, target.Node)):
		return fmt.Errorf("the replica has a vote or is not wanted")
	case s.Kind == StepAddNonvoter && !slices.Contains(wanted, s.Node):
		return fmt.Errorf("the node is not wanted")
	case len(left) == 2 && len(voters) == 3 && after.Leader != homeOf(after, wanted):
		return fmt.Errorf("a group comes down to two voters before its home leads")
	}
	return nil
}

func find(g Group, id ReplicaID) Replica {
	for _, r := range g.Replicas {
		if r.ID == id {
			return r
		}
	}
	return Replica{}
}

func homeOf(g Group, wanted []NodeID) ReplicaID {
	home, _ := g.of(wanted[0])
	return home.ID
}

// isLost says whether a majority of the voters has no disk.
func (w *world) isLost() bool {
	return !majority(w.group.voters(), func(r Replica) bool { return !r.DiskLost })
}

// isWanted compares with the wish in plain words: the replicas are on the wanted
// nodes, all vote if three are wanted, else the first, and that one leads.
func (w *world) isWanted() bool {
	var has, votes, want []string
	for _, r := range w.group.Replicas {
		has = append(has, string(r.Node))
		if r.Voter {
			votes = append(votes, string(r.Node))
		}
	}
	for _, node := range w.wanted {
		want = append(want, string(node))
	}
	wantVotes := slices.Clone(want)
	if len(want) < Copies {
		wantVotes = want[:1]
	}
	home := want[0]
	slices.Sort(has)
	slices.Sort(votes)
	want = slices.Sorted(slices.Values(want))
	wantVotes = slices.Sorted(slices.Values(wantVotes))
	return slices.Equal(has, want) && slices.Equal(votes, wantVotes) && string(find(w.group, w.group.Leader).Node) == home
}
