package main

import (
	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
	"github.com/holdfast-dev/holdfast/transport"
)

// resolver finds the owners of objects in the cluster, and passes on who they are.
type resolver struct {
	node *cluster.Node
}

// Owner implements transport.Resolver.
func (r resolver) Owner(object actor.ID) (transport.Owner, bool, <-chan struct{}) {
	node, _, local, ok, changed := r.node.Owner(placement.ShardOf(object, r.node.Shards()))
	return transport.Owner{Node: node, Local: local}, ok, changed
}

// Holders implements transport.Resolver.
func (r resolver) Holders(object actor.ID) []string {
	return r.node.Holders(placement.ShardOf(object, r.node.Shards()))
}

// Hint implements transport.Hints.
func (r resolver) Hint(object actor.ID) (transport.Hint, bool) {
	hint, ok := r.node.HintOf(placement.ShardOf(object, r.node.Shards()))
	return transport.Hint{Node: string(hint.Node), Ownership: hint.Ownership}, ok
}

// Learn implements transport.Hints.
func (r resolver) Learn(object actor.ID, hint transport.Hint) (transport.Owner, bool) {
	r.node.Learn(cluster.Hint{
		Shard: placement.ShardOf(object, r.node.Shards()), Node: placement.NodeID(hint.Node), Ownership: hint.Ownership,
	})
	if hint.Node == r.node.Name() {
		return transport.Owner{Node: hint.Node, Local: true}, true
	}
	_, ok := r.node.Address(hint.Node)
	return transport.Owner{Node: hint.Node}, ok
}
