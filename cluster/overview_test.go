package cluster

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// TestOverview looks at a cluster through each of its nodes while all is well, with a
// node that is frozen, with one that is dead, and while one leaves.
func TestOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.run("a", Network{Zone: "z1"})
		for _, name := range []string{"b", "c", "d"} {
			m.run(name, Network{Join: []string{a.address()}})
		}
		m.eventually("four nodes", time.Minute, func() error { return m.settled("a", "b", "c", "d") })
		for _, n := range m.up() {
			m.eventually("overview of "+n.name, 20*time.Second, func() error { return wellOverview(n.Overview(t.Context()), 4) })
		}

		// d is not heard of any more, but gossip has not noticed yet.
		cut := func(is bool) {
			for _, other := range []string{"a", "b", "c"} {
				m.links.cut("d", other, is)
				m.links.cut(other, "d", is)
			}
		}
		cut(true)
		began := time.Now()
		o := a.Overview(t.Context())
		if took := time.Since(began); took > viewTimeout+100*time.Millisecond {
			t.Errorf("Overview took %v with a silent node, want %v at most", took, viewTimeout)
		}
		if d := o.Nodes[3]; d.Name != "d" || !d.Alive || d.Answered || d.Owned != nil || d.Draining != nil {
			t.Errorf("a silent node: %+v, want alive, not answered, and nothing more known", d)
		}
		cut(false)
		m.eventually("overview of all again", 20*time.Second, func() error { return wellOverview(a.Overview(t.Context()), 4) })

		if err := a.Decommission(t.Context(), "b", false); err != nil {
			t.Fatalf("Decommission: %v", err)
		}
		m.eventually("b has left", time.Minute, func() error {
			for _, node := range a.Overview(t.Context()).Nodes {
				if node.Name == "b" && (node.State != "left" || node.Replicas > 0) {
					return fmt.Errorf("b is %s with %d replicas", node.State, node.Replicas)
				}
			}
			return nil
		})
		m.eventually("overview of three", 20*time.Second, func() error { return wellOverview(a.Overview(t.Context()), 3) })
		if refused, ok := errors.AsType[*DecommissionError](a.Decommission(t.Context(), "nobody", false)); !ok || refused.Node != "nobody" {
			t.Errorf("Decommission of a node that there is not = %v, want a DecommissionError", refused)
		}
		m.nodes["c"].halt()
		m.nodes["d"].halt()
		m.eventually("no majority", 5*time.Second, func() error {
			if o := a.Overview(t.Context()); o.State != ConditionNoMajority || !o.State.Degraded() {
				return fmt.Errorf("state %s", o.State)
			}
			return nil
		})
	})
}

// wellOverview says what is not as it should be in a cluster in which nothing moves.
func wellOverview(o Overview, nodes int) error {
	if o.State != ConditionOK {
		return fmt.Errorf("state %s: %+v", o.State, o.Shards)
	}
	owned, replicas, leaders := 0, 0, 0
	for _, n := range o.Nodes {
		if !n.Alive || !n.Answered || n.State != "in" || n.Start != 1 || n.Address != string(n.Name) || *n.Draining || *n.StorageFull {
			return fmt.Errorf("node %+v", n)
		}
		owned += *n.Owned
		replicas += n.Replicas
		leaders += truth(*n.LeadsControl)
		if *n.Owned != n.Homes {
			return fmt.Errorf("node %s owns %d, home of %d", n.Name, *n.Owned, n.Homes)
		}
	}
	if len(o.Nodes) != nodes || owned != len(o.Shards) || replicas != placement.Copies*len(o.Shards) || leaders != 1 {
		return fmt.Errorf("%d nodes, %d owned, %d replicas, %d control leaders", len(o.Nodes), owned, replicas, leaders)
	}
	for _, s := range o.Shards {
		if s.Owner != s.Wanted[0] || s.Ownership == 0 || s.Term == 0 || s.Step != nil || len(s.Replicas) != placement.Copies {
			return fmt.Errorf("shard %+v", s)
		}
		for _, r := range s.Replicas {
			if r.Role != RoleVoter || r.Healthy == nil || !*r.Healthy || r.Applied == nil || r.Lag == nil || *r.Lag > 1 || r.Stopped != "" {
				return fmt.Errorf("shard %d: replica %+v", s.Shard, r)
			}
		}
	}
	return nil
}
