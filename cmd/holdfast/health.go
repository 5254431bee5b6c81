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
// shard, so a part that hangs shows as an answer that does not come in time. A
// full disk or a stopped replica is not cured by a restart, so neither makes a
// node dead.
func (n *Node) live(context.Context) error {
	if !n.opened.Load() {
		return nil // waiting for peers is no illness
	}
	n.host.Stats()
	n.cluster.Status()
	return nil
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
	gauge("state_disk_bytes", "Disk space of the state database.", func() float64 {
		m, err := n.store.Metrics()
		if err != nil {
			return 0 // closed: the last scrape of a node that stops
		}
		return float64(m.DiskBytes)
	})
}
