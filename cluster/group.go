package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// trailingLogs is how many entries stay in a shard's log behind a snapshot: none
// is needed while there is no follower that might be a little behind.
const trailingLogs = 0

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
	alone   bool // the only voter, so that being leader proves ownership

	cancel  context.CancelFunc // ends run
	running sync.WaitGroup
	ready   chan struct{} // closed at the first ownership, or when the replica stopped
	broken  chan struct{} // one slot: an entry of the current ownership was not applied
	watch   *time.Timer   // armed while entries are in flight

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
}

// groupConfig is what a group needs besides its place.
type groupConfig struct {
	shard    placement.ShardID
	me       replicaID
	db       *logDB
	sm       StateMachine
	trans    raft.Transport
	timeout  time.Duration // of heartbeats
	budget   *budget
	space    *space
	snapshot func(*group) // asks for a snapshot; must not block
	opened   func(*group) // called before the replica can own the shard
	log      *slog.Logger
	events   *Events
	faults   faults

	snapshotEntries int64 // after so many a snapshot is due
}

// openGroup starts the replica. first is the configuration with which a group
// that has no trace on this node begins.
func openGroup(cfg groupConfig, first raft.Configuration) (*group, error) {
	store, err := cfg.db.openGroup(cfg.shard, cfg.me.number)
	if err != nil {
		return nil, err
	}
	g := &group{
		shard: cfg.shard, me: cfg.me, store: store, events: cfg.events, budget: cfg.budget, space: cfg.space,
		log:   cfg.log.With("shard", cfg.shard),
		ready: make(chan struct{}), broken: make(chan struct{}, 1),
		watch: time.NewTimer(time.Hour),
	}
	g.watch.Stop()
	g.sinceStub.ask = func() { cfg.snapshot(g) }
	g.sinceStub.limit = cfg.snapshotEntries
	conf := raftConfig(cfg.me.serverID(), cfg.timeout, trailingLogs, g.log)
	stubs := stubStore{log: store}
	if err := g.prepare(stubs, cfg, first); err != nil {
		return nil, err
	}
	g.raft, err = raft.NewRaft(conf, g.fsm, store, store, stubs, cfg.trans)
	if err != nil {
		return nil, fmt.Errorf("cluster: start shard %d: %w", cfg.shard, err)
	}
	g.propose = g.raft
	if cfg.faults.wrap != nil {
		g.propose = cfg.faults.wrap(g.shard, g.raft)
	}
	g.sinceStub.armed.Store(true)
	g.alone = onlyVoter(g.raft.GetConfiguration().Configuration(), cfg.me.serverID())
	if g.alone {
		if err := campaign(g.raft); err != nil {
			return nil, errors.Join(fmt.Errorf("cluster: start shard %d: %w", cfg.shard, err), g.raft.Shutdown().Error())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	cfg.opened(g)
	g.running.Go(func() { g.run(ctx) })
	return g, nil
}

// prepare makes the state machine, and the first configuration of a new group,
// and refuses to start where log and state do not fit together.
func (g *group) prepare(stubs stubStore, cfg groupConfig, first raft.Configuration) error {
	position, header, err := cfg.sm.Position(uint32(g.shard))
	if err != nil {
		return fmt.Errorf("cluster: start shard %d: read position of the state: %w", g.shard, err)
	}
	fence, err := decodeFence(header)
	if err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	stub, err := stubs.load()
	if err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	if err := checkFit(position, stub.Index, g.store.first, g.store.last); err != nil {
		return fmt.Errorf("cluster: start shard %d: %w", g.shard, err)
	}
	g.lastStub.Store(stub.Index)
	g.fsm = newShardFSM(g.shard, cfg.sm, position, fence)
	g.fsm.faults = cfg.faults
	g.fsm.applied = g.applied
	g.fsm.logged = g.sinceStub.add
	g.fsm.stopped = g.stopped
	if err := bootstrap(g.store, stubs, first); err != nil {
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

// onlyVoter says whether that server alone decides.
func onlyVoter(c raft.Configuration, id raft.ServerID) bool {
	voters := 0
	mine := false
	for _, server := range c.Servers {
		if server.Suffrage == raft.Voter {
			voters++
			mine = mine || server.ID == id
		}
	}
	return mine && voters == 1
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
	err := g.raft.Snapshot().Error()
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
