package cluster

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-dev/holdfast/placement"
)

// joinCommand makes a node a member of the cluster. A known name with another
// directory ID is a node that lost its disk: it joins as new, and what the table
// says of its old replicas stays until their groups are rid of them.
type joinCommand struct {
	Node        string `json:"node"`
	DirectoryID string `json:"directory_id"`
	Zone        string `json:"zone,omitempty"`
}

// markCommand says what shall become of a node. The directory ID keeps a late
// command from meaning the one that came back.
type markCommand struct {
	Node        string    `json:"node"`
	DirectoryID string    `json:"directory_id"`
	State       nodeState `json:"state"`
}

// forgetCommand takes a node that has left out of the table.
type forgetCommand struct {
	Node        string `json:"node"`
	DirectoryID string `json:"directory_id"`
}

// placeCommand changes the wanted nodes of shards.
type placeCommand struct {
	Shards []placedShard `json:"shards"`
}

type placedShard struct {
	Shard  placement.ShardID `json:"shard"`
	Wanted []string          `json:"wanted"`
}

// addCommand gives a number to a new replica of the shard. It is of the version
// for which it was chosen.
type addCommand struct {
	Shard   placement.ShardID `json:"shard"`
	Version uint64            `json:"version"`
	Node    string            `json:"node"`
}

// dropCommand says that a replica is out of its group for good.
type dropCommand struct {
	Shard  placement.ShardID `json:"shard"`
	Number uint64            `json:"number"`
}

// Methods below change the table in place but for its maps and slices, which
// others are reading: they put new ones in their place.

func (t *table) join(c *joinCommand) (reason string) {
	node := tableNode{DirectoryID: c.DirectoryID, Zone: c.Zone, Control: t.NextReplica}
	if _, err := node.replica(c.Node); err != nil {
		return err.Error()
	}
	old, known := t.Nodes[c.Node]
	if known && old.DirectoryID == c.DirectoryID {
		if old.State == nodeLeft {
			return fmt.Sprintf("node %q was decommissioned: it comes back with an empty data directory", c.Node)
		}
		node = old
		node.Zone = c.Zone
		if node.State == nodeGone {
			node.State = nodeIn
		}
	} else {
		t.NextReplica++
	}
	t.setNode(c.Node, node)
	return ""
}

func (t *table) mark(c *markCommand) (reason string) {
	node, ok := t.Nodes[c.Node]
	if !ok || node.DirectoryID != c.DirectoryID {
		return fmt.Sprintf("the cluster has no node %q with directory %q", c.Node, c.DirectoryID)
	}
	switch c.State {
	case nodeIn, nodeGone, nodeLeaving, nodeLeft:
	default:
		return fmt.Sprintf("node state %q is not known", c.State)
	}
	node.State = c.State
	t.setNode(c.Node, node)
	return ""
}

func (t *table) forget(c *forgetCommand) (reason string) {
	node, ok := t.Nodes[c.Node]
	if !ok || node.DirectoryID != c.DirectoryID {
		return ""
	}
	if node.State != nodeLeft {
		return fmt.Sprintf("node %q has not left", c.Node)
	}
	t.Nodes = maps.Clone(t.Nodes)
	delete(t.Nodes, c.Node)
	return ""
}

func (t *table) place(c *placeCommand) (reason string) {
	for _, p := range c.Shards {
		if int64(p.Shard) >= int64(len(t.Shards)) || len(p.Wanted) == 0 {
			return fmt.Sprintf("shard %d with %d wanted nodes", p.Shard, len(p.Wanted))
		}
		for _, name := range p.Wanted {
			if _, ok := t.Nodes[name]; !ok {
				return fmt.Sprintf("shard %d is given to %q, which is no node of the cluster", p.Shard, name)
			}
		}
	}
	for _, p := range c.Shards {
		shard := t.Shards[p.Shard]
		shard.Wanted = p.Wanted
		t.setShard(p.Shard, shard)
	}
	return ""
}

func (t *table) add(c *addCommand) (reason string) {
	node, ok := t.Nodes[c.Node]
	if !ok {
		return fmt.Sprintf("%q is no node of the cluster", c.Node)
	}
	if int64(c.Shard) >= int64(len(t.Shards)) || t.Shards[c.Shard].Version != c.Version {
		return fmt.Sprintf("shard %d is not at version %d", c.Shard, c.Version)
	}
	shard := t.Shards[c.Shard]
	if slices.ContainsFunc(shard.Replicas, func(r tableReplica) bool { return r.Node == c.Node && r.DirectoryID == node.DirectoryID }) {
		return fmt.Sprintf("node %q has a replica of shard %d", c.Node, c.Shard)
	}
	added := tableReplica{Node: c.Node, DirectoryID: node.DirectoryID, Number: t.NextReplica}
	shard.Replicas = append(slices.Clone(shard.Replicas), added)
	t.NextReplica++
	t.setShard(c.Shard, shard)
	return ""
}

func (t *table) drop(c *dropCommand) (reason string) {
	if int64(c.Shard) >= int64(len(t.Shards)) {
		return fmt.Sprintf("there is no shard %d", c.Shard)
	}
	shard := t.Shards[c.Shard]
	rest := slices.DeleteFunc(slices.Clone(shard.Replicas), func(r tableReplica) bool { return r.Number == c.Number })
	if len(rest) == 0 {
		return fmt.Sprintf("shard %d would have no replica", c.Shard)
	}
	if len(rest) < len(shard.Replicas) {
		shard.Replicas = rest
		t.setShard(c.Shard, shard)
	}
	return ""
}

func (t *table) setNode(name string, node tableNode) {
	t.Nodes = maps.Clone(t.Nodes)
	t.Nodes[name] = node
}

func (t *table) setShard(id placement.ShardID, shard tableShard) {
	shard.Version++
	t.Shards = slices.Clone(t.Shards)
	t.Shards[id] = shard
}

// replica gives the node's replica of the control group.
func (n tableNode) replica(name string) (replicaID, error) {
	return tableReplica{Node: name, DirectoryID: n.DirectoryID, Number: n.Control}.id()
}

// of gives the replica of the shard that a node holds, or is to make.
func (s tableShard) of(node, directory string) (tableReplica, bool) {
	for _, r := range s.Replicas {
		if r.Node == node && r.DirectoryID == directory {
			return r, true
		}
	}
	return tableReplica{}, false
}

// members gives the nodes that shall hold shards.
func (t *table) members() []placement.Member {
	var members []placement.Member
	for name, node := range t.Nodes {
		if node.State == nodeIn {
			members = append(members, placement.Member{ID: placement.NodeID(name), Zone: node.Zone})
		}
	}
	slices.SortFunc(members, func(a, b placement.Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return members
}

// wanted gives the nodes that shall hold each shard.
func (t *table) wanted() [][]placement.NodeID {
	wanted := make([][]placement.NodeID, len(t.Shards))
	for i, shard := range t.Shards {
		for _, name := range shard.Wanted {
			wanted[i] = append(wanted[i], placement.NodeID(name))
		}
	}
	return wanted
}
