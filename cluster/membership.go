package cluster

import (
	"slices"

	"github.com/hashicorp/raft"
)

// membership is what a replica's Raft configuration means to it.
type membership struct {
	index     uint64 // of the configuration, which is committed
	servers   []raft.Server
	alone     bool // this replica is the only voter
	followers bool // there are other replicas
	peers     bool // there are other voters
}

// configured notes a configuration that is in force. An older one than is known
// already, which the library replays after a start, changes nothing.
func (g *group) configured(c raft.Configuration, index uint64) {
	for {
		now := g.members.Load()
		if index < now.index {
			return
		}
		next := newMembership(c, index, g.me.serverID())
		if g.members.CompareAndSwap(now, next) {
			if next.peers && g.onPeers != nil {
				g.onPeers()
			}
			return
		}
	}
}

func newMembership(c raft.Configuration, index uint64, me raft.ServerID) *membership {
	m := &membership{index: index, servers: c.Servers}
	voters := 0
	for _, server := range c.Servers {
		if server.ID != me {
			m.followers = true
		}
		if server.Suffrage == raft.Voter {
			voters++
			m.peers = m.peers || server.ID != me
			m.alone = m.alone || server.ID == me
		}
	}
	m.alone = m.alone && voters == 1
	return m
}

// rankOf gives the place of a replica among those who may stand for election
// once the leader is gone, and -1 if it may not. Shards begin at different places,
// so that not one node inherits all.
func rankOf(c raft.Configuration, me, leader raft.ServerID, shard int) int {
	var voters []raft.ServerID
	for _, server := range c.Servers {
		if server.Suffrage == raft.Voter && server.ID != leader {
			voters = append(voters, server.ID)
		}
	}
	slices.Sort(voters)
	at := slices.Index(voters, me)
	if at < 0 {
		return -1
	}
	return (at + shard) % len(voters)
}

// configuration gives the index of the configuration that is in force, and
// whether there is no newer one on its way. The library does not tell the index:
// GetConfiguration leaves it 0.
func (g *group) configuration() (index uint64, committed bool) {
	m := g.members.Load()
	return m.index, slices.Equal(m.servers, g.raft.GetConfiguration().Configuration().Servers)
}

// lookedAt notes that a control leader looks, and gives the ownership under which
// the report is made. It is not ok at a look that is older than the newest, or if this
// replica owns nothing. The zero look is that of somebody who will change nothing.
func (g *group) lookedAt(at look) (ownership uint64, busy, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number == 0 || g.lost || g.closing || at != (look{}) && at.before(g.look) {
		return 0, false, false
	}
	if g.look.before(at) {
		g.look = at
	}
	return g.number, g.changes > 0, true
}

// admitChange refuses what was not chosen by the newest report. changed must be
// called when the change is made, or not.
func (g *group) admitChange(c replicaChange) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number == 0 || g.lost || g.closing || g.number != c.Ownership {
		return ErrNotOwner
	}
	if c.Look != g.look && !g.fsm.faults.anyLook {
		return errOldLook
	}
	g.changes++
	return nil
}

func (g *group) changed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes--
}
