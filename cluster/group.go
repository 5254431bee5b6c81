package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// proposer is what a group asks of the library: to put an entry into the log.
// It is *raft.Raft but for the tests that lose entries on purpose.
type proposer interface {
	Apply(entry []byte, timeout time.Duration) raft.ApplyFuture
}

// group is this node's replica of one shard's Raft group. It proposes batches
// while the node owns the shard (propose.go), and gains and loses the ownership
// (ownership.go).
type group struct {
	// Fixed after openGroup.
	shard   placement.ShardID
	me      replicaID
	raft    *raft.Raft
	log     *slog.Logger
	store   *groupLog
	fsm     *shardFSM
	events  *Events
	budget  *budget
	space   *space
	propose proposer
	port    replicaPort // nil if there can be no other replicas
	opened  time.Time
	timeout time.Duration // of heartbeats

	cancel    context.CancelFunc // ends run
	running   sync.WaitGroup
	ended     chan struct{}  // closed when run has ended
	ready     chan struct{}  // closed at the first ownership, when the replica stopped, or at once if others vote
	broken    chan struct{}  // one slot: an entry of the current ownership was not applied
	handing   chan struct{}  // one slot: taken by a hand-over until it is over
	handovers chan *handover // taken by run, which refuses them while this replica does not own the shard
	watch     *time.Timer    // armed while entries are in flight
	reloading sync.Mutex     // held while the library's configuration is changed
	members   atomic.Pointer[membership]
	onPeers   func() // called when there are other voters; may be nil

	prompts    prompts
	sinceStub  snapshotTrigger
	isReady    sync.Once
	failure    atomic.Pointer[error] // why the replica stopped
	lastStub   atomic.Uint64
	leadership atomic.Bool // as last reported to events

	mu       sync.Mutex // guards the following fields
	number   uint64     // of the ownership; 0: none
	term     uint64     // of the ownership
	nextN    uint64
	lost     bool // the ownership is over, its proposals still wait for answers
	closing  bool // nothing new is taken
	watching bool // watch is armed
	queue    queue
	look     look // the newest for which this replica has reported
	changes  int  // of the configuration that are being made
}

// replicaPort is what a transport between nodes does for a replica besides what
// the library asks of it. raftPort is one.
type replicaPort interface {
	// attach says whose transport it is.
	attach(r *raft.Raft)
	// leads proves that the replica led in that term at a moment after the call began.
	leads(term uint64) bool
	// endLease makes leads say no for the rest of the term.
	endLease(term uint64)
	// follower says of another replica whether it answers this leader, and the last
	// entry of this leader's log that it is known to have.
	follower(id raft.ServerID) (healthy bool, matched uint64)
	// heard says when another replica last answered this leader.
	heard(id raft.ServerID) time.Time
	// courted says when another replica was last told that it would get this
	// one's vote; zero: never.
	courted() time.Time
}

var _ replicaPort = (*raftPort)(nil)

// groupConfig is what a group needs besides its place.
type groupConfig struct {
	shard    placement.ShardID
	me       replicaID
	db       *logDB
	spool    *spool
	sm       StateMachine
	trans    raft.Transport
	timeout  time.Duration // of heartbeats
	budget   *budget
	space    *space
	snapshot func(*group) // asks for a snapshot; must not block
	opened   func(*group) // called before the replica can own the shard
	peers    func()       // called when there are other voters; must not block; nil: nobody asks
	log      *slog.Logger
	events   *Events
	faults   faults

	snapshotEntries int64 // after so many a snapshot is due
}

// openGroup starts the replica. first is the configuration with which a group
// that has no trace on this node begins; a replica that others will add has none.
func openGroup(cfg groupConfig, first raft.Configuration) (*group, error) {
	store, err := cfg.db.openGroup(cfg.shard, cfg.me.number)
	if err != nil {
		return nil, err
	}
	g := &group{
		shard: cfg.shard, me: cfg.me, store: store, events: cfg.events, budget: cfg.budget, space: cfg.space,
		log:   cfg.log.With("shard", cfg.shard),
		ready: make(chan struct{}), broken: make(chan struct{}, 1), ended: make(chan struct{}),
		handing: make(chan struct{}, 1), handovers: make(chan *handover), watch: time.NewTimer(time.Hour), opened: time.Now(), timeout: cfg.timeout,
	}
	g.watch.Stop()
	g.port, _ = cfg.trans.(replicaPort)
	g.onPeers = cfg.peers
	g.members.Store(&membership{})
	g.sinceStub.ask = func() { cfg.snapshot(g) }
	g.sinceStub.limit = cfg.snapshotEntries
	snapshots := &snapshotStore{shard: cfg.shard, log: store, spool: cfg.spool, faults: cfg.faults}
	if err := g.prepare(snapshots, cfg, first); err != nil {
		return nil, err
	}
	g.raft, err = raft.NewRaft(raftConfig(cfg.me.serverID(), cfg.timeout, 0, g.log), g.fsm, store, store, snapshots, cfg.trans)
	if err != nil {
		return nil, fmt.Errorf("cluster: start shard %d: %w", cfg.shard, err)
	}
	g.propose = g.raft
	if cfg.faults.wrap != nil {
		g.propose = cfg.faults.wrap(g.shard, g.raft)
	}
	if g.port != nil {
		g.port.attach(g.raft)
	}
	g.sinceStub.armed.Store(true)
	g.configured(g.raft.GetConfiguration().Configuration(), g.members.Load().index)
	if g.members.Load().peers {
		g.isReady.Do(func() { close(g.ready) })
	}
	if g.members.Load().alone {
		if err := g.campaign(); err != nil {
			return nil, errors.Join(fmt.Errorf("cluster: start shard %d: %w", cfg.shard, err), g.raft.Shutdown().Error())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	cfg.opened(g)
	if g.members.Load().peers && g.onPeers != nil {
		g.onPeers() // again: now the group can be found
	}
	g.running.Go(func() { g.run(ctx) })
	return g, nil
}

// prepare makes the state machine, and the first configuration of a new group,
// and refuses to start where log and state do not fit together.
func (g *group) prepare(snapshots *snapshotStore, cfg groupConfig, first raft.Configuration) error {
	position, header, err := cfg.sm.Position(uint32(g.shard))
	if err != nil {
		return fmt.Errorf("cluster: start shard %d: read position of the state: %w", g.shard, err)
	}
	fence, err := decodeFence(header)
	if err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	stub, err := g.store.loadStub(keyStub)
	if err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	g.fsm = newShardFSM(g.shard, cfg.sm, position, fence, stub)
	snapshots.fsm = g.fsm
	if err := snapshots.finish(); err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	if stub, err = g.store.loadStub(keyStub); err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	if err := checkFit(g.fsm.position.Load(), stub.Index, g.store.first, g.store.last); err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	g.lastStub.Store(stub.Index)
	g.members.Store(newMembership(stub.configuration(), stub.ConfigurationIndex, g.me.serverID()))
	g.fsm.faults = cfg.faults
	g.fsm.applied = g.applied
	g.fsm.logged = g.sinceStub.add
	g.fsm.configured = g.configured
	g.fsm.install = g.installer(snapshots)
	g.fsm.stopped = g.stopped
	if len(first.Servers) == 0 {
		return nil
	}
	if err := bootstrap(g.store, snapshots, first); err != nil {
		return fmt.Errorf("cluster: bootstrap shard %d: %w", g.shard, err)
	}
	return nil
}

// checkFit compares what the state contains with what the log can still give.
// The log is synced before the state applies it and is cut only behind what the
// state has synced, so no crash leads here: a file was lost or put back.
func checkFit(position, stub, first, last uint64) error {
	const advice = "restore the whole data directory from one backup"
	if position < stub {
		return fmt.Errorf("%w: the state ends at entry %d, its snapshot at %d: %s", ErrDataLoss, position, stub, advice)
	}
	if first > 0 && position < first-1 {
		return fmt.Errorf("%w: the state ends at entry %d, the log begins at %d: %s", ErrDataLoss, position, first, advice)
	}
	if position > max(last, stub) {
		return fmt.Errorf("%w: the state ends at entry %d, the log at %d: %s", ErrDataLoss, position, max(last, stub), advice)
	}
	return nil
}

// installer gives the function that brings received snapshots into the state.
func (g *group) installer(snapshots *snapshotStore) func(io.Reader) error {
	return func(content io.Reader) error {
		received, err := g.store.loadStub(keyReceived)
		if err != nil {
			return err
		}
		if received.Index == 0 {
			return errNoContent
		}
		start := time.Now()
		err = snapshots.install(received, content)
		g.events.snapshotInstalled(g.shard, received.Size, time.Since(start), err)
		if err != nil {
			return err
		}
		g.lastStub.Store(received.Index)
		g.configured(received.configuration(), received.ConfigurationIndex)
		g.log.Info("snapshot of the shard restored", "index", received.Index, "bytes", received.Size)
		return nil
	}
}

// stopped is called when the replica met something that it must not skip.
func (g *group) stopped(index uint64, err error) {
	g.failure.Store(&err)
	g.log.Error("replica stopped, this shard takes no more writes on this node", "index", index, "error", err)
	g.events.replicaStopped(g.shard, err)
	g.signalBroken()
	g.isReady.Do(func() { close(g.ready) })
}

// failed gives the reason why the replica stopped, or nil.
func (g *group) failed() error {
	if err := g.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// snapshotNow makes the state durable and cuts the log behind it.
func (g *group) snapshotNow() {
	start := time.Now()
	entries, logBytes := g.sinceStub.begin()
	index := g.fsm.position.Load()
	err := g.leaveTrail(entries, logBytes)
	if err == nil {
		err = g.raft.Snapshot().Error()
	}
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return
	}
	if err == nil {
		g.lastStub.Store(index)
	} else {
		g.sinceStub.restore(entries, logBytes)
	}
	g.events.snapshotTaken(g.shard, index, time.Since(start), err)
}

// close takes no more proposals, waits until those in flight have their answers,
// and stops the replica.
func (g *group) close() error {
	g.cancel()
	g.running.Wait()
	g.watch.Stop()
	if err := g.raft.Shutdown().Error(); err != nil {
		return fmt.Errorf("cluster: stop shard %d: %w", g.shard, err)
	}
	return nil
}
