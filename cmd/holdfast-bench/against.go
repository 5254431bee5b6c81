package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// maxUnavailable bounds the answers 503 and 504 of a connection in a turn. More is
// no state in which to measure.
const maxUnavailable = 100

// warmUpPuts are enough for a first guess of etcd's rate.
const warmUpPuts = 2000

// turn is one side's part of a round.
type turn struct {
	rate      float64 // writes a second
	p50, p99  time.Duration
	serverCPU time.Duration // per write, of all three
	clientCPU time.Duration // per write

	unavailable int // writes that were answered 503 or 504; of ours
}

// turns are those of all rounds. Each figure is the median of its own.
type turns []turn

func of[T float64 | time.Duration](ts turns, field func(turn) T) T {
	var values []T
	for _, t := range ts {
		values = append(values, field(t))
	}
	return median(values)
}

// measureAgainst compares a cluster of nodes with one of etcd, both with every
// write on the disks of a majority before it is answered.
func measureAgainst(ctx context.Context, o options, dir string, t *table) (err error) {
	t.other = "etcd"
	theirs, err := startEtcd(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, theirs.stop()) }()
	ours, err := startNodes(ctx, o, dir, o.shards)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.stop()) }()
	a := against{options: o, ours: ours, theirs: theirs, rate: 1}
	before, err := ours.written(ctx)
	if err != nil {
		return err
	}
	owner, err := a.latency(ctx, t)
	if err != nil {
		return err
	}
	if err := a.throughput(ctx, t, owner); err != nil {
		return err
	}
	return ours.checkReplicated(ctx, before)
}

// against is the comparison of two clusters.
type against struct {
	options

	ours   nodes
	theirs *etcd

	rate float64 // of etcd, in its last turn
}

// oneIncrement has all clients increment the same object.
func oneIncrement(int, int) string { return "/objects/Counter/one/increment" }

// throughput has increments of many objects, increments of one, the same with
// all clients at its owner, and puts in turns. Otherwise the clients are spread
// over the nodes, so that two thirds of the requests are passed on.
func (a *against) throughput(ctx context.Context, t *table, owner int) error {
	many := load{addresses: a.ours.addresses(), clients: a.clients, path: manyIncrements(a.clients)}
	one := load{addresses: a.ours.addresses(), clients: a.clients, path: oneIncrement}
	direct := load{addresses: a.ours.addresses()[owner : owner+1], clients: a.clients, path: oneIncrement}
	p := puts{endpoints: a.theirs.endpoints, conns: a.etcdConns, clients: a.clients, keys: manyObjects}

	warm := p
	warm.total = warmUpPuts
	first, err := a.theirs.put(ctx, warm)
	if err != nil {
		return err
	}
	a.rate = first.rate
	if _, err := many.run(ctx, a.slice); err != nil { // warms up: the objects come to life
		return err
	}
	var results [4]turns
	for range a.rounds {
		for i, play := range []func() (turn, error){
			func() (turn, error) { return a.increments(ctx, many) },
			func() (turn, error) { return a.increments(ctx, one) },
			func() (turn, error) { return a.increments(ctx, direct) },
			func() (turn, error) { return a.puts(ctx, p) },
		} {
			result, err := play()
			if err != nil {
				return err
			}
			results[i] = append(results[i], result)
		}
	}
	for i, what := range []string{
		fmt.Sprintf("%d objects, %d connections", manyObjects, a.clients),
		fmt.Sprintf("1 object, %d connections", a.clients),
		fmt.Sprintf("1 object, %d connections to its owner", a.clients),
	} {
		addTurns(t, what, results[i], results[3], []string{">= 2.00", ">= 2.00", "-"}[i])
	}
	return nil
}

// manyIncrements spreads the requests of clients over manyObjects objects.
func manyIncrements(clients int) func(client, request int) string {
	return func(client, request int) string {
		return "/objects/Counter/many-" + strconv.Itoa((client+request*clients)%manyObjects) + "/increment"
	}
}

func addTurns(t *table, what string, ours, theirs turns, aim string) {
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, ours[i].rate/theirs[i].rate)
	}
	rate := func(t turn) float64 { return t.rate }
	t.add(row{
		what:     "durable writes/s, " + what,
		holdfast: fmt.Sprintf("%.0f", of(ours, rate)),
		other:    fmt.Sprintf("%.0f", of(theirs, rate)),
		ratio:    fmt.Sprintf("%.2f", median(ratios)),
		aim:      aim,
	})
	for _, figure := range []struct {
		what  string
		field func(turn) time.Duration
	}{
		{"  p50 of them", func(t turn) time.Duration { return t.p50 }},
		{"  p99 of them", func(t turn) time.Duration { return t.p99 }},
		{"  CPU of the servers, per write", func(t turn) time.Duration { return t.serverCPU }},
		{"  CPU of the client, per write", func(t turn) time.Duration { return t.clientCPU }},
	} {
		t.add(durations(figure.what, of(ours, figure.field), of(theirs, figure.field), "-"))
	}
	unavailable := 0
	for _, t := range ours {
		unavailable += t.unavailable
	}
	if unavailable > 0 {
		t.add(row{what: "  answers 503 and 504 in all rounds", holdfast: strconv.Itoa(unavailable), other: "-", ratio: "-", aim: "0"})
	}
}

func durations(what string, ours, theirs time.Duration, aim string) row {
	return row{
		what:     what,
		holdfast: ours.Round(time.Microsecond).String(),
		other:    theirs.Round(time.Microsecond).String(),
		ratio:    fmt.Sprintf("%.2f", ours.Seconds()/theirs.Seconds()),
		aim:      aim,
	}
}

// increments plays a turn of ours.
func (a *against) increments(ctx context.Context, l load) (turn, error) {
	before, err := usageOf(a.ours.pids()...)
	if err != nil {
		return turn{}, err
	}
	own, err := ownCPU()
	if err != nil {
		return turn{}, err
	}
	l.unavailable = maxUnavailable
	result, err := l.run(ctx, a.slice)
	if err != nil {
		return turn{}, err
	}
	if len(result.latencies) == 0 {
		return turn{}, fmt.Errorf("no write of %v was done", a.slice)
	}
	ownAfter, err := ownCPU()
	if err != nil {
		return turn{}, err
	}
	after, err := usageOf(a.ours.pids()...)
	writes := time.Duration(len(result.latencies))
	return turn{
		rate: result.rate, p50: quantile(result.latencies, 0.5), p99: quantile(result.latencies, 0.99),
		serverCPU: (after.cpu - before.cpu) / writes, clientCPU: (ownAfter - own) / writes,
		unavailable: result.unavailable,
	}, err
}

// puts plays a turn of etcd's. The tool wants a number, not a time.
func (a *against) puts(ctx context.Context, p puts) (turn, error) {
	p.total = max(p.clients, int(a.rate*a.slice.Seconds()))
	before, err := usageOf(a.theirs.pids()...)
	if err != nil {
		return turn{}, err
	}
	result, err := a.theirs.put(ctx, p)
	if err != nil {
		return turn{}, err
	}
	a.rate = result.rate
	after, err := usageOf(a.theirs.pids()...)
	writes := time.Duration(p.total)
	return turn{
		rate: result.rate, p50: result.p50, p99: result.p99,
		serverCPU: (after.cpu - before.cpu) / writes, clientCPU: result.cpu / writes,
	}, err
}

// latency has one client that waits for each answer, at every node in turn. The
// node that answers soonest is the owner of the object, or etcd's leader; a
// write at any other is passed on. It gives the owner.
func (a *against) latency(ctx context.Context, t *table) (owner int, err error) {
	var ours, theirs [members]turns
	rate := 1.0 / time.Millisecond.Seconds() // a guess for the length of etcd's first turn
	for range a.rounds {
		for i := range members {
			result, err := a.increments(ctx, load{addresses: a.ours.addresses()[i : i+1], clients: 1, path: oneIncrement})
			if err != nil {
				return 0, err
			}
			ours[i] = append(ours[i], result)
			a.rate = rate
			if result, err = a.puts(ctx, puts{endpoints: a.theirs.endpoints[i : i+1], conns: 1, clients: 1, keys: 1}); err != nil {
				return 0, err
			}
			rate = result.rate
			theirs[i] = append(theirs[i], result)
		}
	}
	owner, least, most := spread(ours)
	_, theirLeast, theirMost := spread(theirs)
	t.add(durations("p50 of a write, 1 connection to its owner; etcd: to the leader", least, theirLeast, "<= 1.00"))
	t.add(durations("p50 of a write, 1 connection to another node", most, theirMost, "<= 1.00"))
	return owner, nil
}

// spread gives the node with the smallest p50, and the smallest and largest.
func spread(by [members]turns) (nearest int, least, most time.Duration) {
	for i, ts := range by {
		p50 := of(ts, func(t turn) time.Duration { return t.p50 })
		if i == 0 || p50 < least {
			nearest, least = i, p50
		}
		most = max(most, p50)
	}
	return nearest, least, most
}
