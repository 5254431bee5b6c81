package main

import (
	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
	"github.com/holdfast-dev/holdfast/transport"
)

// resolver finds the owners of objects in the cluster.
type resolver struct {
	node *cluster.Node
}

func (r resolver) Owner(object actor.ID) (transport.Owner, bool, <-chan struct{}) {
	node, _, local, ok, changed := r.node.Owner(placement.ShardOf(object, r.node.Shards()))
	return transport.Owner{Node: node, Local: local}, ok, changed
}
