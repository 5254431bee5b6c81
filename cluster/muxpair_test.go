package cluster

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// The library looks for these abilities and says little if one is missing.
var (
	_ raft.WithPreVote = (*raftPort)(nil)
	_ raft.WithClose   = (*raftPort)(nil)
)

// muxPair is two nodes whose replicas are played by the test.
type muxPair struct {
	t    *testing.T
	net  *muxNet
	a, b *raftMux
}

func newMuxPair(t *testing.T) *muxPair {
	t.Helper()
	p := &muxPair{t: t, net: newMuxNet()}
	p.a, p.b = p.node("a", 1, nil), p.node("b", 2, nil)
	return p
}

// node makes a node. The time of its clock is an hour ahead, to find out if
// anybody compares it with another one.
func (p *muxPair) node(name string, directory byte, silent func(groupID) bool) *raftMux {
	start := time.Now().Add(-time.Hour * time.Duration(directory))
	m := newRaftMux(raftMuxConfig{
		node: name, directory: directoryID{directory}, timeout: DefaultHeartbeatTimeout, dial: p.net.dialFrom(name),
		clock: func() time.Duration { return time.Since(start) }, silent: silent, log: slog.New(slog.DiscardHandler),
	})
	p.net.change(func() { p.net.nodes[name] = m })
	return m
}

func (p *muxPair) close() {
	if err := errors.Join(p.a.Close(), p.b.Close()); err != nil {
		p.t.Error(err)
	}
}

// played is a replica whose state the test sets.
type played struct {
	*raftPort
	is          atomic.Int64 // raft.RaftState
	inTerm      atomic.Uint64
	led         atomic.Pointer[raft.ServerID]
	contact     atomic.Pointer[time.Time]
	empty       atomic.Bool
	heartbeats  atomic.Int64 // that passed by
	onHeartbeat func()
}

func play(t *testing.T, m *raftMux, group groupID, number uint64, state raft.RaftState, term uint64) *played {
	t.Helper()
	port, err := m.open(group, number)
	if err != nil {
		t.Fatal(err)
	}
	p := &played{raftPort: port}
	p.is.Store(int64(state))
	p.inTerm.Store(term)
	p.follow("")
	p.contact.Store(new(time.Time))
	port.hooks.Store(&raftHooks{
		state:       func() raft.RaftState { return raft.RaftState(p.is.Load()) },
		term:        p.inTerm.Load,
		leader:      func() raft.ServerID { return *p.led.Load() },
		lastContact: func() time.Time { return *p.contact.Load() },
		configuration: func() raft.Configuration {
			if p.empty.Load() {
				return raft.Configuration{}
			}
			return port.me.configuration()
		},
	})
	port.SetHeartbeatHandler(func(rpc raft.RPC) {
		p.heartbeats.Add(1)
		if p.onHeartbeat != nil {
			p.onHeartbeat()
		}
		rpc.Respond(&raft.AppendEntriesResponse{Term: p.inTerm.Load(), Success: true}, nil)
	})
	return p
}

func (p *played) follow(leader raft.ServerID) { p.led.Store(&leader) }

func (p *played) heard() {
	now := time.Now()
	p.contact.Store(&now)
}

// next takes a request as the library's main loop would.
func (p *played) next(t *testing.T) raft.RPC {
	t.Helper()
	select {
	case rpc := <-p.consumer:
		return rpc
	case <-time.NewTimer(10 * time.Second).C:
		t.Fatal("no request in 10 s")
		return raft.RPC{}
	}
}

// none checks that no request comes.
func (p *played) none(t *testing.T, what string) {
	t.Helper()
	select {
	case rpc := <-p.consumer:
		t.Errorf("%s: replica got %T", what, rpc.Command)
		rpc.Respond(nil, errors.New("unwanted"))
	case <-time.NewTimer(time.Second).C:
	}
}
