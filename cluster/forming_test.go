package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// TestFormThree starts three nodes that expect each other: one cluster comes of
// it, with a control group of three and three replicas of every shard.
func TestFormThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.begin("a", Network{BootstrapExpect: 3})
		for _, name := range []string{"b", "c"} {
			m.begin(name, Network{BootstrapExpect: 3, Join: []string{a.address()}})
		}
		for _, name := range []string{"a", "b", "c"} {
			if err := m.nodes[name].wait(); err != nil {
				t.Fatalf("start %s: %v", name, err)
			}
		}
		m.eventually("three replicas of all", time.Minute, func() error { return m.settled("a", "b", "c") })
		for shard := range placement.ShardID(m.shards) {
			if err := m.put(shard, fmt.Sprint("first ", shard)); err != nil {
				t.Error(err)
			}
		}
		for _, n := range m.up() {
			if n.ClusterID() != a.ClusterID() {
				t.Errorf("%s is in cluster %s, a in %s", n.name, n.ClusterID(), a.ClusterID())
			}
		}
	})
}

// TestJoinNeverForms leaves a node with --join alone: it waits, and joins the
// cluster that comes up at the seed's address at last.
func TestJoinNeverForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		b := m.begin("b", Network{Join: []string{"10.0.0.2:7946"}})
		time.Sleep(time.Hour)
		select {
		case err := <-b.opened:
			t.Fatalf("a node that may only join has started: %v", err)
		default:
		}
		a := m.run("a", Network{})
		if a.address() != "10.0.0.2:7946" {
			t.Fatalf("a is at %s", a.address())
		}
		if err := b.wait(); err != nil {
			t.Fatal(err)
		}
		if a.ClusterID() != b.ClusterID() {
			t.Errorf("b is in cluster %s, a in %s", b.ClusterID(), a.ClusterID())
		}
		m.eventually("two replicas", time.Minute, func() error { return m.settled("a", "b") })
	})
}

// TestRestarts starts nodes of a cluster again, one by one, under load:
// none forms another cluster, none is missed for long.
func TestRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.begin("a", Network{BootstrapExpect: 3})
		seeds := []string{a.address(), "10.0.0.2:7946", "10.0.0.3:7946"}
		for _, name := range []string{"b", "c"} {
			m.begin(name, Network{BootstrapExpect: 3, Join: seeds})
		}
		for _, n := range m.nodes {
			if err := n.wait(); err != nil {
				t.Fatal(err)
			}
		}
		m.eventually("three replicas of all", time.Minute, func() error { return m.settled("a", "b", "c") })
		id := a.ClusterID()
		load := m.traffic(m.up()...)
		time.Sleep(time.Second)
		for _, name := range []string{"b", "a", "c"} {
			n := m.nodes[name]
			load.remove(n)
			n.halt()
			time.Sleep(5 * time.Second)
			network := Network{BootstrapExpect: 3}
			for _, other := range m.up() {
				network.Join = append(network.Join, other.address())
			}
			m.run(name, network)
			load.add(n)
			if n.ClusterID() != id {
				t.Fatalf("%s is in cluster %s after a restart, want %s", name, n.ClusterID(), id)
			}
			m.eventually(name+" is back", time.Minute, func() error { return m.settled("a", "b", "c") })
		}
		load.end(true)

		for _, n := range m.nodes { // all at once
			n.halt()
		}
		time.Sleep(time.Minute)
		network := Network{BootstrapExpect: 3}
		for _, name := range []string{"a", "b", "c"} {
			n := m.begin(name, network)
			network.Join = append(network.Join, n.address())
		}
		for _, n := range m.nodes {
			if err := n.wait(); err != nil {
				t.Fatal(err)
			}
		}
		m.eventually("all are back", time.Minute, func() error { return m.settled("a", "b", "c") })
		for shard := range placement.ShardID(m.shards) {
			if err := m.sameState(shard, load.acked[shard], load.unknown); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestFormRaces starts more nodes than are expected, at odd moments, with gossip
// cut in odd ways while they form: one cluster comes of it, whoever formed it.
func TestFormRaces(t *testing.T) {
	for seed := range fewer(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			m := newMesh(t)
			m.shards = 1
			defer m.close()
			names := []string{"a", "b", "c", "d", "e"}
			random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			var join []string
			for i := range names {
				join = append(join, fmt.Sprintf("10.0.0.%d:7946", i+1))
			}
			for _, name := range names {
				m.begin(name, Network{BootstrapExpect: 3, Join: join})
				time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
				one, other := m.nodes[names[0]], m.nodes[name]
				if random.IntN(2) == 0 {
					m.gossip.cut(one.end, other.end, true)
					time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
					m.gossip.cut(one.end, other.end, false)
				}
				if random.IntN(3) == 0 {
					m.links.cut(names[0], name, true)
					time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
					m.links.cut(names[0], name, false)
				}
			}
			ids := map[string]bool{}
			for _, n := range m.nodes {
				if err := n.wait(); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				ids[n.ClusterID()] = true
			}
			if len(ids) != 1 {
				t.Fatalf("seed %d: %d clusters came of it", seed, len(ids))
			}
			m.eventually("the control group is whole", time.Minute, func() error { return m.controlSettled("a", "b", "c", "d", "e") })
		})
	}
}

// TestFormTwoCandidates lets a second candidate stand while the first is asking
// for promises: one cluster comes of it. If a node promises everybody who asks,
// two do.
func TestFormTwoCandidates(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	if ids := formTwice(t, faults{}); len(ids) != 1 {
		t.Errorf("%d clusters came of it, want 1", len(ids))
	}
	if ids := formTwice(t, faults{promiseAll: true}); len(ids) != 2 {
		t.Errorf("%d clusters came of promises to everybody, want 2: the test finds nothing", len(ids))
	}
}

// formTwice gives the clusters that four nodes are in at last, of which b stands
// first and a, which comes before it, while b waits for answers.
func formTwice(t *testing.T, f faults) map[string]bool {
	t.Helper()
	ids := make(map[string]bool)
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.faults = f
		m.shards = 1
		defer m.close()
		join := []string{"10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946"}
		m.begin("c", Network{BootstrapExpect: 3})
		m.begin("d", Network{BootstrapExpect: 3, Join: join[:1]})
		time.Sleep(time.Second)
		m.links.setDelay(func(string, string) time.Duration { return 500 * time.Millisecond })
		m.begin("b", Network{BootstrapExpect: 3, Join: join[:2]})
		time.Sleep(300 * time.Millisecond)
		m.begin("a", Network{BootstrapExpect: 3, Join: join})
		time.Sleep(5 * time.Second)
		m.links.setDelay(func(string, string) time.Duration { return time.Millisecond })
		time.Sleep(5 * time.Minute)
		for _, n := range m.nodes {
			select {
			case err := <-n.opened:
				if err != nil {
					t.Errorf("start %s: %v", n.name, err)
				} else {
					ids[n.ClusterID()] = true
				}
			default: // it still waits for the one that it has promised
			}
		}
	})
	return ids
}

// TestTwoClustersDoNotMix points a node of one cluster at another cluster.
func TestTwoClustersDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a, x := m.run("a", Network{}), m.run("x", Network{})
		b := m.run("b", Network{Join: []string{a.address()}})
		y := m.run("y", Network{Join: []string{x.address()}})
		if a.ClusterID() == x.ClusterID() || a.ClusterID() != b.ClusterID() || x.ClusterID() != y.ClusterID() {
			t.Fatalf("clusters of a, b, x, y are %s, %s, %s, %s", a.ClusterID(), b.ClusterID(), x.ClusterID(), y.ClusterID())
		}
		b.halt()
		m.run("b", Network{Join: []string{x.address(), a.address()}})
		time.Sleep(time.Minute)
		for _, pair := range [][2]*meshNode{{a, x}, {b, x}, {x, a}, {y, b}} {
			table := pair[0].Node.control.table()
			if _, ok := table.Nodes[pair[1].name]; ok {
				t.Errorf("the cluster of %s has %s", pair[0].name, pair[1].name)
			}
			if pair[0].Node.peers.members.living(pair[1].dir.id) {
				t.Errorf("%s sees %s of the other cluster", pair[0].name, pair[1].name)
			}
		}
		if b.ClusterID() != a.ClusterID() {
			t.Errorf("b is in cluster %s, want %s", b.ClusterID(), a.ClusterID())
		}
	})
}
