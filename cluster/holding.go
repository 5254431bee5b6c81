package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// holding is the replicas that this node holds: those that the table says. It
// opens new ones and throws away those that the table does not have any more.
type holding struct {
	// Fixed after newHolding.
	node *Node
	sm   StateMachine
	wake chan struct{} // one slot: the table may have changed

	cancel  context.CancelFunc
	running sync.WaitGroup

	// Owned by Start, then by run.
	acted uint64 // index of the newest table that is written down

	mu     sync.Mutex // guards the following field
	failed map[placement.ShardID]failedReplica
}

// failedReplica is one that could not be opened. It is not tried again in this
// life of the process.
type failedReplica struct {
	number uint64
	err    error // ErrDataLoss: what it had acknowledged is missing
}

func newHolding(n *Node, sm StateMachine) *holding {
	return &holding{node: n, sm: sm, wake: make(chan struct{}, 1), failed: make(map[placement.ShardID]failedReplica)}
}

// fail notes that a replica could not be opened.
func (h *holding) fail(shard placement.ShardID, number uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed[shard] = failedReplica{number: number, err: err}
}

// failure gives the replica of the shard that could not be opened; its number is 0
// if there is none.
func (h *holding) failure(shard placement.ShardID) failedReplica {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed[shard]
}

// lost gives the replicas of which acknowledged writes are missing. They are no
// good any more, and others have what they lack: the control leader has them
// replaced.
func (h *holding) lost() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var numbers []uint64
	for _, f := range h.failed {
		if errors.Is(f.err, ErrDataLoss) {
			numbers = append(numbers, f.number)
		}
	}
	return numbers
}

// changed makes run look at the table. It does not block.
func (h *holding) changed() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// start follows the table from now on.
func (h *holding) start() {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.running.Go(func() { h.run(ctx) })
}

// holdingRetry is the time after which what failed is tried again, as a disk that
// was full: the table may not change until then.
const holdingRetry = 5 * time.Second

func (h *holding) run(ctx context.Context) {
	again := time.NewTimer(holdingRetry)
	defer again.Stop()
	again.Stop()
	for {
		select {
		case <-h.wake:
		case <-again.C:
		case <-ctx.Done():
			return
		}
		errs, err := h.act(h.node.control.table())
		for _, err := range append(errs, err) {
			if err != nil {
				h.node.cfg.Log.Error("replica not opened or not thrown away", "error", err)
				again.Reset(holdingRetry)
			}
		}
	}
}

func (h *holding) close() {
	if h.cancel != nil {
		h.cancel()
	}
	h.running.Wait()
}

// act writes the table down and then follows it.
func (h *holding) act(t *table) ([]error, error) {
	if t.Index < h.acted {
		return nil, nil // it was found in a snapshot that came late
	}
	if t.Index > h.acted {
		if err := h.node.dir.storeTable(t); err != nil {
			return nil, err
		}
		h.acted = t.Index
	}
	return h.follow(t), nil
}

// follow makes the replicas of this node those of the table, all shards at once,
// and gives an error for each shard in which that failed.
func (h *holding) follow(t *table) []error {
	errs := make([]error, len(t.Shards))
	var working sync.WaitGroup
	for i, shard := range t.Shards {
		id := placement.ShardID(i)
		want, wanted := shard.of(h.node.Name(), h.node.dir.identity.DirectoryID)
		g := h.node.group(id)
		switch {
		case wanted && g != nil && g.me.number == want.Number,
			wanted && h.failure(id).number == want.Number,
			!wanted && g == nil && h.swept(id):
			continue
		}
		working.Go(func() {
			errs[i] = sound(h.node.db.path, func() error { return h.turn(id, g, want, wanted, want.Number == shard.Founder) })
		})
	}
	working.Wait()
	for i, err := range errs {
		if errors.Is(err, ErrDataLoss) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnknownVersion) { // others pass
			want, _ := t.Shards[i].of(h.node.Name(), h.node.dir.identity.DirectoryID)
			h.fail(placement.ShardID(i), want.Number, err)
		}
	}
	return errs
}

// swept says whether the node has nothing of a shard that it does not hold.
func (h *holding) swept(shard placement.ShardID) bool {
	numbers, err := h.node.db.replicasOf(shard)
	return err == nil && len(numbers) == 0
}

// turn closes the replica g of a shard, throws away what is there of others than
// the wanted one, and opens that.
func (h *holding) turn(shard placement.ShardID, g *group, want tableReplica, wanted, founds bool) error {
	if g != nil {
		if hint, ok := g.hint(); ok {
			h.node.hints.learn(hint) // nobody else tells this node where the shard went
		}
		h.node.groups[shard].Store(nil)
		if err := g.close(); err != nil {
			return err
		}
		h.node.cfg.Log.Debug("replica closed, its data goes", "shard", shard, "replica", g.me.serverID())
	}
	if err := h.sweep(shard, want.Number); err != nil {
		return err
	}
	if !wanted {
		return nil
	}
	return h.open(shard, want, founds)
}

// sweep throws away what is there of replicas of the shard other than that one.
//
// Crash window: the state goes first. A log without its state is thrown away at
// the next start; a state without its log could be taken for the next replica's.
//
// So no crash leaves a state without a log. Where there is one, a log was lost, and the
// state may be all that is left of acknowledged writes: it stays. It goes only once
// this very process has refused it as another replica's and the table has let that
// replica go, which it does while a majority of the others is whole.
func (h *holding) sweep(shard placement.ShardID, keep uint64) error {
	numbers, err := h.node.db.replicasOf(shard)
	if err != nil {
		return err
	}
	kept := false
	for _, number := range numbers {
		kept = kept || number == keep
	}
	if !kept {
		position, _, err := h.sm.Position(uint32(shard))
		if err != nil {
			return fmt.Errorf("cluster: shard %d: read position of the state: %w", shard, err)
		}
		if failed := h.failure(shard).number; position > 0 && len(numbers) == 0 && (failed == 0 || failed == keep) {
			return fmt.Errorf("%w: shard %d: the state ends at entry %d and there is no log: restore the whole data directory from one backup", ErrDataLoss, shard, position)
		}
		if position > 0 {
			if err := h.sm.Clear(uint32(shard)); err != nil {
				return fmt.Errorf("cluster: shard %d: throw the state away: %w", shard, err)
			}
		}
	}
	for _, number := range numbers {
		if number == keep {
			continue
		}
		if err := h.node.db.dropReplica(shard, number); err != nil {
			return err
		}
	}
	return nil
}

// open starts the replica. The founder's group is bootstrapped with it alone; any
// other begins empty and waits until its leader tells it more.
func (h *holding) open(shard placement.ShardID, want tableReplica, founds bool) error {
	n := h.node
	me, err := want.id()
	if err != nil {
		return err
	}
	transport, err := n.transport(shardGroup(shard), me)
	if err != nil {
		return err
	}
	var first raft.Configuration
	if founds {
		first = me.configuration()
	}
	_, err = openGroup(groupConfig{
		shard: shard, me: me, db: n.db, spool: n.spool, sm: h.sm, trans: transport,
		timeout: time.Duration(n.table.HeartbeatMS) * time.Millisecond, snapshotEntries: n.cfg.snapshotEntries,
		budget: n.budget, space: n.space, snapshot: n.snapshots.ask, opened: n.groups[shard].Store, peers: n.prompter.Load().wake,
		log: n.cfg.Log, events: &n.cfg.Events, faults: n.cfg.faults,
	}, first)
	if port, ok := transport.(*raftPort); ok && err != nil {
		port.Close() //nolint:errcheck // it never gives an error
	}
	return err
}

// replicasOf gives the numbers of the replicas of the shard of which the log
// database has anything, in ascending order.
func (d *logDB) replicasOf(shard placement.ShardID) ([]uint64, error) {
	iter, err := d.db.NewIter(&pebble.IterOptions{LowerBound: replicaPrefix(shard, 0), UpperBound: replicaPrefix(shard+1, 0)})
	if err != nil {
		return nil, fmt.Errorf("cluster: look for replicas of shard %d: %w", shard, err)
	}
	var numbers []uint64
	for ok := iter.First(); ok; {
		number := replicaNumber(iter.Key())
		numbers = append(numbers, number)
		ok = iter.SeekGE(replicaPrefix(shard, number+1))
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("cluster: look for replicas of shard %d: %w: %w", shard, ErrCorrupt, err)
	}
	return numbers, nil
}

// dropReplica removes everything of one replica, durably.
func (d *logDB) dropReplica(shard placement.ShardID, number uint64) error {
	return d.check(d.db.DeleteRange(replicaPrefix(shard, number), replicaPrefix(shard, number+1), pebble.Sync))
}
