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
)

const (
	// maxInbound bounds the accepted connections.
	maxInbound = 1024
	// minDialPause and maxDialPause bound the time between two dials of a peer.
	minDialPause = 10 * time.Millisecond
	maxDialPause = 500 * time.Millisecond
)

// raftMux carries what the Raft groups of this node and those of its peers say to
// each other. To each peer it has two connections, on which answers come back: one
// for heartbeats and votes, one for appends, so that no append delays a heartbeat;
// and one for each snapshot.
type raftMux struct {
	// Fixed after newRaftMux.
	cfg    raftMuxConfig
	log    *slog.Logger
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	ports     [groupCount]atomic.Pointer[raftPort] // of the groups that have a replica here
	ticking   atomic.Bool                          // run will tick
	busy      chan struct{}                        // one slot: run should tick
	snapshots chan struct{}                        // one element for each snapshot that is being sent
	running   sync.WaitGroup

	mu      sync.Mutex // guards the following fields
	peers   map[string]*muxPeer
	inbound map[net.Conn]struct{}
	newest  map[inboundKey]net.Conn // the peer's newest connection for control or appends
	streams map[*snapshotStream]struct{}
	closed  bool
}

// raftMuxConfig is what the mux needs.
type raftMuxConfig struct {
	node      string
	directory directoryID
	// timeout of heartbeats, the same on all nodes.
	timeout time.Duration
	// dial connects to a node by name, authenticated, looking up its address anew.
	dial func(ctx context.Context, node string) (net.Conn, error)
	// clock counts on while the machine sleeps. nil: leaseClock.
	clock func() time.Duration
	// silent says of which groups no heartbeat and no append is sent and no vote is
	// answered now. It is called with locks held: it may read atomics, no more.
	// nil: of none.
	silent func(groupID) bool
	// declines says that this node takes no leadership that others hand over. nil:
	// it takes all.
	declines func() bool
	// answer serves the calls of other nodes. nil: all are refused.
	answer func(context.Context, peerRequest) peerAnswer
	events *Events // nil: nobody wants to know
	log    *slog.Logger
	faults faults
}

// muxPeer is another node, as the one that is dialled.
type muxPeer struct {
	control *lane
	appends *lane
}

// newRaftMux starts the transport. Close ends it.
func newRaftMux(cfg raftMuxConfig) *raftMux {
	if cfg.clock == nil {
		cfg.clock = leaseClock
	}
	if cfg.silent == nil {
		cfg.silent = func(groupID) bool { return false }
	}
	if cfg.declines == nil {
		cfg.declines = func() bool { return false }
	}
	if cfg.events == nil {
		cfg.events = &Events{}
	}
	m := &raftMux{
		cfg: cfg, log: cfg.log, busy: make(chan struct{}, 1), snapshots: make(chan struct{}, maxSnapshots),
		peers: make(map[string]*muxPeer), inbound: make(map[net.Conn]struct{}),
		newest: make(map[inboundKey]net.Conn), streams: make(map[*snapshotStream]struct{}),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.running.Go(m.run)
	return m
}

// open gives the group's replica with that number its transport. A group has one
// replica on a node at a time.
func (m *raftMux) open(group groupID, number uint64) (*raftPort, error) {
	p := newRaftPort(m, group, replicaID{node: m.cfg.node, directory: m.cfg.directory, number: number})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errMuxClosed
	}
	if !m.ports[group].CompareAndSwap(nil, p) {
		return nil, fmt.Errorf("cluster: open raft transport of group %d: another replica has it", group)
	}
	return p, nil
}

// port gives the replica to which a frame goes, or nil.
func (m *raftMux) port(a muxAddress) *raftPort {
	p := m.ports[a.group].Load()
	if p == nil || p.me.directory != a.directory || p.me.number != a.to || p.hooks.Load() == nil {
		return nil
	}
	return p
}

// peer gives the lanes to a node.
func (m *raftMux) peer(node string) (*muxPeer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errMuxClosed
	}
	p := m.peers[node]
	if p == nil {
		p = &muxPeer{control: newLane(m, node, laneControl), appends: newLane(m, node, laneAppends)}
		m.peers[node] = p
	}
	return p, nil
}

// tickSoon makes run tick, if it does not already. It does not block.
func (m *raftMux) tickSoon() {
	if m.ticking.CompareAndSwap(false, true) {
		select {
		case m.busy <- struct{}{}:
		default:
		}
	}
}

// run ticks while there are calls or snapshots on their way. An idle mux has no timer.
func (m *raftMux) run() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-m.busy:
			timer.Reset(m.cfg.timeout / 10)
		case now := <-timer.C:
			m.ticking.Store(false)
			if m.tick(now) {
				m.tickSoon()
			}
		case <-m.ctx.Done():
			return
		}
	}
}

// tick looks after all lanes and says whether it has to again.
func (m *raftMux) tick(now time.Time) bool {
	m.mu.Lock()
	peers := make([]*muxPeer, 0, len(m.peers))
	for _, p := range m.peers {
		peers = append(peers, p)
	}
	streams := make([]*snapshotStream, 0, len(m.streams))
	for s := range m.streams {
		streams = append(streams, s)
	}
	m.mu.Unlock()
	again := len(streams) > 0
	for _, p := range peers {
		// Not again || tick: each lane has to be looked after.
		again = p.control.tick(now) || again
		again = p.appends.tick(now) || again
		// An append may lawfully wait for a slow disk, so it is the heartbeats that
		// say whether the peer is there.
		if conn := p.control.dead(now); conn != nil {
			m.log.Warn("peer does not answer, connections closed", "peer", p.control.node)
			conn.close()
			// Also if nobody waits for its answers any more: what was written to it is
			// still on its way, and TCP, which has tried in vain for as long as the peer was
			// not reached, may wait as long again before it tries once more.
			if conn := p.appends.connection(); conn != nil {
				conn.close()
			}
		}
	}
	for _, s := range streams {
		if s.call.abandoned() {
			s.abort()
		}
	}
	return again
}

// dialPeer connects to a node and says hello.
func (m *raftMux) dialPeer(ctx context.Context, node string, use laneUse) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*m.cfg.timeout)
	defer cancel()
	conn, err := m.cfg.dial(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("cluster: raft connection to %s: %w", node, err)
	}
	deadline, _ := ctx.Deadline()
	err = conn.SetDeadline(deadline)
	if err == nil {
		_, err = conn.Write(appendHello(nil, hello{use: use, node: m.cfg.node, directory: m.cfg.directory, means: node}))
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: raft connection to %s: %w", node, err), conn.Close())
	}
	return conn, nil
}

// Close ends all connections, fails all calls and returns when no goroutine is left.
func (m *raftMux) Close() error {
	m.mu.Lock()
	m.closed = true
	m.cancel()
	lanes := make([]*lane, 0, 2*len(m.peers))
	for _, p := range m.peers {
		lanes = append(lanes, p.control, p.appends)
	}
	for conn := range m.inbound {
		conn.Close() //nolint:errcheck // what it carried is not answered
	}
	streams := make([]*snapshotStream, 0, len(m.streams))
	for s := range m.streams {
		streams = append(streams, s)
	}
	m.mu.Unlock()
	for _, l := range lanes {
		l.close()
	}
	for _, s := range streams {
		s.abort()
	}
	var errs []error
	for i := range m.ports {
		if p := m.ports[i].Load(); p != nil {
			errs = append(errs, p.Close())
		}
	}
	m.running.Wait()
	return errors.Join(errs...)
}

// backoff is the pause before the next try, which gets longer and longer.
type backoff struct {
	pause time.Duration
}

func (b *backoff) longer() { b.pause = min(max(2*b.pause, minDialPause), maxDialPause) }

func (b *backoff) reset() { b.pause = 0 }

func (b *backoff) wait(ctx context.Context) error {
	if b.pause == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(b.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
