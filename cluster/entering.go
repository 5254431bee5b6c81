package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// openControl opens this node's replica of the control group. A node that has no
// cluster forms one or finds one before.
func (n *Node) openControl(ctx context.Context) error {
	timeout := time.Duration(cmp.Or(n.dir.identity.HeartbeatMS, n.cfg.HeartbeatTimeout.Milliseconds())) * time.Millisecond
	if n.cfg.Network != nil {
		var err error
		n.peers, err = openPeers(peersConfig{
			network: n.cfg.Network, dir: n.dir, start: n.start, hints: n.hints, timeout: timeout, clock: n.cfg.Clock,
			changed: n.membersChanged, silent: n.silent, declines: n.draining.Load, answer: n.answer, events: &n.cfg.Events, log: n.cfg.Log, faults: n.cfg.faults,
		})
		if err != nil {
			return err
		}
	}
	founds := n.cfg.Network.alone() && n.dir.identity.Joining == ""
	if n.dir.identity.ClusterID == "" && !founds {
		a, err := n.find(ctx)
		if err != nil {
			return err
		}
		founds = a.form
		if !founds {
			timeout = time.Duration(a.heartbeatMS) * time.Millisecond
			if err := n.peers.setTimeout(timeout); err != nil {
				return err
			}
		}
	}
	me := n.dir.controlReplica()
	transport, err := n.transport(controlGroup, me)
	if err != nil {
		return err
	}
	watched, stop := n.watchKnown(ctx)
	n.control, err = openControl(watched, n.cfg, n.dir, controlSetup{
		me: me, transport: transport, founds: founds, timeout: timeout, changed: n.tableChanged, met: n.hasMet,
	})
	if unknown := stop(); err != nil && unknown != nil {
		return unknown
	}
	return err
}

// hasMet says whether gossip knows another living node of this one's cluster.
func (n *Node) hasMet() bool {
	return n.peers != nil && slices.ContainsFunc(n.peers.members.all(), func(m Member) bool {
		return m.Alive && m.cluster == n.dir.identity.ClusterID && string(m.Node) != n.dir.identity.Name
	})
}

// find waits until the node may form a cluster or is accepted by one, which is
// recorded.
func (n *Node) find(ctx context.Context) (admission, error) {
	p, err := openPromises(n.dir, n.cfg.faults)
	if err != nil {
		return admission{}, err
	}
	f := &former{
		dir: n.dir, network: n.cfg.Network, promises: p, all: n.peers.members.all, call: n.peers.call,
		wake: n.forming, log: n.cfg.Log,
	}
	n.former.Store(f)
	a, err := f.run(ctx)
	if err != nil || a.form {
		return a, err
	}
	return a, n.dir.setJoining(a.clusterID, a.control)
}

// introduce makes known to which cluster the node belongs, now that it does for
// good. A promise is kept by that.
func (n *Node) introduce() error {
	if f := n.former.Load(); f != nil {
		if err := f.promises.keep(); err != nil {
			return err
		}
	}
	if n.peers == nil {
		return nil
	}
	return n.peers.members.setCluster(n.table.ClusterID)
}

// transport gives a replica of this node its way to the others.
func (n *Node) transport(group groupID, me replicaID) (raft.Transport, error) {
	if n.peers == nil {
		return soloTransport{address: me.address()}, nil
	}
	return n.peers.mux.Load().open(group, me.number)
}

// membersChanged is called when gossip has news of members.
func (n *Node) membersChanged() {
	select {
	case n.forming <- struct{}{}:
	default:
	}
	if s := n.steward.Load(); s != nil {
		s.changed()
	}
	n.news.tellAll()
}

// tableChanged is called when the control group has changed the table.
func (n *Node) tableChanged() {
	if h := n.holding.Load(); h != nil {
		h.changed()
	}
	if s := n.steward.Load(); s != nil {
		s.changed()
	}
}

// memberCount is how many nodes gossip is for, about.
func (n *Node) memberCount() int {
	if c := n.ready.Load(); c != nil {
		return max(len(c.table().Nodes), 1)
	}
	return 1
}
