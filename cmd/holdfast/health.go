package main

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/holdfast-dev/holdfast/transport"
)

// health answers the operator's questions.
func (n *Node) health() transport.Health {
	return transport.Health{
		Live:    n.live,
		Ready:   n.ready,
		Started: n.hasStarted,
	}
}

// live: the loops turn. It goes through the locks of the runtime and of every
// shard, and through the loops that other things wait for. A full disk, a stopped
// replica or a lost quorum is not cured by a restart, so none makes a node dead.
func (n *Node) live(ctx context.Context) error {
	if !n.opened.Load() {
		return nil // waiting for peers is no illness
	}
	return n.liveness.check(ctx)
}

func (n *Node) pulse(ctx context.Context) error {
	return errors.Join(n.host.Pulse(ctx), n.cluster.Pulse(ctx))
}

// ready: clients may be sent here. The node belongs to a cluster, its replicas have
// once caught up since the start (catchUp), and it is not on its way out. A shard
// without an owner answers 503 for itself and does not take the rest of the node away.
func (n *Node) ready(ctx context.Context) error {
	if n.stopping.Load() {
		return errors.New("stopping")
	}
	if err := n.hasStarted(ctx); err != nil {
		return err
	}
	// Whoever is out of the cluster hears no more of it: the last word may be lacking.
	for _, node := range n.cluster.Status().Nodes {
		if string(node.Node) == n.Name() && (node.State == "left" || node.State == "leaving" && node.Replicas == 0) {
			return errors.New("decommissioned: the node may be stopped")
		}
	}
	if why := n.ailing.why(); why != "" && n.cluster.Draining() {
		return errors.New("drained itself, start the node again: " + why)
	}
	if n.cluster.Draining() {
		return errors.New("draining: start the node again to take that back")
	}
	if n.caught != nil {
		return n.caught.check()
	}
	return nil
}

func (n *Node) hasStarted(context.Context) error {
	if !n.started.Load() {
		return errors.New("starting: waiting for peers, or for owners of shards")
	}
	return nil
}

// registerGauges makes metrics of what can be asked at any time.
func (n *Node) registerGauges(f promauto.Factory) {
	gauge := func(name, help string, value func() float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("activations", "Objects in memory.", func() float64 { return float64(n.host.Stats().Activations) })
	gauge("events", "Events that wait or run.", func() float64 { return float64(n.host.Stats().Events) })
	gauge("held_bytes", "Bytes of bodies, messages, batches and frames under way.", func() float64 { return float64(n.host.Stats().Bytes) })
	gauge("in_flight_bytes", "Bytes of batches proposed and not answered.", func() float64 { return float64(n.cluster.Status().InFlightBytes) })
	gauge("shards_owned", "Shards that this node owns.", func() float64 { return float64(n.owned()) })
	gauge("shards_stalled", "Shards whose state stands still on this node although entries are committed.", func() float64 { return float64(n.stalled()) })
	gauge("log_stalled", "1 while the disk of the log does not answer: the node is silent, and others take its shards.", func() float64 { return truth(n.cluster.Status().LogStalled) })
	gauge("stuck_handlers", "Handlers that ran into their time limit and do not end.", func() float64 { return float64(n.host.Stats().Stuck) })
	gauge("ailing", "1 when the node drained itself because it is not well. It needs a restart.", func() float64 { return truth(n.ailing.why() != "") })
	gauge("state_disk_bytes", "Disk space of the state database.", func() float64 {
		m, err := n.store.Metrics()
		if err != nil {
			return 0 // closed: the last scrape of a node that stops
		}
		return float64(m.DiskBytes)
	})
}

func (n *Node) stalled() (count int) {
	for _, shard := range n.cluster.Status().Shards {
		if shard.Stalled {
			count++
		}
	}
	return count
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
