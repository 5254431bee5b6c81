package cluster

import (
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

const (
	// startBits is the part of a start ID that counts the starts of a data
	// directory; the number of the node's control replica is above it. 28 bits are
	// one start each second for eight years, and the 35 that are left are more
	// replicas than a cluster can ever make.
	startBits = 28
	// startSilence is how long a node must be silent before its start is taken to be over.
	startSilence = 30 * time.Second
)

// StartID names this start of this node: no other start of any node of the
// cluster has or had the same one, and later starts of the same data directory
// have greater ones. The highest bit is 0, so that the ID can be shifted left by one.
//
// It is made of two numbers: that of the node's replica of the control group,
// which the table gives once for each data directory that joins, and the
// directory's start number.
func (n *Node) StartID() uint64 {
	return n.dir.controlReplica().number<<startBits | n.start
}

// StartOver says whether that start of a node is known to be over: its data
// directory has been started again; the node was removed from the cluster, or came
// back with another directory; or gossip has held it for dead, or has not met it
// at all, for 30 s. The last is a guess about a node that may still run: whoever
// is still connected to it knows better and does not ask.
//
// A start that this node's table has not heard of yet is not over: a table that
// is behind ends nothing.
func (n *Node) StartOver(id uint64) bool {
	control, start := id>>startBits, id&(1<<startBits-1)
	if control == n.dir.controlReplica().number {
		return start < n.start
	}
	t := n.control.table()
	node, ok := t.ofControl(control)
	if !ok {
		return control < t.NextReplica // it was given to a node that is no more
	}
	if n.peers == nil {
		return false
	}
	return n.peers.members.startOver(node, start, time.Now())
}

// ofControl gives the name and data directory of the node with that control replica.
func (t *table) ofControl(number uint64) (id nodeDirectory, ok bool) {
	for name, node := range t.Nodes {
		if node.Control == number {
			directory, err := parseDirectoryID(node.DirectoryID)
			return nodeDirectory{placement.NodeID(name), directory}, err == nil
		}
	}
	return nodeDirectory{}, false
}

// nodeDirectory is a node with one data directory.
type nodeDirectory struct {
	node      placement.NodeID
	directory directoryID
}

// startOver says whether gossip knows a later start of that data directory, or
// has missed this one for startSilence.
func (m *members) startOver(id nodeDirectory, start uint64, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	silentSince := m.began
	for _, member := range m.known {
		if member.Node != id.node || member.directory != id.directory {
			continue
		}
		if member.Start > start {
			return true
		}
		if member.Start == start {
			if member.Alive {
				return false
			}
			silentSince = member.since
		}
	}
	return now.Sub(silentSince) >= startSilence
}
