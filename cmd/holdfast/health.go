package main

import (
	"context"
	"errors"

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
