package main

import (
	"errors"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Which simulations run; `make sim` asks for more.
var (
	simSeeds = flag.Int("seeds", 12, "how many seeds the simulations of clusters run")
	simFirst = flag.Uint64("seed", 0, "the first seed of the simulations of clusters")
	days     = flag.Bool("days", false, "run the suite's cases in which days pass on clusters, too")
)

// growthEvery is how many seeds there are for one that plays with a growing cluster.
const growthEvery = 8

// fewSeeds run where everything is slow.
const fewSeeds = 3

// simulate plays what the seed says and gives what the closing checks find.
func simulate(t *testing.T, seed uint64, f flaws) error {
	t.Helper()
	if seed%growthEvery == 0 {
		return perform(t, seed, f, (*plot).growth)
	}
	return perform(t, seed, f, (*plot).threeNodes)
}

// perform plays a plot and gives what the closing checks find.
func perform(t *testing.T, seed uint64, f flaws, play func(*plot) error) (err error) {
	t.Helper()
	var bubble string
	defer func() { forgiveLibrary(t, bubble, recover()) }()
	synctest.Test(t, func(t *testing.T) {
		bubble = bubbleName()
		s := newSimulation(t, seed, f)
		defer s.close()
		p := &plot{sim: s}
		err = play(p)
		if p.load != nil {
			err = errors.Join(err, s.closing(p.load))
		}
		known, refused, unknown := s.ledger.counts()
		t.Logf("%d calls have known answers, %d were refused, %d are unknown", known, refused, unknown)
		if err != nil {
			err = fmt.Errorf("seed %d: %w\n%s", seed, err, p)
		}
	})
	return err
}

// Clusters in which something goes wrong all the time keep every promise.
func TestClusterSeeds(t *testing.T) {
	seeds := *simSeeds
	if testing.Short() || underRace {
		seeds = min(seeds, fewSeeds)
	}
	for i := range seeds {
		seed := *simFirst + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			if err := simulate(t, seed, flaws{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// A cluster that grows and shrinks under load fails no request.
func TestClusterGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, 1, flaws{})
		defer s.close()
		p := &plot{sim: s, quiet: true}
		err := p.growth()
		if err = errors.Join(err, s.closing(p.load)); err != nil {
			t.Errorf("%v\n%s", err, p)
		}
		t.Log("took", time.Since(s.begun))
	})
}
