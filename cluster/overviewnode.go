package cluster

import (
	"cmp"

	"github.com/holdfast-dev/holdfast/placement"
)

// nodeOverviews gives the nodes of the table, as table, gossip and they themselves
// describe them.
func (n *Node) nodeOverviews(views map[string]*nodeView) []NodeOverview {
	at := make(map[placement.NodeID]Member)
	if n.peers != nil {
		for _, member := range n.peers.members.all() {
			at[member.Node] = member
		}
	}
	nodes := []NodeOverview{}
	for _, s := range n.nodeStatus() {
		node := NodeOverview{
			Name: s.Node, Zone: s.Zone, State: cmp.Or(s.State, "in"), Alive: s.Alive,
			Start: at[s.Node].Start, Address: at[s.Node].Internal, Homes: s.Home, Replicas: s.Replicas,
		}
		if s.Node == placement.NodeID(n.Name()) {
			node.Start = n.start
		}
		if view := views[string(s.Node)]; view != nil {
			owned := 0
			for _, r := range view.Owned {
				owned += truth(r.Ownership > 0)
			}
			node.Answered, node.Owned = true, &owned
			node.Draining, node.StorageFull, node.LeadsControl = &view.Draining, &view.StorageFull, &view.LeadsControl
			node.LogStalled = &view.LogStalled
		}
		nodes = append(nodes, node)
	}
	return nodes
}
