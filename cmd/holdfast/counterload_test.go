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
	"github.com/holdfast-dev/holdfast/objects/history"
)

// Size of a counterLoad.
const (
	loadObjects = 200
	loadPace    = 250 * time.Millisecond // of each object's client: two cores bear twice as many, also while nodes start
	loadShards  = 32
)

// counterLoad is a cluster of real processes, with a client for each of many
// counters.
type counterLoad struct {
	t       *testing.T
	cluster *processCluster
	client  *http.Client
	objects []string // hexadecimal IDs
	history *history.History

	doors            atomic.Pointer[[]string] // base URLs of the nodes that clients talk to
	planned          atomic.Bool              // nothing happens that a client may notice
	unknown, refused atomic.Int64
	firsts           firstWrites

	cancel  context.CancelFunc
	clients sync.WaitGroup
}

// startCounterLoad makes the counters through the first node and starts their clients.
func startCounterLoad(t *testing.T, c *processCluster) *counterLoad {
	t.Helper()
	l := &counterLoad{t: t, cluster: c, client: newClient(t, nil), history: &history.History{}}
	for range loadObjects {
		l.objects = append(l.objects, newObject(t, l.client, c.nodes[0].clients, "Counter"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	l.enter(-1)
	for i, object := range l.objects {
		l.clients.Go(func() { l.write(ctx, object, i) })
	}
	t.Cleanup(func() { cancel(); l.clients.Wait() })
	return l
}

// write increments one object until ctx ends. The clients take turns: in step, each
// would wait for all others, which would look like the pause of a shard.
func (l *counterLoad) write(ctx context.Context, object string, turn int) {
	myTurn := time.NewTimer(loadPace * time.Duration(turn) / loadObjects)
	defer myTurn.Stop()
	select {
	case <-myTurn.C:
	case <-ctx.Done():
	}
	pace := time.NewTicker(loadPace)
	defer pace.Stop()
	for ; ctx.Err() == nil; turn++ {
		doors := *l.doors.Load()
		door := doors[turn%len(doors)]
		began := time.Now()
		w := l.history.Begin(object, "")
		data, err := tryCall(ctx, l.client, http.MethodPost, door+"/ids/Counter/"+object+"/increment", "")
		var answer struct{ Value int64 }
		if err == nil {
			err = json.Unmarshal(data, &answer)
		}
		if ctx.Err() != nil {
			return
		}
		l.done(door, w, answer.Value, err)
		l.firsts.note(shardOfHex(object), began, err)
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}

// done notes how a write ended. A failure that nobody may notice, or that says
// nothing of the write, is a mistake of the cluster.
func (l *counterLoad) done(door string, w int, number int64, err error) {
	status := &statusError{}
	isStatus := errors.As(err, &status)
	switch {
	case err == nil:
		l.history.End(w, number)
	case !slices.Contains(*l.doors.Load(), door): // it was on its way when the door was given up
	case l.planned.Load():
		l.t.Errorf("a client of %s: %v, want no failure", door, err)
	case isStatus && status.status == http.StatusServiceUnavailable:
		l.history.Refuse(w)
		l.refused.Add(1)
	case isStatus && status.status == http.StatusGatewayTimeout && strings.Contains(status.body, "outcome_unknown"):
		l.unknown.Add(1)
	default:
		l.t.Errorf("a client of %s: %v", door, err)
	}
}

// enter lets the clients go to the nodes but one; -1 = to all.
func (l *counterLoad) enter(except int) {
	var doors []string
	for i, p := range l.cluster.nodes {
		if i != except && p != nil {
			doors = append(doors, l.cluster.url(i))
		}
	}
	l.doors.Store(&doors)
}

// settled waits until every shard is as it should be, on that many nodes, and
// gives the shards of one.
func (l *counterLoad) settled(nodes, node int) []int {
	l.t.Helper()
	return awaitSettled(l.t, l.client, l.cluster.nodes[0], nodes)[fmt.Sprintf("node-%d", node+1)]
}

// awaitSettled waits until every shard is as it should be, on that many nodes, and
// gives the shards that each owns.
func awaitSettled(t *testing.T, client *http.Client, asker *process, nodes int) map[string][]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		var seen cluster.Overview
		err := fetch(ctx, client, asker.operators+"/cluster", &seen)
		if err == nil && seen.State == cluster.ConditionOK && len(seen.Nodes) == nodes {
			owned := make(map[string][]int)
			for _, s := range seen.Shards {
				owned[string(s.Owner)] = append(owned[string(s.Owner)], int(s.Shard))
			}
			return owned
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("the cluster did not settle within a minute: %v; it is %s\n%s", err, seen.State, asker.stderr)
		}
	}
}

// stop ends the clients and checks the whole history.
func (l *counterLoad) stop() {
	l.t.Helper()
	l.cancel()
	l.clients.Wait()
	writes := history.ByObject(l.history.Copy())
	for _, object := range l.objects {
		var answer struct{ Value int64 }
		if err := fetch(l.t.Context(), l.client, l.cluster.nodes[0].clients+"/ids/Counter/"+object+"/get", &answer); err != nil {
			l.t.Error(err)
		} else if err := history.CheckCounter(writes[object], answer.Value).Err(); err != nil {
			l.t.Error(err)
		}
	}
	for i, p := range l.cluster.nodes {
		if p == nil {
			continue
		}
		if code := p.stop(l.t, syscall.SIGTERM); code != 0 {
			l.t.Errorf("exit code of node %d after SIGTERM = %d, want 0\n%s", i+1, code, p.stderr)
		}
	}
}

// shardOfHex gives the shard of an object by its ID.
func shardOfHex(object string) int {
	first, err := strconv.ParseUint(object[:16], 16, 64)
	if err != nil {
		panic(err)
	}
	return int(first % loadShards)
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
