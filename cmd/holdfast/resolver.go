package main

import (
	"net/http"

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

// routed sends calls to the owner and socket messages to this node's host.
type routed struct {
	*transport.Router
	*actor.Host
}

func (r routed) IDs(class string) (actor.IDSource, bool) { return r.Host.IDs(class) }

func (r routed) Dispatch(w http.ResponseWriter, q *http.Request, target actor.Target, socket actor.SocketID) error {
	return r.Router.Dispatch(w, q, target, socket)
}
