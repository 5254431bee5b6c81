package cluster

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// stepControl brings the control group's configuration one step on.
func (s *steward) stepControl() (placement.StepKind, error) {
	r := s.control.raft
	replicas := reportOf(r, s.control.me.serverID(), s.control.port.follower)
	index, committed := s.control.configuration()
	if !committed {
		return placement.StepWait, nil
	}
	nodes, err := controlNodes(s.control.table(), replicas)
	if err != nil {
		return placement.StepNone, err
	}
	kind, id := controlStep(nodes, s.control.me.serverID())
	switch kind {
	case placement.StepNone, placement.StepWait:
		return kind, s.forget(nodes)
	case placement.StepTransfer:
		to, err := parseReplicaID(id)
		if err != nil {
			return kind, err
		}
		s.log.Info("control group: hand over", "to", id)
		return kind, r.LeadershipTransferToServer(id, to.address()).Error()
	default:
	}
	s.log.Info("control group: change", "step", kind, "replica", id)
	future, err := changeConfiguration(r, kind, id, index)
	if err != nil {
		return kind, err
	}
	if err := future.Error(); err != nil {
		return kind, fmt.Errorf("cluster: control group: %s %s: %w", kind, id, err)
	}
	return kind, nil
}

// forget takes nodes out of the table that have left and are out of the control
// group, too.
func (s *steward) forget(nodes []controlNode) error {
	for name, node := range s.control.table().Nodes {
		present := slices.ContainsFunc(nodes, func(n controlNode) bool { return n.name == name && n.present })
		if node.State != nodeLeft || present {
			continue
		}
		s.log.Info("a node has left for good", "node", name)
		if err := s.control.propose(command{Forget: &forgetCommand{Node: name, DirectoryID: node.DirectoryID}}); err != nil {
			return err
		}
	}
	return nil
}

// controlNodes joins what the table wants with what the group has.
func controlNodes(t *table, replicas []replicaReport) ([]controlNode, error) {
	byID := make(map[raft.ServerID]controlNode)
	for name, node := range t.Nodes {
		replica, err := node.replica(name)
		if err != nil {
			return nil, err
		}
		byID[replica.serverID()] = controlNode{id: replica.serverID(), name: name, zone: node.Zone, state: node.State}
	}
	for _, r := range replicas {
		n, ok := byID[r.ID]
		if !ok {
			replica, err := parseReplicaID(r.ID)
			if err != nil {
				return nil, err
			}
			n = controlNode{id: r.ID, name: replica.node, state: nodeLeft}
		}
		n.present, n.voter, n.healthy, n.caughtUp = true, r.Voter, r.Healthy, r.CaughtUp
		byID[r.ID] = n
	}
	return slices.Collect(maps.Values(byID)), nil
}
