package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// TestGrowAndShrink takes a cluster from one node to three, to five and back to
// three while all shards are written to: no write fails or is lost, and whoever
// left has nothing any more.
func TestGrowAndShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.shards = 8
		defer m.close()
		a := m.run("a", Network{})
		seed := Network{Join: []string{a.address()}}
		load := m.traffic(a)
		time.Sleep(time.Second)

		for _, name := range []string{"b", "c"} {
			load.add(m.run(name, seed))
		}
		m.eventually("three nodes", time.Minute, func() error { return m.settled("a", "b", "c") })
		for _, name := range []string{"d", "e"} {
			load.add(m.run(name, seed))
		}
		m.eventually("five nodes", 2*time.Minute, func() error { return m.settled("a", "b", "c", "d", "e") })
		time.Sleep(5 * time.Second)

		for _, name := range []string{"a", "d"} { // the founder, too
			if err := m.nodes["c"].Decommission(t.Context(), placement.NodeID(name), false); err != nil {
				t.Fatalf("Decommission(%s): %v", name, err)
			}
		}
		m.eventually("three nodes again", 2*time.Minute, func() error { return m.holds("b", "c", "e") })
		for _, name := range []string{"a", "d"} {
			load.remove(m.nodes[name])
		}
		time.Sleep(5 * time.Second)
		load.end(false)
		for _, name := range []string{"a", "d"} {
			m.nodes[name].halt()
		}
		m.eventually("the rest is whole", time.Minute, func() error { return m.settled("b", "c", "e") })
		if err := m.nodes["b"].Decommission(t.Context(), "c", false); err == nil {
			t.Error("Decommission of one of three without force = nil, want an error")
		}
	})
}

// TestMoveFindsFault throws replicas away before their groups have let them go,
// which the checks of TestGrowAndShrink must notice. Which replicas move where is
// up to the nodes' directories, so one run may be lucky.
func TestMoveFindsFault(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for range 10 {
		if dropAtOnce(t) {
			return
		}
	}
	t.Error("replicas thrown away at once harm nothing in 10 runs: the test finds nothing")
}

// dropAtOnce says whether the fault did harm.
func dropAtOnce(t *testing.T) (harm bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.faults = faults{dropAtOnce: true}
		defer m.close()
		m.run("a", Network{})
		for _, name := range []string{"b", "c", "d", "e"} {
			m.run(name, m.join())
		}
		time.Sleep(2 * time.Minute)
		harm = m.holds("a", "b", "c", "d", "e") != nil
	})
	return harm
}
