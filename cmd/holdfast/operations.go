package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
	"github.com/holdfast-dev/holdfast/transport"
)

// operations are what an operator can see and do at a node.
func (n *Node) operations() map[string]transport.Operation {
	operations := map[string]transport.Operation{
		"GET /cluster":                    n.showCluster,
		"POST /nodes/{name}/decommission": n.decommission,
		"POST /nodes/{name}/recommission": n.recommission,
		"POST /drain":                     n.drainOnDemand,
		"GET /quarantine":                 n.showQuarantine,

		"POST /objects/{class}/{name}/clear-quarantine": n.clearQuarantineOfName,
		"POST /ids/{class}/{id}/clear-quarantine":       n.clearQuarantineOfID,
	}
	for pattern, operation := range operations {
		operations[pattern] = n.onceOpened(operation)
	}
	operations["GET /node"] = n.showNode
	return operations
}

// onceOpened refuses an operation while there is nothing yet that it could be done to.
func (n *Node) onceOpened(operation transport.Operation) transport.Operation {
	return func(r *http.Request) (any, error) {
		if !n.opened.Load() {
			return nil, &transport.OperatorError{
				Status: http.StatusServiceUnavailable, Code: "starting",
				Message: "The node is starting, or waits for its peers: its log says which. Try again, or ask another node.",
			}
		}
		return operation(r)
	}
}

func (n *Node) showCluster(r *http.Request) (any, error) {
	return n.cluster.Overview(r.Context()), nil
}

// departure is how far a node is with leaving the cluster.
type departure struct {
	Node placement.NodeID `json:"node"`
	// State is as in an overview; "left" also when the cluster does not know it any more.
	State    string `json:"state"`
	Replicas int    `json:"replicas"` // that it still has or is to get
}

func (n *Node) decommission(r *http.Request) (any, error) {
	force := false
	if text := r.URL.Query().Get("force"); text != "" {
		var err error
		if force, err = strconv.ParseBool(text); err != nil {
			return nil, &transport.OperatorError{Status: http.StatusBadRequest, Code: "bad_force", Message: "force is true or false."}
		}
	}
	return n.changeNode(r, func(ctx context.Context, node placement.NodeID) error {
		return n.cluster.Decommission(ctx, node, force)
	})
}

func (n *Node) recommission(r *http.Request) (any, error) {
	return n.changeNode(r, n.cluster.Recommission)
}

// changeNode does something with the node of the path and says how that node is then.
func (n *Node) changeNode(r *http.Request, change func(context.Context, placement.NodeID) error) (any, error) {
	name := placement.NodeID(r.PathValue("name"))
	nodes := n.cluster.Status().Nodes
	if !slices.ContainsFunc(nodes, func(s cluster.NodeStatus) bool { return s.Node == name }) {
		return nil, &transport.OperatorError{
			Status: http.StatusNotFound, Code: "unknown_node",
			Message: fmt.Sprintf("The cluster has no node %q. 'holdfast members' lists those that it has.", name),
		}
	}
	err := change(r.Context(), name)
	if refused, ok := errors.AsType[*cluster.DecommissionError](err); ok {
		return nil, &transport.OperatorError{Status: http.StatusConflict, Code: "refused", Message: "Refused: " + refused.Reason + ".", Err: err}
	}
	if err != nil {
		return nil, &transport.OperatorError{
			Status: http.StatusServiceUnavailable, Code: "no_control_leader",
			Message: "Nobody who could do it answered in time: a majority of the nodes that vote in the control group has to be up. It may have been done; doing it twice does no harm.", Err: err,
		}
	}
	return n.departure(name), nil
}

// departure gives what this node's table says of a node. It may be a little behind.
func (n *Node) departure(name placement.NodeID) departure {
	for _, s := range n.cluster.Status().Nodes {
		if s.Node == name {
			return departure{Node: name, State: cmp.Or(s.State, "in"), Replicas: s.Replicas}
		}
	}
	return departure{Node: name, State: "left"}
}

// drainage is what a drain has come to.
type drainage struct {
	Draining bool `json:"draining"`
	Owned    int  `json:"owned"` // shards that the node still owns
}

func (n *Node) drainOnDemand(r *http.Request) (any, error) {
	// Once begun it goes on, whether or not somebody waits for it.
	err := n.Drain(context.WithoutCancel(r.Context()))
	owned := n.owned()
	if owned == 0 && err == nil {
		return drainage{Draining: true}, nil
	}
	return nil, &transport.OperatorError{
		Status: http.StatusServiceUnavailable, Code: "not_drained",
		Message: fmt.Sprintf("The node counts as not ready and gets no more shards, but still owns %d: no other node took them. Try again. If there is no other node that could, stop it: its shards wait until it is back.", owned), Err: err,
	}
}

func (n *Node) owned() int {
	owned := 0
	for _, shard := range n.cluster.Status().Shards {
		if shard.Ownership != 0 {
			owned++
		}
	}
	return owned
}
