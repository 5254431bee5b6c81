package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// three starts a cluster of three nodes that expect each other.
func (m *mesh) three() {
	m.t.Helper()
	a := m.begin("a", Network{BootstrapExpect: 3})
	for _, name := range []string{"b", "c"} {
		m.begin(name, Network{BootstrapExpect: 3, Join: []string{a.address()}})
	}
	for _, n := range m.nodes {
		if err := n.wait(); err != nil {
			m.t.Fatal(err)
		}
	}
	m.eventually("three replicas of all", time.Minute, func() error { return m.settled("a", "b", "c") })
}

// join gives a network that joins all nodes that run.
func (m *mesh) join() Network {
	var network Network
	for _, n := range m.up() {
		network.Join = append(network.Join, n.address())
	}
	return network
}

// TestLostDisk empties the disk of one node after the other: each joins as new
// and gets all of its replicas again, under load.
func TestLostDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		m.three()
		load := m.traffic(m.up()...)
		time.Sleep(time.Second)
		for _, name := range []string{"a", "b", "c"} {
			n := m.nodes[name]
			load.remove(n)
			n.halt()
			n.loseDisk()
			time.Sleep(10 * time.Second)
			network := m.join()
			network.BootstrapExpect = 3
			m.run(name, network)
			load.add(n)
			m.eventually(name+" has its replicas again", 2*time.Minute, func() error { return m.settled("a", "b", "c") })
		}
		load.end(true)
	})
}

// TestLostMajority empties two of three disks: the shards are reported as lost
// and nobody makes new ones in their place.
func TestLostMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.run("a", Network{})
		m.run("b", m.join())
		m.eventually("two nodes", time.Minute, func() error { return m.settled("a", "b") })
		m.eventually("all are at home", time.Minute, m.atHome)
		// With two nodes b is home of some shards, and so their only voter.
		var homes []placement.ShardID
		for shard := range placement.ShardID(m.shards) {
			if a.Node.control.table().Shards[shard].Wanted[0] == "b" {
				homes = append(homes, shard)
			}
		}
		if len(homes) == 0 || len(homes) == m.shards {
			t.Fatalf("b is home of %d of %d shards", len(homes), m.shards)
		}
		b := m.nodes["b"]
		b.halt()
		b.loseDisk()
		time.Sleep(10 * time.Second)
		m.run("b", m.join())
		m.eventually("lost shards are reported", time.Minute, func() error {
			for _, shard := range homes {
				found := false
				for _, move := range a.Status().Moves.Steps {
					found = found || move.Shard == shard && move.Step == placement.StepLost
				}
				if !found {
					return fmt.Errorf("shard %d of %v is not reported as lost: %+v", shard, homes, a.Status().Moves)
				}
			}
			return nil
		})
		time.Sleep(time.Minute)
		for _, shard := range homes {
			if _, err := m.reportOf(shard); err == nil {
				t.Errorf("lost shard %d has an owner", shard)
			}
		}
		for shard := range placement.ShardID(m.shards) {
			if a.Node.control.table().Shards[shard].Wanted[0] == "a" {
				if err := m.put(shard, "still"); err != nil {
					t.Errorf("shard %d of a: %v", shard, err)
				}
			}
		}
	})
}

// TestGracePeriod keeps a node away: for less than the grace period nothing
// moves; after it others take its replicas; and when it is back it gets some again.
func TestGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.grace = time.Minute
		defer m.close()
		m.three()
		m.run("d", m.join())
		all := []string{"a", "b", "c", "d"}
		m.eventually("four nodes", time.Minute, func() error { return m.settled(all...) })
		load := m.traffic(m.up()...)
		gone := m.nodes["b"]
		load.remove(gone)
		gone.halt()
		time.Sleep(40 * time.Second)
		for shard := range placement.ShardID(m.shards) {
			for _, n := range m.up() {
				wanted := n.Node.control.table().Shards[shard]
				if state := n.Node.control.table().Nodes["b"].State; state != nodeIn {
					t.Fatalf("after 40 s of a minute shard %d is wanted at %v, b is %q", shard, wanted, state)
				}
			}
		}
		m.eventually("b is replaced", 2*time.Minute, func() error { return m.holds("a", "c", "d") })
		m.run("b", m.join())
		load.add(gone)
		m.eventually("b holds shards again", 5*time.Minute, func() error {
			if err := m.settled(all...); err != nil {
				return err
			}
			for i := range gone.groups {
				if gone.groups[i].Load() != nil {
					return nil
				}
			}
			return errors.New("b holds nothing")
		})
		load.end(true)
	})
}

// TestDecommissioned looks at a node after it has left: it does not start again
// with its old directory, and joins with an empty one.
func TestDecommissioned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		m.three()
		d := m.run("d", m.join())
		m.eventually("four nodes", time.Minute, func() error { return m.settled("a", "b", "c", "d") })
		if err := d.Decommission(t.Context(), "d", false); err != nil {
			t.Fatal(err)
		}
		m.eventually("d has nothing", 2*time.Minute, func() error { return m.holds("a", "b", "c") })
		m.eventually("d is forgotten", time.Minute, func() error {
			if n := len(m.nodes["a"].Node.control.table().Nodes); n != 3 {
				return fmt.Errorf("the table has %d nodes", n)
			}
			return nil
		})
		d.halt()
		time.Sleep(time.Minute)
		d = m.begin("d", m.join())
		if err := d.wait(); !errors.Is(err, ErrDecommissioned) {
			t.Fatalf("start of a decommissioned node = %v, want ErrDecommissioned", err)
		}
		d.loseDisk()
		m.run("d", m.join())
		m.eventually("d is back", time.Minute, func() error { return m.settled("a", "b", "c", "d") })
	})
}

// TestPromiseLost takes the disk of a node to which others have promised.
func TestPromiseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		a := m.begin("a", Network{BootstrapExpect: 3, Join: []string{"10.0.0.2:7946", "10.0.0.3:7946"}})
		b := m.begin("b", Network{BootstrapExpect: 3, Join: []string{a.address()}})
		m.links.cut("a", "c", true) // the third promise does not come
		m.links.cut("c", "a", true)
		c := m.begin("c", Network{BootstrapExpect: 3, Join: []string{a.address()}})
		time.Sleep(30 * time.Second)
		a.halt()
		a.loseDisk()
		m.links.cut("a", "c", false)
		m.links.cut("c", "a", false)
		time.Sleep(30 * time.Second)
		a = m.begin("a", Network{BootstrapExpect: 3, Join: []string{b.address(), c.address()}})
		err := b.wait()
		if !errors.Is(err, ErrPromiseLost) || !strings.Contains(err.Error(), testDir+"/"+promiseFile) {
			t.Fatalf("start of b = %v, want ErrPromiseLost with the file to delete", err)
		}
		if err := b.fs.Remove(testDir + "/" + promiseFile); err != nil {
			t.Fatal(err)
		}
		m.begin("b", Network{BootstrapExpect: 3, Join: []string{a.address(), c.address()}})
		for _, n := range m.nodes {
			if err := n.wait(); err != nil {
				t.Fatalf("start %s: %v", n.name, err)
			}
		}
		m.eventually("three nodes", time.Minute, func() error { return m.settled("a", "b", "c") })
	})
}

// atHome checks that every shard is owned by its home.
func (m *mesh) atHome() error {
	for shard := range placement.ShardID(m.shards) {
		r, err := m.reportOf(shard)
		if err != nil {
			return err
		}
		leader, err := parseReplicaID(r.Leader)
		if err != nil {
			return err
		}
		if home := m.up()[0].Node.control.table().Shards[shard].Wanted[0]; leader.node != home {
			return fmt.Errorf("shard %d is owned by %s, its home is %s", shard, leader.node, home)
		}
	}
	return nil
}

// TestLostState takes a node's state database away, but not its log, which has
// been cut: its replicas are replaced by new ones on the same disk.
func TestLostState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.snapshotEntries = 20
		defer m.close()
		m.three()
		load := m.traffic(m.up()...)
		time.Sleep(20 * time.Second)
		b := m.nodes["b"]
		load.remove(b)
		b.halt()
		if err := b.fs.RemoveAll(testDir + "/" + stateDir); err != nil {
			t.Fatal(err)
		}
		before := m.nodes["a"].Node.control.table()
		m.run("b", m.join())
		load.add(b)
		m.eventually("b has new replicas", 2*time.Minute, func() error {
			for i := range b.groups {
				if g := b.groups[i].Load(); g == nil || g.failed() != nil {
					return fmt.Errorf("b has no replica of shard %d", i)
				}
			}
			return m.settled("a", "b", "c")
		})
		load.end(true)
		now := m.nodes["a"].Node.control.table()
		if now.Nodes["b"] != before.Nodes["b"] {
			t.Errorf("b is %+v in the table, was %+v", now.Nodes["b"], before.Nodes["b"])
		}
		for shard := range now.Shards {
			was, _ := before.Shards[shard].of("b", before.Nodes["b"].DirectoryID)
			is, _ := now.Shards[shard].of("b", now.Nodes["b"].DirectoryID)
			if was.Number == is.Number {
				t.Errorf("shard %d still has replica %d on b", shard, is.Number)
			}
		}
	})
}

// TestDrainedNodeGetsNothingBack: neither when it has left the gossip, while its
// replicas still answer, nor from an owner that has not heard that it drains.
func TestDrainedNodeGetsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		m.three()
		time.Sleep(time.Second)
		n := m.nodes["b"]
		if err := n.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		for shard := range placement.ShardID(m.shards) {
			for _, other := range []string{"a", "c"} {
				owner := m.nodes[other]
				if _, err := owner.Ownership(shard); err != nil {
					continue
				}
				if err := owner.group(shard).handOverTo(t.Context(), "b"); err == nil {
					t.Errorf("%s could hand shard %d over to b, which drains", other, shard)
				}
			}
		}
		n.Leave()
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			for shard := range placement.ShardID(m.shards) {
				if _, err := n.Ownership(shard); err == nil {
					t.Fatalf("b has got shard %d back", shard)
				}
			}
		}
		m.eventually("all shards have owners", 5*time.Second, func() error {
			for shard := range placement.ShardID(m.shards) {
				_, a := m.nodes["a"].Ownership(shard)
				_, c := m.nodes["c"].Ownership(shard)
				if a != nil && c != nil {
					return fmt.Errorf("shard %d has none", shard)
				}
			}
			return nil
		})
	})
}

// TestDrain stops every node of a cluster in turn after it has handed over: no
// write fails and none has an unknown outcome.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.close()
		m.three()
		load := m.traffic(m.up()...)
		time.Sleep(time.Second)
		for _, name := range []string{"a", "b", "c"} {
			n := m.nodes[name]
			if err := n.Drain(t.Context()); err != nil {
				t.Errorf("Drain of %s = %v", name, err)
			}
			time.Sleep(20 * time.Second)
			for shard := range placement.ShardID(m.shards) {
				if _, err := n.Ownership(shard); err == nil {
					t.Errorf("%s has got shard %d back", name, shard)
				}
			}
			load.remove(n)
			n.halt()
			time.Sleep(5 * time.Second)
			m.run(name, m.join())
			load.add(n)
			m.eventually(name+" is back", time.Minute, func() error { return m.settled("a", "b", "c") })
		}
		load.end(false)
	})
}
