package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// quorum is one shard with replicas on several nodes, each with its own disk, log,
// state, transport and prompter, on a network in memory.
type quorum struct {
	t      *testing.T
	net    *muxNet
	faults faults
	nodes  []*quorumNode
	start  time.Time

	snapshotEntries int64
}

// quorumNode is one of the nodes. fs outlives a stop.
type quorumNode struct {
	id    replicaID
	fs    vfs.FS
	mux   *raftMux
	port  *raftPort
	db    *logDB
	state *testState
	space *space
	group atomic.Pointer[group] // the newest; closed after stop

	snapshots *snapshotter
	prompter  *prompter
	running   atomic.Bool
	opened    bool // its parts are there
}

// newQuorum starts a shard with that many voters out of nodes. The others are not
// started: they are to be added.
func newQuorum(t *testing.T, nodes, voters int, f faults) *quorum {
	t.Helper()
	q := &quorum{t: t, net: newMuxNet(), faults: f, start: time.Now(), snapshotEntries: snapshotEntries}
	for i := range nodes {
		q.nodes = append(q.nodes, &quorumNode{
			id: replicaID{node: fmt.Sprint("n", i), directory: directoryID{byte(i + 1)}, number: uint64(i + 1)},
			fs: vfs.NewCrashableMem(),
		})
	}
	for i := range voters {
		q.run(i, q.configuration(voters))
	}
	return q
}

// configuration is that of the first voters.
func (q *quorum) configuration(voters int) (c raft.Configuration) {
	for _, n := range q.nodes[:voters] {
		c.Servers = append(c.Servers, n.id.configuration().Servers...)
	}
	return c
}

func (q *quorum) clock() time.Duration { return time.Since(q.start) }

// run starts a node, or starts it again.
func (q *quorum) run(i int, first raft.Configuration) {
	q.t.Helper()
	if err := q.tryRun(i, first); err != nil {
		q.t.Fatalf("start node %d: %v", i, err)
	}
}

func (q *quorum) tryRun(i int, first raft.Configuration) (err error) {
	n := q.nodes[i]
	log := slog.New(slog.DiscardHandler)
	for _, dir := range []string{"log", "snapshots"} {
		if err := n.fs.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := syncDirectory(n.fs, "/"); err != nil {
		return err
	}
	n.db, err = openLogDB(logDBConfig{
		fs: n.fs, path: "log", directory: n.id.directory, create: true, log: log, events: &Events{},
		fatal: func(err error) { panic(err) }, faults: q.faults,
	})
	if err != nil {
		return err
	}
	if n.space, err = newSpace(n.fs, "/", 0, log, &Events{}); err != nil {
		return err
	}
	n.state = openTestState(q.t, n.fs, "state")
	n.mux = newRaftMux(raftMuxConfig{
		node: n.id.node, directory: n.id.directory, timeout: DefaultHeartbeatTimeout, dial: q.net.dialFrom(n.id.node),
		clock: q.clock, silent: n.silent, log: log, faults: q.faults,
	})
	n.group.Store(nil)
	n.snapshots = newSnapshotter(1)
	n.prompter = newPrompter(DefaultHeartbeatTimeout, n.groups)
	n.opened = true
	if err := n.open(q, first); err != nil {
		q.stop(i)
		return err
	}
	q.net.change(func() { q.net.nodes[n.id.node] = n.mux })
	n.running.Store(true)
	return nil
}

func (n *quorumNode) open(q *quorum, first raft.Configuration) (err error) {
	if n.port, err = n.mux.open(shardGroup(0), n.id.number); err != nil {
		return err
	}
	_, err = openGroup(groupConfig{
		shard: 0, me: n.id, db: n.db, spool: &spool{files: n.fs, dir: "snapshots"}, sm: n.state, trans: n.port,
		timeout: DefaultHeartbeatTimeout, budget: &budget{limit: maxNodeBytes}, space: n.space,
		snapshot: n.snapshots.ask, opened: n.group.Store, peers: n.prompter.wake,
		snapshotEntries: q.snapshotEntries, log: slog.New(slog.DiscardHandler), events: &Events{}, faults: q.faults,
	}, first)
	return err
}

func (n *quorumNode) groups() []*group {
	if g := n.group.Load(); g != nil {
		return []*group{g}
	}
	return nil
}

func (n *quorumNode) silent(groupID) bool {
	if n.db.writes.stalled(logStall) {
		return true
	}
	groups := n.groups()
	return len(groups) > 0 && groups[0].stalled()
}

// stop ends a node. With a mux that is gone first, nobody is told.
func (q *quorum) stop(i int) {
	q.t.Helper()
	n := q.nodes[i]
	if !n.opened {
		return
	}
	n.opened = false
	n.running.Store(false)
	q.net.change(func() { delete(q.net.nodes, n.id.node) })
	n.prompter.close()
	n.snapshots.close()
	errs := []error{n.mux.Close()}
	if g := n.group.Load(); g != nil {
		errs = append(errs, g.close())
	}
	n.space.close()
	if err := errors.Join(append(errs, n.db.close())...); err != nil {
		q.t.Error(err)
	}
	n.state.close(q.t)
}

func (q *quorum) close() {
	for i := range q.nodes {
		q.stop(i)
	}
}

// owner waits until a replica other than that one owns the shard with a lease.
func (q *quorum) owner(except int) (int, uint64) {
	q.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for i, n := range q.nodes {
			if i == except || !n.running.Load() {
				continue
			}
			if number, err := n.group.Load().ownership(); err == nil && n.group.Load().confirm(number) == nil {
				return i, number
			}
		}
	}
	q.t.Fatal("no owner with a lease after 20 s")
	return 0, 0
}

// write proposes a batch to the owner, wherever that is, until it is committed or
// its outcome is unknown.
func (q *quorum) write(h *history, batch string) error {
	q.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		at, number := q.owner(-1)
		answer := make(chan error, 1)
		note := h.note(number, batch)
		q.nodes[at].group.Load().offer(number, []byte(batch), func(err error) { note(err); answer <- err })
		if err := <-answer; !errors.Is(err, ErrRefused) {
			return err
		}
		batch += "'"
		time.Sleep(10 * time.Millisecond)
	}
	q.t.Fatal("no write for 20 s")
	return nil
}

// settled waits until all running replicas have the same position and gives the
// list that they hold.
func (q *quorum) settled() []string {
	q.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if list, ok := q.same(); ok {
			return list
		}
	}
	for i, n := range q.nodes {
		if n.running.Load() {
			q.t.Logf("node %d: %+v", i, n.group.Load().status())
		}
	}
	q.t.Fatal("replicas differ for 30 s")
	return nil
}

func (q *quorum) same() (list []string, ok bool) {
	first := true
	var position uint64
	for _, n := range q.nodes {
		if !n.running.Load() {
			continue
		}
		at := n.group.Load().fsm.position.Load()
		if !first && at != position {
			return nil, false
		}
		first, position = false, at
	}
	first = true
	for _, n := range q.nodes {
		if !n.running.Load() {
			continue
		}
		now, err := n.state.list(0)
		if err != nil {
			q.t.Fatal(err)
		}
		if !first && fmt.Sprint(now) != fmt.Sprint(list) {
			q.t.Errorf("replicas at position %d have %d and %d batches that differ", position, len(list), len(now))
			return nil, false
		}
		first, list = false, now
	}
	return list, true
}

// Steps of a group, in short.
const (
	stepAdd     = placement.StepAddNonvoter
	stepPromote = placement.StepPromote
	stepDemote  = placement.StepDemote
	stepRemove  = placement.StepRemove
)

// raftNone is the configuration of a replica that others will add.
var raftNone raft.Configuration

// step makes a change of the group's configuration at its owner.
func (q *quorum) step(kind placement.StepKind, i int) {
	q.t.Helper()
	var err error
	for range 50 {
		at, _ := q.owner(-1)
		g := q.nodes[at].group.Load()
		report, _ := g.report(context.Background(), look{})
		err = g.change(context.Background(), replicaChange{
			Kind: kind, Replica: q.nodes[i].id.serverID(), Ownership: report.Ownership, Configuration: report.Configuration,
		})
		if err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	q.t.Fatalf("step %v of node %d: %v", kind, i, err)
}

// caughtUp waits until the owner says so of a replica.
func (q *quorum) caughtUp(i int) {
	q.t.Helper()
	for range 2000 {
		at, _ := q.owner(-1)
		report, ok := q.nodes[at].group.Load().report(context.Background(), look{})
		for _, r := range report.Replicas {
			if ok && r.ID == q.nodes[i].id.serverID() && r.CaughtUp {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	q.t.Fatalf("node %d has not caught up after 10 s", i)
}
