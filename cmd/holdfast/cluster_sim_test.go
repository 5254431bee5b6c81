package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/objects"
	"github.com/holdfast-dev/holdfast/placement"
)

// simShards is enough to have several on each node, and cheap.
const simShards = 4

// simulation is a whole cluster in one bubble: nodes with disks in memory, on a
// network in memory, and clients who write down what they are told.
type simulation struct {
	// Fixed after newSimulation.
	t       *testing.T
	random  *rand.Rand // of the plot; clients have their own
	network *memNetwork
	begun   time.Time
	ledger  *ledger
	watch   *activations
	flaws   flaws

	heartbeat time.Duration // 0: the default
	nodes     map[string]*simNode
	ghosts    sync.WaitGroup // crashed nodes that still come to their end
}

// flaws are what a broken variant does wrong.
type flaws struct {
	faults

	commit func(c actor.Committer, object actor.ID, ownership uint64, batch []byte, done func(error))
}

func newSimulation(t *testing.T, seed uint64, f flaws) *simulation {
	t.Helper()
	s := &simulation{
		t: t, random: rand.New(rand.NewPCG(seed, 0x706c6f74)), network: newSeededNetwork(seed), begun: time.Now(),
		ledger: &ledger{}, watch: newActivations(), flaws: f, nodes: make(map[string]*simNode),
	}
	s.network.usual = weather{delay: 500 * time.Microsecond}
	return s
}

// simNode is a node with its disk, running or not.
type simNode struct {
	sim     *simulation
	name    string
	disk    *memDisk
	control *memControl
	join    []string // hosts
	expect  int

	// Of one life.
	host   *memHost
	cancel context.CancelFunc
	over   chan struct{} // closed when StartNode has returned, with the next two fields
	node   *Node
	err    error
}

// add makes a node with an empty disk. It joins those hosts, or forms a cluster
// with as many as it expects.
func (s *simulation) add(name string, expect int, join ...string) *simNode {
	n := &simNode{sim: s, name: name, disk: newMemDisk(), control: newMemControl(), join: join, expect: expect}
	s.nodes[name] = n
	return n
}

// begin starts the node on what its disk holds, and does not wait.
func (n *simNode) begin() {
	s := n.sim
	n.host = s.network.boot(n.name)
	cfg := defaultConfig()
	cfg.Name, cfg.Data, cfg.Shards, cfg.BootstrapExpect, cfg.IdleTimeout = n.name, "/data", simShards, n.expect, 2*time.Second
	cfg.GracePeriod, cfg.InsecureInternal = time.Hour, true
	for _, host := range n.join {
		cfg.Join = append(cfg.Join, s.network.gossipAddress(host))
	}
	parts := Parts{
		Clients: n.host.listen(n.name + ":80"), Operators: n.host.listen(n.name + ":81"),
		Network: &Network{Internal: n.host.listen(n.name + ":7000"), Dial: n.host.dialLink, Gossip: n.host.gossip()},
		Log:     s.log(n.name), Fatal: func(err error) { panic(err) },
		Classes: s.classesOf(n.name), FS: n.disk, Control: n.control,
		Clock:            func() time.Duration { return time.Since(s.begun) },
		wrapCommitter:    func(c actor.Committer) actor.Committer { return s.watched(n.name, c) },
		heartbeatTimeout: s.heartbeat, faults: s.flaws.faults,
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.over, n.node, n.err = cancel, make(chan struct{}), nil, nil
	go func(over chan struct{}) {
		node, err := StartNode(ctx, cfg, parts)
		n.node, n.err = node, err
		close(over)
	}(n.over)
}

func (s *simulation) log(node string) *slog.Logger {
	if os.Getenv("HOLDFAST_SIM_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(s.t.Output(), nil)).With("node", node)
}

func (s *simulation) classesOf(node string) map[string]actor.Class {
	all := objects.Classes()
	all["Probe"] = newProbe(s.watch, node)
	all["Bomb"] = newBomb()
	all["Room"] = actor.Class{New: newRoom}
	all["Pair"] = actor.Class{New: newPair}
	all["Errand"] = actor.Class{New: newErrand}
	return all
}

func (s *simulation) watched(node string, c actor.Committer) actor.Committer {
	watched := watchedCommitter{c, s.watch, node, shardOfObject}
	if s.flaws.commit == nil {
		return watched
	}
	return faultyCommitter{watched, s.flaws.commit}
}

func shardOfObject(object actor.ID) uint32 { return uint32(placement.ShardOf(object, simShards)) }

// wait waits until the node serves clients, or could not start.
func (n *simNode) wait(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-n.over:
		return n.err
	case <-timer.C:
		return fmt.Errorf("node %s has not started after %v", n.name, limit)
	}
}

// running gives the node if it serves clients.
func (n *simNode) running() *Node {
	if n.host == nil {
		return nil
	}
	select {
	case <-n.over:
		return n.node
	default:
		return nil
	}
}

// stop ends the node in order. It leaves no connection behind.
func (n *simNode) stop() {
	n.sim.t.Helper()
	if err := n.halt(); err != nil {
		n.sim.t.Errorf("node %s: Close() = %v", n.name, err)
	}
}

// halt is stop for a node whose peers stop, too: what waits for them is cut off.
func (n *simNode) halt() error {
	if n.host == nil {
		return nil
	}
	host := n.host
	err := n.end(30*time.Second + n.sim.heartbeat)
	// The libraries of HTTP and gossip close some on goroutines that nobody waits for.
	closed := n.sim.eventually("all connections closed", 20*time.Second, func() error {
		if open := host.open(); len(open) > 0 {
			return fmt.Errorf("%v are open", open)
		}
		return nil
	})
	if closed != nil {
		n.sim.t.Errorf("node %s: %v", n.name, closed)
	}
	host.off(false)
	return err
}

// end closes what began and forgets it.
func (n *simNode) end(patience time.Duration) error {
	n.sim.network.lives.end(n.name, true)
	n.disk.proceed()
	n.cancel()
	<-n.over
	node := n.node
	n.host, n.node = nil, nil
	if node == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return node.Close(ctx)
}

// crash ends the node at once. A power loss takes what was not synced from its
// disk and leaves its peers in the dark; without one only its process ends. What
// of it still runs acts on a disk and a network that nobody sees any more.
func (n *simNode) crash(power bool) {
	if n.host == nil {
		return
	}
	s := n.sim
	n.host.off(power)
	n.disk = n.disk.crash(power, rand.New(rand.NewPCG(s.random.Uint64(), 0)))
	n.control = n.control.clone()
	ghost := *n
	n.host, n.node = nil, nil
	ghost.cancel()
	s.ghosts.Go(func() {
		<-ghost.over
		if n := ghost.node; n != nil {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = n.Close(ctx) // it has every reason to complain
		}
	})
}

// up gives the names of the nodes that serve clients.
func (s *simulation) up() []string {
	var names []string
	for name, n := range s.nodes {
		if n.running() != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// close ends everything.
func (s *simulation) close() {
	s.t.Helper()
	s.calm()
	var stopping sync.WaitGroup
	for _, n := range s.nodes {
		stopping.Go(func() { _ = n.halt() })
	}
	stopping.Wait()
	s.ghosts.Wait()
	time.Sleep(time.Minute + 12*s.heartbeat) // memberlist does not wait for its timers
}

// calm makes the network good again.
func (s *simulation) calm() {
	for a := range s.nodes {
		for b := range s.nodes {
			s.network.set(a, b, func(w *weather) { *w = s.network.usual })
		}
	}
}

// eventually waits until f gives nil, for so long at most.
func (s *simulation) eventually(what string, limit time.Duration, f func() error) error {
	err := f()
	for deadline := time.Now().Add(limit); err != nil && time.Now().Before(deadline); err = f() {
		time.Sleep(max(20*time.Millisecond, s.heartbeat/100))
	}
	if err != nil {
		return fmt.Errorf("%s: not after %v: %w", what, limit, err)
	}
	return nil
}

// form starts that many nodes which form a cluster together, and waits until
// their shards have all their replicas.
func (s *simulation) form(names ...string) error {
	for _, name := range names {
		s.add(name, len(names), names...).begin()
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, s.nodes[name].wait(s.patience()))
	}
	return errors.Join(append(errs, s.eventually("a cluster", s.patience(), func() error { return s.settled(names...) }))...)
}

// patience is long enough for anything that takes some elections.
func (s *simulation) patience() time.Duration { return max(time.Minute, 24*s.heartbeat) }

// settled says whether the cluster is of those nodes and the shards are where
// they belong: three replicas or all, and none on its way.
func (s *simulation) settled(names ...string) error {
	replicas := 0
	for _, name := range names {
		node := s.nodes[name].running()
		if node == nil {
			return fmt.Errorf("%s does not serve", name)
		}
		status := node.cluster.Status()
		replicas += len(status.Shards)
		if len(status.Nodes) != len(names) {
			return fmt.Errorf("%s knows of %d nodes, want %d", name, len(status.Nodes), len(names))
		}
		if n := len(status.Moves.Steps); n > 0 {
			return fmt.Errorf("%d shards move", n)
		}
	}
	if want := simShards * min(len(names), placement.Copies); replicas != want {
		return fmt.Errorf("there are %d replicas, want %d", replicas, want)
	}
	return s.owned()
}

// owned says whether every shard has an owner that can prove it.
func (s *simulation) owned() error {
	for shard := range placement.ShardID(simShards) {
		if s.owner(shard) == "" {
			return fmt.Errorf("shard %d has no owner", shard)
		}
	}
	return nil
}

// owner gives the node that can prove that it owns the shard, or "".
func (s *simulation) owner(shard placement.ShardID) string {
	for _, name := range s.up() {
		node := s.nodes[name].node.cluster
		if ownership, err := node.Ownership(shard); err == nil && node.Confirm(shard, ownership) == nil {
			return name
		}
	}
	return ""
}
