package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestLateSteps: an owner makes a step only under the ownership, for the
// configuration and at the look for which it was chosen.
func TestLateSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		at, _ := q.owner(-1)
		g, ctx := q.nodes[at].group.Load(), context.Background()
		other := q.nodes[(at+1)%3].id.serverID()
		report := func(l look) replicaChange {
			t.Helper()
			r, ok := g.report(ctx, l)
			if !ok || r.Busy {
				t.Fatalf("report at look %v = %+v, %v", l, r, ok)
			}
			return replicaChange{Kind: stepDemote, Replica: other, Ownership: r.Ownership, Configuration: r.Configuration, Look: l}
		}
		first := report(look{Term: 3, Number: 1})
		second := report(look{Term: 3, Number: 2})
		if err := g.change(ctx, first); !errors.Is(err, errOldLook) {
			t.Errorf("change of the look before = %v, want errOldLook", err)
		}
		third := report(look{Term: 4, Number: 1})
		if err := g.change(ctx, second); !errors.Is(err, errOldLook) {
			t.Errorf("change of the control leader before = %v, want errOldLook", err)
		}
		if _, ok := g.report(ctx, look{Term: 3, Number: 9}); ok {
			t.Error("report to a control leader that was replaced = ok")
		}
		if err := q.nodes[(at+2)%3].group.Load().change(ctx, third); !errors.Is(err, ErrNotOwner) {
			t.Errorf("change at a follower = %v, want ErrNotOwner", err)
		}
		if err := g.change(ctx, third); err != nil {
			t.Errorf("change of the newest look = %v", err)
		}
		third.Kind = stepPromote
		if err := g.change(ctx, third); err == nil {
			t.Error("change for the configuration before = nil, want an error")
		}
		fourth := report(look{Term: 4, Number: 2})
		fourth.Kind = stepPromote
		fourth.Ownership--
		if err := g.change(ctx, fourth); !errors.Is(err, ErrNotOwner) {
			t.Errorf("change of an earlier ownership = %v, want ErrNotOwner", err)
		}
		fourth.Ownership++
		if err := g.change(ctx, fourth); err != nil {
			t.Errorf("change of this ownership = %v", err)
		}
	})
}

// TestLateAdd plays what a step that comes too late can do. A control leader
// chooses to add a replica and hangs. The next one sees that it is in no
// configuration and lets it go, so its node throws away what it has. If the step
// were made after that, a replica that was let go would get a vote.
func TestLateAdd(t *testing.T) {
	for _, f := range []faults{{}, {anyLook: true}} {
		synctest.Test(t, func(t *testing.T) {
			q := newQuorum(t, 3, 2, f)
			defer q.close()
			at, _ := q.owner(-1)
			g, ctx := q.nodes[at].group.Load(), context.Background()
			r, _ := g.report(ctx, look{Term: 1, Number: 1})
			late := replicaChange{
				Kind: stepAdd, Replica: q.nodes[2].id.serverID(), Ownership: r.Ownership, Configuration: r.Configuration,
				Look: look{Term: 1, Number: 1},
			}
			if r, ok := g.report(ctx, look{Term: 2, Number: 1}); !ok || len(r.Replicas) != 2 {
				t.Fatalf("report to the next control leader = %+v, %v", r, ok)
			}
			err := g.change(ctx, late)
			after, _ := g.report(ctx, look{})
			if harm := len(after.Replicas) != 2; harm != f.anyLook || (err == nil) != f.anyLook {
				t.Errorf("with %+v the late step gives %v and %d replicas", f, err, len(after.Replicas))
			}
		})
	}
}

// TestReportDuringChange: while a change is on its way the group is busy, so that
// nothing is decided by the configuration before it.
func TestReportDuringChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuorum(t, 3, 3, faults{})
		defer q.close()
		at, _ := q.owner(-1)
		g, ctx := q.nodes[at].group.Load(), context.Background()
		first := look{Term: 1, Number: 1}
		r, _ := g.report(ctx, first)
		c := replicaChange{Kind: stepDemote, Replica: q.nodes[(at+1)%3].id.serverID(), Ownership: r.Ownership, Configuration: r.Configuration, Look: first}
		if err := g.admitChange(c); err != nil {
			t.Fatal(err)
		}
		if r, ok := g.report(ctx, look{Term: 2, Number: 1}); !ok || !r.Busy {
			t.Errorf("report while a change is being made = %+v, %v, want busy", r, ok)
		}
		g.changed()
		if r, ok := g.report(ctx, look{Term: 2, Number: 2}); !ok || r.Busy {
			t.Errorf("report after the change = %+v, %v, want not busy", r, ok)
		}
	})
}
