package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	memoryIdleTimeout = time.Second
	settleTimeout     = 60 * time.Second
	scrapePause       = 50 * time.Millisecond
	socketsPerRoom    = 100
)

// Metrics of the node that the measurement reads.
const (
	metricLive    = "go_gc_heap_live_bytes"
	metricStacks  = "go_memstats_stack_inuse_bytes"
	metricCycles  = "go_gc_cycles_total_gc_cycles_total"
	metricObjects = "holdfast_activations"
)

// measureMemory gives what an object costs while it is in memory and idle, what
// is left of it after eviction, and what an idle socket costs.
func measureMemory(ctx context.Context, o options, dir string, t *table) (err error) {
	active, err := startMemoryNode(ctx, o, dir, time.Hour)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, active.stop()) }()
	before, err := active.heldBytes(ctx)
	if err != nil {
		return err
	}
	if err := active.wake(ctx, o, "active"); err != nil {
		return err
	}
	after, err := active.heldBytes(ctx)
	if err != nil {
		return err
	}
	t.add(memoryRow("active idle object", after-before, o.objects, "<= 4096"))

	idle, err := startMemoryNode(ctx, o, dir, memoryIdleTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, idle.stop()) }()
	// The first generation leaves tables and caches behind that the next reuses.
	var held [2]float64
	for generation := range held {
		if err := idle.wake(ctx, o, "generation-"+strconv.Itoa(generation)); err != nil {
			return err
		}
		if err := idle.waitEvicted(ctx); err != nil {
			return err
		}
		if held[generation], err = idle.heldBytes(ctx); err != nil {
			return err
		}
	}
	t.add(memoryRow("evicted object", held[1]-held[0], o.objects, "0"))

	perSocket, err := idle.socketBytes(ctx, o)
	if err != nil {
		return err
	}
	t.add(memoryRow("idle socket of a hibernated object", perSocket, o.sockets, "<= 12288"))
	return nil
}

func memoryRow(what string, bytes float64, count int, aim string) row {
	return row{what: "bytes per " + what, holdfast: fmt.Sprintf("%.0f", bytes/float64(count)), other: "-", ratio: "-", aim: aim}
}

// memoryNode is a node that collects garbage often, so that what is live can be read.
type memoryNode struct{ *process }

func startMemoryNode(ctx context.Context, o options, dir string, idle time.Duration) (memoryNode, error) {
	p, err := startHoldfastIn(ctx, []string{"GOGC=5"}, o, dir, "--idle-timeout", idle.String(), "--max-objects", strconv.Itoa(2*o.objects))
	return memoryNode{p}, err
}

// wake reads a counter of each of the objects, over a few connections.
func (n memoryNode) wake(ctx context.Context, o options, prefix string) error {
	connection, err := dial(ctx, n.clients)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // all answers are read
	for object := range o.objects {
		if err := connection.do(http.MethodGet, "/objects/Counter/"+prefix+"-"+strconv.Itoa(object)+"/get"); err != nil {
			return err
		}
	}
	return nil
}

func (n memoryNode) socketBytes(ctx context.Context, o options) (float64, error) {
	before, err := n.heldBytes(ctx)
	if err != nil {
		return 0, err
	}
	for room := range (o.sockets + socketsPerRoom - 1) / socketsPerRoom {
		size := min(socketsPerRoom, o.sockets-room*socketsPerRoom)
		a, err := newAudience(ctx, "ws://"+n.clients+"/objects/ChatRoom/idle-"+strconv.Itoa(room), size)
		if err != nil {
			return 0, err
		}
		defer a.close()
	}
	if err := n.waitEvicted(ctx); err != nil {
		return 0, err
	}
	after, err := n.heldBytes(ctx)
	return after - before, err
}

// waitEvicted returns when no object is in memory.
func (n memoryNode) waitEvicted(ctx context.Context) error {
	_, err := n.scrapeUntil(ctx, func(metrics map[string]float64) bool { return metrics[metricObjects] == 0 })
	return err
}

// heldBytes gives the live heap and the stacks. Scraping makes garbage until two
// whole cycles of the collector have passed.
func (n memoryNode) heldBytes(ctx context.Context) (float64, error) {
	start, err := n.scrape(ctx)
	if err != nil {
		return 0, err
	}
	metrics, err := n.scrapeUntil(ctx, func(metrics map[string]float64) bool {
		return metrics[metricCycles] >= start[metricCycles]+2
	})
	return metrics[metricLive] + metrics[metricStacks], err
}

func (n memoryNode) scrapeUntil(ctx context.Context, enough func(map[string]float64) bool) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	ticker := time.NewTicker(scrapePause)
	defer ticker.Stop()
	for {
		metrics, err := n.scrape(ctx)
		if err != nil || enough(metrics) {
			return metrics, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("memory: the node does not come to rest: %w", ctx.Err())
		}
	}
}
