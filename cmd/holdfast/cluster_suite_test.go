package main

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/objects/suite"
)

// The classes on three nodes, a cluster and a bubble for each case. Every
// request goes to any of the nodes. Where days must pass, which they do only if
// asked for, the cluster is one with a long heartbeat time-out.
func TestSuiteOnCluster(t *testing.T) {
	t.Parallel()
	for _, c := range suite.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() || underRace {
				t.Skip("a cluster for each case takes long here")
			}
			if needsTime := runOnCluster(t, c, 0, nil); needsTime && *days {
				runOnCluster(t, c, 10*time.Minute, time.Sleep)
			}
		})
	}
}

// runOnCluster runs a case and says whether it was skipped.
func runOnCluster(t *testing.T, c suite.Case, heartbeat time.Duration, elapse func(time.Duration)) (skipped bool) {
	t.Helper()
	name := "at once"
	if elapse != nil {
		name = "in time"
	}
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSimulation(t, rand.Uint64(), flaws{})
			s.network.usual, s.heartbeat = weather{}, heartbeat // no time shall pass but what a case lets pass
			defer s.close()
			defer func() { skipped = t.Skipped() }()
			if err := s.form("a", "b", "c"); err != nil {
				t.Fatal(err)
			}
			c.Run(t, suite.Target{URL: s.anyURL(), Dial: s.network.dial, Elapse: elapse, Restart: s.restart})
		})
	})
	return skipped
}

// anyURL gives a function that gives the URL of any node.
func (s *simulation) anyURL() func() string {
	var mu sync.Mutex
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return "http://" + string(rune('a'+s.random.IntN(3))) + ":80"
	}
}

// restart stops all nodes in order and starts them again.
func (s *simulation) restart() {
	s.t.Helper()
	var names []string
	for name, n := range s.nodes {
		_ = n.halt()
		names = append(names, name)
	}
	for _, name := range names {
		s.nodes[name].begin()
	}
	for _, name := range names {
		if err := s.nodes[name].wait(s.patience()); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.eventually("owners", s.patience(), s.owned); err != nil {
		s.t.Fatal(err)
	}
}

// The classes on three processes of the binary, as far as no time must pass.
func TestSuiteOnProcesses(t *testing.T) {
	t.Parallel()
	c := startProcesses(t, 3)
	suite.Run(t, suite.Target{URL: func() string { return c.nodes[rand.IntN(len(c.nodes))].clients }, Unsteady: true})
}
