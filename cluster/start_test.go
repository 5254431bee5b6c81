package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestStartOfMember(t *testing.T) {
	began := time.Unix(1000, 0)
	id := nodeDirectory{"b", directoryID{1}}
	member := func(start uint64, alive bool, directory byte, since time.Duration) Member {
		return Member{Node: "b", Start: start, Alive: alive, directory: directoryID{directory}, since: began.Add(since)}
	}
	for _, test := range []struct {
		name  string
		known []Member
		after time.Duration // since this node began to gossip
		want  bool
	}{
		{"alive", []Member{member(7, true, 1, 0)}, time.Hour, false},
		{"a later start", []Member{member(8, true, 1, 0)}, 0, true},
		{"a later start that is dead", []Member{member(8, false, 1, 0)}, 0, true},
		{"an earlier start", []Member{member(6, true, 1, 0)}, startSilence - 1, false},
		{"dead for a moment", []Member{member(7, false, 1, time.Minute)}, time.Minute + startSilence - 1, false},
		{"dead for long", []Member{member(7, false, 1, time.Minute)}, time.Minute + startSilence, true},
		{"not met yet", nil, startSilence - 1, false},
		{"not met for long", nil, startSilence, true},
		{"another directory of the name", []Member{member(8, true, 2, 0)}, startSilence - 1, false},
	} {
		m := &members{began: began, known: make(map[string]Member)}
		for _, member := range test.known {
			m.known[gossipName(member.Node, member.Start)] = member
		}
		if got := m.startOver(id, 7, began.Add(test.after)); got != test.want {
			t.Errorf("%s: startOver = %v, want %v", test.name, got, test.want)
		}
	}
}

func TestStartOverInACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.run("a", Network{})
		seed := Network{Join: []string{a.address()}}
		b := m.run("b", seed)
		first := b.StartID()
		if a.StartID() == first || first>>63 != 0 {
			t.Fatalf("StartID = %#x and %#x, want two numbers of 63 bits", a.StartID(), first)
		}
		over := func(id uint64, want bool, when string) {
			t.Helper()
			if got := a.StartOver(id); got != want {
				t.Errorf("%s: StartOver(%#x) = %v, want %v", when, id, got, want)
			}
		}
		over(first, false, "while it runs")
		over(a.StartID(), false, "its own")
		over(a.StartID()-1, true, "its own earlier one")
		over(a.Node.control.table().NextReplica<<startBits|1, false, "of a node that is not in the table yet")
		over(1<<1, true, "of a replica number that no node has")

		b.halt()
		time.Sleep(10 * time.Second)
		over(first, false, "dead for 10 s")
		b = m.run("b", seed)
		time.Sleep(5 * time.Second)
		over(first, true, "after its next start")
		over(b.StartID(), false, "the next start")
		second := b.StartID()
		b.halt()
		time.Sleep(startSilence + 20*time.Second)
		over(second, true, "dead for long")
	})
}
