package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
)

// Size of the failover test.
const (
	failoverObjects = 200
	failoverPace    = 100 * time.Millisecond // of each object's client
	failoverShards  = 32
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
			f := newFailover(t)
			for round := range how.rounds {
				f.round(how, round%len(f.cluster.nodes))
			}
			f.stop()
			t.Logf("%s, %d rounds: from the signal to a shard's first acknowledged write: %s; %d writes, %d unknown, %d refused",
				how.name, how.rounds, summary(f.gaps), len(f.history.copy()), f.unknown.Load(), f.refused.Load())
		})
	}
}

// failure is what happens to a node.
type failure struct {
	name   string
	rounds int
	signal syscall.Signal
}

// failover is a cluster of three processes, with a client for each object.
type failover struct {
	t       *testing.T
	cluster *processCluster
	client  *http.Client
	objects []string // hexadecimal IDs
	history *history
	gaps    []time.Duration

	victim           atomic.Int64 // no client talks to it; -1 = to all
	unknown, refused atomic.Int64
	firsts           firstWrites

	cancel  context.CancelFunc
	clients sync.WaitGroup
}

func newFailover(t *testing.T) *failover {
	f := &failover{t: t, cluster: startProcesses(t, 3, "--shards", fmt.Sprint(failoverShards)), client: newClient(t, nil), history: &history{}}
	for range failoverObjects {
		response, err := f.client.Post(f.cluster.nodes[0].clients+"/ids/Counter", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		var made struct{ ID string }
		err = json.NewDecoder(response.Body).Decode(&made)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		f.objects = append(f.objects, made.ID)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	f.victim.Store(-1)
	for i, object := range f.objects {
		f.clients.Go(func() { f.write(ctx, object, i) })
	}
	t.Cleanup(func() { cancel(); f.clients.Wait() })
	return f
}

// round lets the failure happen to a node and waits until all is well again.
func (f *failover) round(how failure, victim int) {
	f.t.Helper()
	f.victim.Store(int64(victim))
	lost := f.settled(victim)
	p := f.cluster.nodes[victim]
	began := time.Now()
	f.firsts.watch(lost, began)
	if err := p.cmd.Process.Signal(how.signal); err != nil {
		f.t.Fatal(err)
	}
	select {
	case <-f.firsts.done():
	case <-time.After(time.Minute):
		f.t.Fatalf("a minute after %s of node %d these shards take no write: %v", how.name, victim+1, f.firsts.missing())
	}
	f.gaps = append(f.gaps, f.firsts.gaps()...)
	if how.signal == syscall.SIGSTOP {
		f.wake(p)
	} else {
		p.wait()
		f.cluster.start(f.t, victim)
	}
	f.settled(-1)
	f.check()
}

// wake asks a frozen node, lets it go on, and looks at what it answers: it owned
// the objects when it was stopped.
func (f *failover) wake(p *process) {
	var asking sync.WaitGroup
	for _, object := range f.objects {
		least := f.acknowledged(object)
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
			case answer.Value < least:
				f.t.Errorf("the node that was frozen says that %s is at %d; %d was acknowledged before it was asked", object, answer.Value, least)
			}
		})
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		f.t.Fatal(err)
	}
	asking.Wait()
}

// acknowledged gives the greatest number that the object's client was told.
func (f *failover) acknowledged(object string) (most int64) {
	for _, w := range f.history.copy() {
		if w.object == object {
			most = max(most, w.number)
		}
	}
	return most
}

// settled waits until every shard is as it should be, and gives those of a node.
func (f *failover) settled(node int) (shards []int) {
	f.t.Helper()
	var seen cluster.Overview
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	asker := f.cluster.nodes[(node+1)%len(f.cluster.nodes)]
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := fetch(ctx, f.client, asker.operators+"/cluster", &seen)
		if err == nil && seen.State == cluster.ConditionOK {
			break
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			f.t.Fatalf("the cluster did not settle within a minute: %v; it is %s\n%s", err, seen.State, asker.stderr)
		}
	}
	for _, s := range seen.Shards {
		if string(s.Owner) == fmt.Sprintf("node-%d", node+1) {
			shards = append(shards, int(s.Shard))
		}
	}
	return shards
}

// check compares all objects with what clients were told.
func (f *failover) check() {
	f.t.Helper()
	writes := byObject(f.history.copy())
	for _, object := range f.objects {
		var answer struct{ Value int64 }
		if err := fetch(f.t.Context(), f.client, f.cluster.nodes[0].clients+"/ids/Counter/"+object+"/get", &answer); err != nil {
			f.t.Error(err)
			continue
		}
		// The clients go on meanwhile: what they sent later may be in the answer.
		told := writes[object]
		if told = slices.Clone(told); len(told) > 0 && answer.Value < f.most(told) {
			f.t.Errorf("%s is at %d, %d was acknowledged before it was asked: a write was lost", object, answer.Value, f.most(told))
		}
	}
}

func (f *failover) most(writes []write) (most int64) {
	for _, w := range writes {
		most = max(most, w.number)
	}
	return most
}

// stop ends the clients and checks the whole history.
func (f *failover) stop() {
	f.t.Helper()
	f.cancel()
	f.clients.Wait()
	f.settled(-1)
	writes := byObject(f.history.copy())
	for _, object := range f.objects {
		var answer struct{ Value int64 }
		if err := fetch(f.t.Context(), f.client, f.cluster.nodes[0].clients+"/ids/Counter/"+object+"/get", &answer); err != nil {
			f.t.Error(err)
		} else if err := checkCounter(writes[object], answer.Value); err != nil {
			f.t.Error(err)
		}
	}
	for i, p := range f.cluster.nodes {
		if code := p.stop(f.t, syscall.SIGTERM); code != 0 {
			f.t.Errorf("exit code of node %d after SIGTERM = %d, want 0\n%s", i+1, code, p.stderr)
		}
	}
}

// write increments one object until ctx ends.
func (f *failover) write(ctx context.Context, object string, turn int) {
	pace := time.NewTicker(failoverPace)
	defer pace.Stop()
	for ; ctx.Err() == nil; turn++ {
		node := turn % len(f.cluster.nodes)
		if node == int(f.victim.Load()) {
			continue
		}
		began := time.Now()
		w := f.history.begin(object, "")
		data, err := tryCall(ctx, f.client, http.MethodPost, f.cluster.url(node)+"/ids/Counter/"+object+"/increment", "")
		var answer struct{ Value int64 }
		if err == nil {
			err = json.Unmarshal(data, &answer)
		}
		var status *statusError
		switch {
		case err == nil:
			f.history.end(w, answer.Value)
			f.firsts.note(shardOfHex(object), began)
		case ctx.Err() != nil:
		case errors.As(err, &status) && status.status == http.StatusServiceUnavailable:
			f.history.refuse(w)
			f.refused.Add(1)
		case errors.As(err, &status) && status.status == http.StatusGatewayTimeout && strings.Contains(status.body, "outcome_unknown"):
			f.unknown.Add(1)
		case node == int(f.victim.Load()): // it was on its way when the node became the victim
		default:
			f.t.Errorf("a client of node %d: %v", node+1, err)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}

// shardOfHex gives the shard of an object by its ID.
func shardOfHex(object string) int {
	first, err := strconv.ParseUint(object[:16], 16, 64)
	if err != nil {
		panic(err)
	}
	return int(first % failoverShards)
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

func (w *firstWrites) note(shard int, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.wait[shard] || began.Before(w.since) {
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

func (w *firstWrites) missing() map[int]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wait
}

func (w *firstWrites) gaps() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.took
}

// summary gives the usual quantiles.
func summary(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	d = slices.Sorted(slices.Values(d))
	at := func(q float64) time.Duration { return d[min(len(d)-1, int(q*float64(len(d))))].Round(time.Millisecond) }
	return fmt.Sprintf("%d of them, p50 %v, p99 %v, max %v", len(d), at(0.5), at(0.99), at(1))
}
