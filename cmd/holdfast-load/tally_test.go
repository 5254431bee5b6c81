package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A call counts for the step in which it began, whatever begins before it ends.
func TestTallySteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTally([]string{"a", "b"}, []string{"x"})
		begun := time.Now()
		time.Sleep(time.Second)
		c.mark("next", false)
		c.called("a", begun, outcome{fate: fateUnknown, cause: "lost"})
		c.called("b", time.Now(), outcome{fate: fateDone})
		c.called("b", time.Now(), outcome{fate: fateRefused, cause: "503"})
		c.calledAgain("b", time.Now(), outcome{fate: fateRefused, cause: "503"})
		c.called("b", time.Now(), outcome{fate: fateRefused, cause: "503"})
		c.calledAgain("b", time.Now(), outcome{fate: fateUnknown, cause: "504"})
		c.called("b", time.Now(), outcome{fate: fateRefused, cause: "503"})
		c.calledAgain("b", time.Now(), outcome{fate: fateDone})

		first, second := c.steps[0].doors["a"], c.steps[1].doors["b"]
		if first.requests != 1 || first.unknown != 1 || first.causes["lost"] != 1 || first.latencies[0] != time.Second {
			t.Errorf("the first step has %+v, want the call that began in it", *first)
		}
		if second.requests != 4 || second.done != 1 || second.failed != 3 || second.again != 1 || second.unknown != 1 || second.causes["503"] != 3 {
			t.Errorf("the second step has %+v", *second)
		}
		all := c.total()
		if all.doors["b"].failed != 3 || all.doors["a"].unknown != 1 || all.doors["b"].causes["504"] != 1 {
			t.Errorf("all steps have %+v and %+v", *all.doors["a"], *all.doors["b"])
		}
	})
}

// The time without an acknowledged write counts in full for every step that it
// touches, also if none comes at the end.
func TestTallyGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTally([]string{"a"}, []string{"x", "y"})
		after := func(s int, f func()) {
			time.Sleep(time.Duration(s) * time.Second)
			f()
		}
		after(1, func() { c.wrote("x") })
		after(0, func() { c.wrote("y") })
		after(2, func() { c.mark("cut", false) })
		after(3, func() { c.wrote("x") }) // 5 s after its last one
		after(0, func() { c.mark("heal", false) })
		after(1, func() { c.wrote("x") })
		after(1, c.end) // y had 7 s in all
		type gap struct{ any, x, y int }
		var got []gap
		for _, s := range c.steps {
			got = append(got, gap{int(s.gap.Seconds()), int(s.objectGaps["x"].Seconds()), int(s.objectGaps["y"].Seconds())})
		}
		if want := []gap{{5, 5, 7}, {5, 5, 7}, {1, 1, 7}}; !slices.Equal(got, want) {
			t.Errorf("gaps are %v, want %v", got, want)
		}
		if q := quantilesOf([]time.Duration{4, 1, 3, 2}); q.P50 != 3e-9 || q.Max != 4e-9 {
			t.Errorf("quantilesOf 1 to 4 ns = %+v", q)
		}
	})
}
