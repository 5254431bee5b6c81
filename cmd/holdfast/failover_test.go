package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A node is killed, or frozen, again and again, while clients of the two others
// write to objects everywhere. No acknowledged write is lost, no number is given
// twice, and a node that wakes up gives no stale answer.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	for _, how := range []failure{{"kill", *failovers, syscall.SIGKILL}, {"freeze", (*failovers + 2) / 3, syscall.SIGSTOP}} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			f := &failover{counterLoad: startCounterLoad(t, startProcesses(t, 3, "--shards", fmt.Sprint(loadShards)))}
			for round := range how.rounds {
				f.round(how, round%len(f.cluster.nodes))
			}
			f.stop()
			t.Logf("%s, %d rounds: from the signal to a shard's first acknowledged write: %s; %d writes, %d unknown, %d refused",
				how.name, how.rounds, summary(f.gaps), len(f.history.Copy()), f.unknown.Load(), f.refused.Load())
		})
	}
}

// failover is a load under which nodes fail.
type failover struct {
	*counterLoad

	gaps []time.Duration // from a failure to the first write of each shard that had its owner there
}

// failure is what happens to a node.
type failure struct {
	name   string
	rounds int
	signal syscall.Signal
}

// round lets the failure happen to a node and waits until all is well again.
func (f *failover) round(how failure, victim int) {
	f.t.Helper()
	f.enter(victim)
	// A shard may have none of the objects: nobody would ever write to it.
	lost := slices.DeleteFunc(f.settled(3, victim), func(shard int) bool {
		return !slices.ContainsFunc(f.objects, func(object string) bool { return shardOfHex(object) == shard })
	})
	p := f.cluster.nodes[victim]
	began := time.Now()
	f.firsts.watch(lost, began)
	if err := p.cmd.Process.Signal(how.signal); err != nil {
		f.t.Fatal(err)
	}
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	select {
	case <-f.firsts.done():
	case <-limit.C:
		_, missing := f.firsts.state()
		f.t.Fatalf("a minute after %s of node %d these shards take no write: %v\n%s", how.name, victim+1, missing, f.cluster.words(victim))
	}
	took, _ := f.firsts.state()
	f.gaps = append(f.gaps, took...)
	if how.signal == syscall.SIGSTOP {
		f.wake(p)
	} else {
		p.wait()
		f.cluster.start(f.t, victim)
	}
	f.settled(3, -1)
}

// wake asks a frozen node, lets it go on, and looks at what it answers: it owned
// the objects when it was stopped.
func (f *failover) wake(p *process) {
	var asking sync.WaitGroup
	least := make(map[string]int64)
	for _, w := range f.history.Copy() {
		least[w.Object] = max(least[w.Object], w.Number)
	}
	for _, object := range f.objects {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
			defer cancel()
			var answer struct{ Value int64 }
			err := fetch(ctx, f.client, p.clients+"/ids/Counter/"+object+"/get", &answer)
			var status *statusError
			switch {
			case errors.As(err, &status) && (status.status == http.StatusServiceUnavailable || status.status == http.StatusGatewayTimeout):
			case err != nil:
				f.t.Errorf("ask the node that was frozen: %v", err)
			case answer.Value < least[object]:
				f.t.Errorf("the node that was frozen says that %s is at %d; %d was acknowledged before it was asked", object, answer.Value, least[object])
			}
		})
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		f.t.Fatal(err)
	}
	asking.Wait()
}

// firstWrites notes when shards take their first write after a moment.
type firstWrites struct {
	mu    sync.Mutex // guards the following fields
	since time.Time
	wait  map[int]bool
	took  []time.Duration
	over  chan struct{} // closed when none is waited for any more
}

// watch begins to wait for writes to shards, of requests that begin after since.
func (w *firstWrites) watch(shards []int, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since, w.took, w.over, w.wait = since, nil, make(chan struct{}), make(map[int]bool)
	for _, s := range shards {
		w.wait[s] = true
	}
	if len(shards) == 0 {
		close(w.over)
	}
}

func (w *firstWrites) note(shard int, began time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || !w.wait[shard] || began.Before(w.since) {
		return
	}
	delete(w.wait, shard)
	w.took = append(w.took, time.Since(w.since))
	if len(w.wait) == 0 {
		close(w.over)
	}
}

func (w *firstWrites) done() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// state gives how long the shards took that have taken one, and which have not.
func (w *firstWrites) state() (took []time.Duration, missing []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.took), slices.Sorted(maps.Keys(w.wait))
}
