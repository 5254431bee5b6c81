package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// measureIdle gives what a node of a cluster costs that nobody uses, by the
// number of shards.
func measureIdle(ctx context.Context, o options, dir string, t *table) error {
	t.other = ""
	for _, part := range []struct {
		shards         int
		cpuAim, memAim string
	}{
		{32, "< 5 %", "-"},
		{64, "< 9 %", "-"},
		{256, "-", "< 100 MB"},
	} {
		sub, err := os.MkdirTemp(dir, "idle-")
		if err != nil {
			return fmt.Errorf("idle: %w", err)
		}
		cpu, resident, err := idleUsage(ctx, o, sub, part.shards)
		if err != nil {
			return err
		}
		shards := fmt.Sprintf("per node, %d nodes, %d shards, idle", members, part.shards)
		t.add(row{what: "CPU " + shards, holdfast: fmt.Sprintf("%.1f %% of a core", 100*cpu), aim: part.cpuAim})
		t.add(row{what: "memory (resident) " + shards, holdfast: fmt.Sprintf("%.0f MB", resident/1e6), aim: part.memAim})
	}
	return nil
}

// idleUsage gives the share of a core and the resident memory of the node of a
// new cluster that uses most.
func idleUsage(ctx context.Context, o options, dir string, shards int) (cpu, resident float64, err error) {
	n, err := startNodes(ctx, o, dir, shards)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	var before, after [members]usage
	for i, pid := range n.pids() {
		if before[i], err = usageOf(pid); err != nil {
			return 0, 0, err
		}
	}
	began := time.Now()
	counted := time.NewTimer(o.idle)
	defer counted.Stop()
	select {
	case <-counted.C:
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	length := time.Since(began)
	for i, pid := range n.pids() {
		if after[i], err = usageOf(pid); err != nil {
			return 0, 0, err
		}
		cpu = max(cpu, (after[i].cpu-before[i].cpu).Seconds()/length.Seconds())
		resident = max(resident, float64(after[i].residentBytes))
	}
	return cpu, resident, n.checkReplicas(ctx)
}

// checkReplicas makes sure that the idle nodes were a cluster: what is written
// now reaches all of them.
func (n nodes) checkReplicas(ctx context.Context) error {
	before, err := n.written(ctx)
	if err != nil {
		return err
	}
	const clients = 8
	if _, err := (load{addresses: n.addresses(), clients: clients, path: manyIncrements(clients)}).run(ctx, time.Second); err != nil {
		return err
	}
	return n.checkReplicated(ctx, before)
}
