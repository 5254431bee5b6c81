package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// Node is this process's part of the cluster. Its methods may be called from
// any goroutine; Start and Close once each.
type Node struct {
	// Fixed after Open.
	cfg     Config
	dir     *directory
	db      *logDB
	control *control
	table   *table
	start   uint64
	space   *space
	budget  *budget
	spool   *spool
	hints   *hints
	news    *ownerNews
	peers   *peers        // nil: the node is alone
	forming chan struct{} // one slot: members have changed

	// What peers, whose goroutines are there first, may meet; nil until it exists.
	former  atomic.Pointer[former]
	ready   atomic.Pointer[control]
	steward atomic.Pointer[steward]
	// draining says that this node shall own nothing any more.
	draining atomic.Bool
	holding  atomic.Pointer[holding]

	// Fixed after Start.
	snapshots *snapshotter

	prompter atomic.Pointer[prompter] // nil until Start; operators ask before

	groups []atomic.Pointer[group] // by shard; nil until the replica has started

	mu      sync.Mutex // guards the following fields
	started bool
	closed  bool
}

// Open locks the data directory, starts the control group or forms a new cluster
// of this one node, and returns when the cluster's table is known. The directory
// is this process's until Close.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	// Whoever ends the process does not come back; a Fatal that does return must
	// not let the node go on.
	fatal := cfg.Fatal
	cfg.Fatal = func(err error) { fatal(err); panic(err) }
	dir, err := openDirectory(cfg.FS, cfg.Dir, cfg.Name, cfg.DefaultName)
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, dir: dir, budget: &budget{limit: maxNodeBytes},
		spool: &spool{files: cfg.FS, dir: dir.join(snapshotDir)},
		news:  newOwnerNews(), forming: make(chan struct{}, 1),
	}
	n.hints = newHints(n.memberCount, n.news.tell)
	changed := cfg.Events.OwnershipChanged
	n.cfg.Events.OwnershipChanged = func(shard placement.ShardID, ownership uint64) {
		n.owned(shard, ownership)
		if changed != nil {
			changed(shard, ownership)
		}
	}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open opens the parts. On an error Close closes those that are open.
func (n *Node) open(ctx context.Context) (err error) {
	n.space, err = newSpace(n.cfg.FS, n.cfg.Dir, n.cfg.MinFreeBytes, n.cfg.Log, &n.cfg.Events)
	if err != nil {
		return err
	}
	n.spool.space = n.space
	n.db, err = openLogDB(logDBConfig{
		fs: n.cfg.FS, path: n.dir.join(logDir), directory: n.dir.id, create: n.dir.identity.ClusterID == "",
		log: n.cfg.Log, events: &n.cfg.Events, fatal: n.cfg.Fatal, faults: n.cfg.faults,
	})
	if err != nil {
		return err
	}
	n.start, err = n.db.nextStart()
	if err != nil {
		return err
	}
	if err := n.openControl(ctx); err != nil {
		return err
	}
	n.table = n.control.table()
	n.groups = make([]atomic.Pointer[group], len(n.table.Shards))
	if n.dir.identity.ClusterID == "" {
		if err := n.dir.setClusterID(n.table.ClusterID, n.table.HeartbeatMS); err != nil {
			return err
		}
	}
	n.ready.Store(n.control)
	return n.introduce()
}

// Start starts this node's replicas of the shards on that state and returns when
// every shard that it holds alone has an owner, which is this node. After an
// error the node can only be closed.
func (n *Node) Start(ctx context.Context, sm StateMachine) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.started {
		return fmt.Errorf("cluster: start node: %w", ErrClosed)
	}
	n.started = true
	n.snapshots = newSnapshotter(len(n.table.Shards))
	n.prompter.Store(newPrompter(time.Duration(n.table.HeartbeatMS)*time.Millisecond, n.openGroups))
	h := newHolding(n, sm)
	t := n.control.table()
	errs, err := h.act(t)
	if err != nil {
		return fmt.Errorf("cluster: start node in %s: %w", n.cfg.Dir, err)
	}
	for i, err := range errs {
		// What others have, too, need not keep the node from starting.
		if err != nil && errors.Is(err, ErrDataLoss) && len(t.Shards[i].Replicas) > 1 {
			n.cfg.Log.Error("replica not opened, another has to take its place", "shard", i, "error", err)
			errs[i] = nil
		}
	}
	if err := firstOf(errs); err != nil {
		return fmt.Errorf("cluster: start node in %s: %w", n.cfg.Dir, err)
	}
	for i := range n.groups {
		g := n.groups[i].Load()
		if g == nil || !g.members.Load().alone {
			continue // an owner may be elsewhere, or need others
		}
		select {
		case <-g.ready:
		case <-ctx.Done():
			return fmt.Errorf("cluster: start node: wait for an owner of shard %d: %w", g.shard, context.Cause(ctx))
		}
		if err := g.failed(); err != nil {
			return fmt.Errorf("cluster: start node in %s: %w", n.cfg.Dir, err)
		}
	}
	if n.peers != nil {
		n.holding.Store(h)
		h.start()
		h.changed() // the table may have changed since
		s := newSteward(n)
		n.steward.Store(s)
		s.start()
	}
	return nil
}

// firstOf gives the first error and how many more there are: what is wrong with
// one shard is usually wrong with all.
func firstOf(errs []error) error {
	var first error
	more := -1
	for _, err := range errs {
		if err == nil {
			continue
		}
		more++
		if first == nil {
			first = err
		}
	}
	if more > 0 {
		return fmt.Errorf("%w (and %d more shards)", first, more)
	}
	return first
}

// StateDir is where the state machine's database belongs.
func (n *Node) StateDir() string { return n.dir.join(stateDir) }

// Name is the node's name, as recorded in the data directory.
func (n *Node) Name() string { return n.dir.identity.Name }

// ClusterID names the cluster, for ever.
func (n *Node) ClusterID() string { return n.table.ClusterID }

// IDSecret is the secret behind object IDs. The caller must not change it.
func (n *Node) IDSecret() []byte { return n.table.IDSecret }

// Shards is the number of shards of the cluster.
func (n *Node) Shards() int { return len(n.table.Shards) }

// StartNumber counts the starts of this data directory. It is greater than that
// of every earlier start, also of one that crashed.
func (n *Node) StartNumber() uint64 { return n.start }

// Ownership gives the number under which this node may act for the shard's
// objects now. The error is ErrNotOwner.
func (n *Node) Ownership(shard placement.ShardID) (uint64, error) {
	g := n.group(shard)
	if g == nil {
		return 0, ErrNotOwner
	}
	return g.ownership()
}

// Propose puts a batch into the shard's log under that ownership. Batches of one
// shard and ownership take effect in the order of the calls; once one is not
// applied, no later one is. It does not wait for I/O, keeps the batch, and calls
// done exactly once, from any goroutine, also before it returns, with nil after
// StateMachine.Apply has executed the batch, with an ErrRefused if it certainly
// was not applied and never will be, else with an ErrUnknown. done must not
// block. There is no time-out.
func (n *Node) Propose(shard placement.ShardID, ownership uint64, batch []byte, done func(error)) {
	g := n.group(shard)
	if g == nil {
		done(ErrNotOwner)
		return
	}
	g.offer(ownership, batch, done)
}

// Confirm proves that the ownership held at a moment after the call began. On an
// error nothing may be released that depends on it.
func (n *Node) Confirm(shard placement.ShardID, ownership uint64) error {
	g := n.group(shard)
	if g == nil {
		return ErrNotOwner
	}
	return g.confirm(ownership)
}

// Prove is Confirm for callers that can wait: without a lease, as after a hand-over
// that failed, it commits an entry that changes nothing. done is called exactly
// once, from any goroutine, also before it returns; it must not block.
func (n *Node) Prove(shard placement.ShardID, ownership uint64, done func(error)) {
	g := n.group(shard)
	if g == nil {
		done(ErrNotOwner)
		return
	}
	g.prove(ownership, done)
}

// HandOver gives the leadership of a shard, and by that the ownership, to another
// replica: to that node's, or to whoever has most if none is named. What was taken
// is answered first. The error is ErrNotOwner if this node does not own the shard.
func (n *Node) HandOver(ctx context.Context, shard placement.ShardID, to string) error {
	g := n.group(shard)
	if g == nil {
		return ErrNotOwner
	}
	return g.handOverTo(ctx, to)
}

// Leave says good-bye by gossip: others look for this node no more. It goes on
// otherwise, until Close.
func (n *Node) Leave() {
	if n.peers != nil {
		n.peers.leave()
	}
}

// group gives this node's replica of a shard, or nil.
func (n *Node) group(shard placement.ShardID) *group {
	if int64(shard) >= int64(len(n.groups)) {
		return nil
	}
	return n.groups[shard].Load()
}

// openGroups gives this node's replicas as they are now.
func (n *Node) openGroups() []*group {
	groups := make([]*group, 0, len(n.groups))
	for i := range n.groups {
		if g := n.groups[i].Load(); g != nil {
			groups = append(groups, g)
		}
	}
	return groups
}

// Close takes no more proposals, waits until those in flight have their answers,
// ends all ownerships and closes everything. The state machine may be closed
// after it has returned.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	n.closed = true
	if s := n.steward.Load(); s != nil {
		s.close()
	}
	if h := n.holding.Load(); h != nil {
		h.close()
	}
	if n.snapshots != nil {
		n.prompter.Load().close()
		n.snapshots.close()
	}
	errs := make([]error, len(n.groups), len(n.groups)+5)
	var closing sync.WaitGroup
	for i := range n.groups {
		if g := n.groups[i].Load(); g != nil {
			closing.Go(func() { errs[i] = g.close() })
		}
	}
	closing.Wait()
	if n.control != nil {
		errs = append(errs, n.control.stop())
	}
	if n.peers != nil {
		errs = append(errs, n.peers.close())
	}
	if n.db != nil {
		errs = append(errs, n.db.close())
	}
	if n.space != nil {
		n.space.close()
	}
	return errors.Join(append(errs, n.dir.close())...)
}
