package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// errNoAddress means that gossip has not told yet where a node is.
var errNoAddress = errors.New("cluster: the node's address is not known")

// peers is how a node finds and reaches the others: gossip, and the connections
// of Raft groups and calls.
type peers struct {
	// Fixed after openPeers.
	cfg     peersConfig
	members *members
	cancel  context.CancelFunc
	moved   chan struct{} // one slot: others may gossip elsewhere
	left    sync.Once
	running sync.WaitGroup

	mux atomic.Pointer[raftMux]
}

// peersConfig is what openPeers needs.
type peersConfig struct {
	network  *Network
	dir      *directory
	start    uint64
	hints    *hints
	timeout  time.Duration // of heartbeats
	clock    func() time.Duration
	changed  func() // members have changed; must not block
	silent   func(groupID) bool
	declines func() bool // whether this node takes no leadership that is handed over
	answer   func(context.Context, peerRequest) peerAnswer
	events   *Events
	log      *slog.Logger
	faults   faults
}

// openPeers begins to gossip, to look for others and to take connections.
func openPeers(cfg peersConfig) (*peers, error) {
	p := &peers{cfg: cfg, moved: make(chan struct{}, 1)}
	if err := p.gossip(); err != nil {
		return nil, err
	}
	p.mux.Store(p.newMux(cfg.timeout))
	cfg.network.Handle(func(conn net.Conn) { p.mux.Load().serve(conn) })
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	s := &seeds{
		targets: append(recall(cfg.dir), cfg.network.Join...), port: DefaultGossipPort, resolver: cfg.network.resolver,
		quiet: len(cfg.network.Join) == 0, log: cfg.log,
	}
	if len(s.targets) > 0 {
		p.running.Go(func() { s.keepJoining(ctx, p.members) })
	}
	p.running.Go(func() { p.remember(ctx) })
	return p, nil
}

func (p *peers) gossip() (err error) {
	identity, network := p.cfg.dir.identity, p.cfg.network
	p.members, err = newMembers(membersConfig{
		node: placement.NodeID(identity.Name), start: p.cfg.start,
		meta: memberMeta{cluster: identity.ClusterID, directory: p.cfg.dir.id, zone: network.Zone, internal: network.Internal},
		bind: network.GossipBind, advertise: network.GossipAdvertise, key: network.GossipKey, transport: network.GossipTransport,
		changed: p.changed, hints: p.cfg.hints, log: p.cfg.log, pace: int(p.cfg.timeout / DefaultHeartbeatTimeout),
	})
	return err
}

// changed is called when gossip has news of members. It does not block.
func (p *peers) changed() {
	select {
	case p.moved <- struct{}{}:
	default:
	}
	p.cfg.changed()
}

func (p *peers) newMux(timeout time.Duration) *raftMux {
	return newRaftMux(raftMuxConfig{
		node: p.cfg.dir.identity.Name, directory: p.cfg.dir.id, timeout: timeout, dial: p.dial, clock: p.cfg.clock,
		silent: p.cfg.silent, declines: p.cfg.declines, answer: p.cfg.answer, events: p.cfg.events, log: p.cfg.log, faults: p.cfg.faults,
	})
}

// setTimeout makes the connections anew for a cluster that has another heartbeat
// time-out than this node was started with. No group may be open.
func (p *peers) setTimeout(timeout time.Duration) error {
	old := p.mux.Load()
	if old.cfg.timeout == timeout {
		return nil
	}
	p.mux.Store(p.newMux(timeout))
	return old.Close()
}

// dial connects to a node, wherever gossip says that it is now.
func (p *peers) dial(ctx context.Context, node string) (net.Conn, error) {
	address, ok := p.members.address(placement.NodeID(node))
	if !ok {
		return nil, fmt.Errorf("%w: %s", errNoAddress, node)
	}
	return p.cfg.network.Dial(ctx, address)
}

// call asks a node.
func (p *peers) call(ctx context.Context, node string, q peerRequest) (peerAnswer, error) {
	return p.mux.Load().callPeer(ctx, node, q)
}

// leave says good-bye, once.
func (p *peers) leave() {
	p.left.Do(func() {
		if err := p.members.leave(); err != nil {
			// Nobody may be there to hear it; whoever is finds out.
			p.cfg.log.Info("left without a good-bye", "error", err)
		}
	})
}

// close says good-bye and ends all connections. The groups must be closed.
func (p *peers) close() error {
	if p.cancel != nil {
		p.cancel()
	}
	p.leave()
	var err error
	if mux := p.mux.Load(); mux != nil {
		err = mux.Close()
	}
	p.running.Wait()
	return errors.Join(err, p.members.close())
}
