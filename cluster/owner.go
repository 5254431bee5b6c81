package cluster

import (
	"slices"
	"sync"

	"github.com/holdfast-dev/holdfast/placement"
)

// ownerNews tells those who look for the owner of a shard that something better
// may be known.
type ownerNews struct {
	mu    sync.Mutex // guards the following field
	waits map[placement.ShardID]chan struct{}
}

func newOwnerNews() *ownerNews {
	return &ownerNews{waits: make(map[placement.ShardID]chan struct{})}
}

// of gives the channel that the next news about the shard closes.
func (n *ownerNews) of(shard placement.ShardID) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait, ok := n.waits[shard]
	if !ok {
		wait = make(chan struct{})
		n.waits[shard] = wait
	}
	return wait
}

// tell closes the channels of those who wait for that shard.
func (n *ownerNews) tell(shard placement.ShardID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if wait, ok := n.waits[shard]; ok {
		close(wait)
		delete(n.waits, shard)
	}
}

// tellAll does it for all shards.
func (n *ownerNews) tellAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, wait := range n.waits {
		close(wait)
	}
	clear(n.waits)
}

// Owner says which node owns the shard, as far as this one knows, at which
// internal address it is, and whether it is this node. It may be wrong: an owner
// refuses what is not its own. changed is closed when something better may be known.
func (n *Node) Owner(shard placement.ShardID) (node, address string, local, ok bool, changed <-chan struct{}) {
	changed = n.news.of(shard) // first, so that nothing is missed
	if _, err := n.Ownership(shard); err == nil {
		return n.Name(), "", true, true, changed
	}
	if n.peers == nil {
		return "", "", false, false, changed
	}
	name := n.guess(shard)
	if name == "" || name == n.Name() {
		return "", "", false, false, changed
	}
	address, ok = n.peers.members.address(placement.NodeID(name))
	return name, address, false, ok, changed
}

// Address gives the internal address of a node that gossip holds for alive.
func (n *Node) Address(node string) (address string, ok bool) {
	if n.peers == nil {
		return "", false
	}
	return n.peers.members.address(placement.NodeID(node))
}

// guess gives the leader that this node's own replica follows, or else what
// hints say, or the home. A hint that names this node, which does not own the
// shard, is outdated: whoever has it now has not been heard of yet.
func (n *Node) guess(shard placement.ShardID) string {
	if g := n.group(shard); g != nil {
		_, id := g.raft.LeaderWithID()
		if leader, err := parseReplicaID(id); err == nil {
			return leader.node
		}
	}
	if hint, ok := n.hints.owner(shard); ok && string(hint.Node) != n.Name() {
		return string(hint.Node)
	}
	if holders := n.Holders(shard); len(holders) > 0 {
		return holders[0]
	}
	return ""
}

// Holders gives the other nodes that shall hold the shard, the home first. One of
// them owns it, or can say who does, when everything else has led astray.
func (n *Node) Holders(shard placement.ShardID) []string {
	t := n.control.table()
	if int64(shard) >= int64(len(t.Shards)) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.Shards[shard].Wanted), func(name string) bool { return name == n.Name() })
}

// Learn takes the hint that an answer of another node has brought.
func (n *Node) Learn(hint Hint) {
	if int64(hint.Shard) < int64(n.Shards()) && hint.Ownership > 0 && validateName(string(hint.Node)) == nil {
		n.hints.learn(hint)
	}
}

// HintOf gives the newest hint about a shard, to pass on in an answer.
func (n *Node) HintOf(shard placement.ShardID) (Hint, bool) {
	hint, ok := n.hints.owner(shard)
	if g := n.group(shard); g != nil {
		if own, known := g.hint(); known && own.Ownership > hint.Ownership {
			return own, true
		}
	}
	return hint, ok
}

// hint tells what this replica knows of the owner: the leader of the term in which
// the newest ownership was opened, as long as that term lasts.
func (g *group) hint() (Hint, bool) {
	opened := g.fsm.opened()
	_, id := g.raft.LeaderWithID()
	leader, err := parseReplicaID(id)
	if err != nil || opened.ownership == 0 || g.raft.CurrentTerm() != opened.term {
		return Hint{}, false
	}
	return Hint{Shard: g.shard, Node: placement.NodeID(leader.node), Ownership: opened.ownership}, true
}

// owned is called when an ownership begins or ends here.
func (n *Node) owned(shard placement.ShardID, ownership uint64) {
	if ownership > 0 {
		n.hints.announce(Hint{Shard: shard, Node: placement.NodeID(n.Name()), Ownership: ownership})
	}
	n.news.tell(shard)
}
