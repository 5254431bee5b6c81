package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestMuxCommits: many groups elect and commit over a network with delays whose
// connections break again and again.
func TestMuxCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups, lines = 32, 6
		c := newMuxCluster(t, groups, faults{})
		defer c.close()
		random := rand.New(rand.NewPCG(1, 2))
		c.net.setDelay(func(string, string) time.Duration { return time.Duration(random.IntN(5000)) * time.Microsecond })
		for line := range lines {
			for g := range groups {
				c.apply(g, fmt.Sprintf("%d/%d", g, line))
			}
			if err := c.oneLeader(); err != nil {
				t.Error(err)
			}
			if line%2 == 1 {
				c.net.reset()
			}
		}
		for g := range groups {
			list := slices.Compact(c.settled(g)) // an unknown outcome is tried again
			if len(list) != lines {
				t.Errorf("group %d has %q, want %d lines", g, list, lines)
			}
		}
	})
}
