package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// part cuts a node off from all others, gossip included, or in one direction only.
func (m *mesh) part(name string, is, oneWay bool) {
	for _, other := range m.up() {
		if other.name == name {
			continue
		}
		m.links.cut(name, other.name, is)
		if oneWay && is {
			continue // it is heard by nobody, and hears
		}
		m.links.cut(other.name, name, is)
		m.gossip.cut(m.nodes[name].end, other.end, is)
	}
}

// TestMovesThroughFaults grows and shrinks a cluster under load while one node
// after the other, the control leader among them, is cut off or crashes: it gets
// there, with all that was acknowledged.
func TestMovesThroughFaults(t *testing.T) {
	for seed := range fewer(6) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			m := newMesh(t)
			defer m.close()
			m.three()
			load := m.traffic(m.up()...)
			fault := func() {
				t.Helper()
				names := []string{"a", "b", "c"}
				name := names[random.IntN(len(names))]
				if leader, _ := m.nodes["a"].Node.control.leader(); leader != "" && random.IntN(2) == 0 {
					name = leader
				}
				time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
				m.part(name, true, random.IntN(2) == 0)
				time.Sleep(time.Duration(random.IntN(8000)) * time.Millisecond)
				m.part(name, false, false)
			}
			for _, name := range []string{"d", "e"} {
				load.add(m.run(name, m.join()))
				fault()
				fault()
			}
			m.eventually(fmt.Sprint("seed ", seed, ": five nodes"), 3*time.Minute, func() error { return m.settled("a", "b", "c", "d", "e") })
			for _, name := range []string{"a", "e"} {
				if err := m.nodes["c"].Decommission(t.Context(), placement.NodeID(name), false); err != nil {
					t.Fatalf("seed %d: decommission %s: %v", seed, name, err)
				}
				fault()
			}
			m.eventually(fmt.Sprint("seed ", seed, ": three nodes"), 3*time.Minute, func() error { return m.holds("b", "c", "d") })
			load.end(true)
		})
	}
}
