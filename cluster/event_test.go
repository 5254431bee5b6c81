package cluster

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// eventCount counts what all nodes of a mesh tell.
type eventCount struct {
	mu    sync.Mutex
	times map[string]int
}

func (c *eventCount) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = make(map[string]int)
	}
	c.times[fmt.Sprintf(format, args...)]++
}

// take gives what was told since the last call.
func (c *eventCount) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := c.times
	c.times = nil
	return times
}

func (c *eventCount) events() Events {
	outcome := func(err error) string {
		if err != nil {
			return "failed"
		}
		return "ok"
	}
	return Events{
		OwnershipChanged: func(_ placement.ShardID, ownership uint64) {
			if ownership > 0 {
				c.add("begun")
			} else {
				c.add("over")
			}
		},
		OwnershipEnded: func(_ placement.ShardID, cause OwnershipEnd) { c.add("ended %s", cause) },
		SnapshotSent: func(_ placement.ShardID, bytes int64, _ time.Duration, err error) {
			c.add("sent %t %s", bytes > 0, outcome(err))
		},
		SnapshotInstalled: func(_ placement.ShardID, bytes int64, _ time.Duration, err error) {
			c.add("installed %t %s", bytes > 0, outcome(err))
		},
		ShardStepped: func(_ placement.ShardID, step placement.StepKind, err error) { c.add("step %s %s", step, outcome(err)) },
	}
}

// TestEventsOfMoves: newcomers get snapshots, the steps to there are told, and each
// end of an ownership with its cause.
func TestEventsOfMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, count := newMesh(t), &eventCount{}
		m.snapshotEntries, m.events = 100, count.events()
		defer m.close()
		a := m.run("a", Network{})
		for shard := range placement.ShardID(m.shards) {
			for i := range 500 {
				if err := a.write(shard, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := count.take()["begun"]; got != m.shards {
			t.Errorf("%d ownerships of one node, want %d", got, m.shards)
		}
		m.run("b", m.join())
		m.run("c", m.join())
		m.eventually("three nodes", time.Minute, func() error { return m.settled("a", "b", "c") })
		time.Sleep(10 * time.Second)
		got := count.take()
		for what, want := range map[string]int{"sent true ok": 2 * m.shards, "installed true ok": 2 * m.shards, "step add_nonvoter ok": 2 * m.shards, "step promote ok": 2 * m.shards} {
			if got[what] < want {
				t.Errorf("%q was told %d times, want %d at least; all: %v", what, got[what], want, got)
			}
		}
		if moved := got["step transfer ok"]; moved == 0 || got["ended handed_over"] < moved || got["begun"] != got["over"] {
			t.Errorf("after the moves: %v, want ownerships handed over", got)
		}

		if err := m.nodes["b"].Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := count.take(); got["ended handed_over"] == 0 || got["ended handed_over"] != got["over"] {
			t.Errorf("a drain: %v, want nothing but ownerships handed over", got)
		}
		for _, other := range []string{"b", "c"} {
			m.links.cut("a", other, true)
			m.links.cut(other, "a", true)
		}
		time.Sleep(10 * time.Second)
		if got := count.take(); got["ended leadership_lost"] == 0 || got["ended leadership_lost"] != got["over"] {
			t.Errorf("a node that is cut off: %v, want leaderships lost", got)
		}
		a.halt()
		m.nodes["b"].halt()
		m.nodes["c"].halt()
		if got := count.take(); got["over"] != got["ended closed"]+got["ended leadership_lost"] {
			t.Errorf("the end: %v, want a cause of each", got)
		}
	})
}

// TestStatusOfReplication: an owner knows which of its shards have less than they
// should, and the control leader which have no owner.
func TestStatusOfReplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.shards = 8
		defer m.close()
		a := m.run("a", Network{})
		names := []string{"a", "b", "c", "d", "e"}
		for _, name := range names[1:] {
			m.run(name, m.join())
		}
		m.eventually("five nodes", 2*time.Minute, func() error { return m.settled(names...) })
		m.eventually("homes", time.Minute, func() error { return m.reduced(0) })

		table := a.Node.control.table()
		gone := table.Shards[0].Wanted[:2] // a majority of at least one shard
		lost, reduced := 0, 0
		for _, shard := range table.Shards {
			hit := 0
			for _, name := range gone {
				hit += truth(slices.Contains(shard.Wanted, name))
			}
			lost += truth(hit == 2)
			reduced += truth(hit == 1)
		}
		for _, name := range gone {
			m.nodes[name].halt()
		}
		m.eventually("shards are reduced", time.Minute, func() error { return m.reduced(reduced) })
		m.eventually("shards have no owner", time.Minute, func() error {
			var told []string
			for _, n := range m.up() {
				s := n.Status()
				if s.LeadsControl != s.Moves.Leading || s.LeadsControl != (s.ControlLeader == n.name) {
					return fmt.Errorf("%s: LeadsControl %t, Leading %t, leader %s", n.name, s.LeadsControl, s.Moves.Leading, s.ControlLeader)
				}
				if s.LeadsControl {
					told = append(told, fmt.Sprint(s.Moves.Ownerless))
				}
			}
			if got := strings.Join(told, " "); got != fmt.Sprint(lost) {
				return fmt.Errorf("control leaders say %q, want %d", got, lost)
			}
			return nil
		})
	})
}

// reduced says whether so many owned shards have fewer replicas than they should,
// and none lags.
func (m *mesh) reduced(want int) error {
	got := 0
	for _, n := range m.up() {
		for _, s := range n.Status().Shards {
			if s.Ownership == 0 && s.Wanted+s.Healthy > 0 || s.Lag > 0 {
				return fmt.Errorf("%s: %+v", n.name, s)
			}
			got += truth(s.Healthy < s.Wanted)
		}
	}
	if got != want {
		return fmt.Errorf("%d shards are reduced, want %d", got, want)
	}
	return nil
}
