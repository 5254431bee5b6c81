package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// mesh is whole nodes on networks in memory: gossip, Raft and calls.
type mesh struct {
	t      *testing.T
	gossip *gossipNet
	links  *muxNet
	start  time.Time
	nodes  map[string]*meshNode
	load   *traffic // stopped by close if a test has not
	// grace period of all nodes.
	grace  time.Duration
	shards int
	// snapshotEntries of all nodes. 0: the usual.
	snapshotEntries int64
	faults          faults
	events          Events // of all nodes
}

// meshNode is a node with its disk.
type meshNode struct {
	*testNode

	mesh    *mesh
	name    string
	fs      vfs.FS
	control *MemoryControl
	end     *gossipEnd
	network Network

	cancel context.CancelFunc
	opened chan error // closed after the result
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	return &mesh{
		t: t, gossip: newGossipNet(), links: newMuxNet(), start: time.Now(), nodes: make(map[string]*meshNode),
		grace: time.Hour, shards: 4,
	}
}

// begin starts a node, new or with the disk that it had, and does not wait.
func (m *mesh) begin(name string, network Network) *meshNode {
	m.t.Helper()
	n := m.nodes[name]
	if n == nil {
		n = &meshNode{mesh: m, name: name, fs: vfs.NewMem(), control: NewMemoryControl()}
		m.nodes[name] = n
	}
	n.network = network
	n.end = m.gossip.open()
	network.GracePeriod, network.GossipTransport, network.Internal = m.grace, n.end, name
	network.Dial = m.links.dialFrom(name)
	network.Handle = func(take func(net.Conn)) {
		m.links.change(func() { m.links.accept[name] = take })
	}
	cfg := testConfig(n.fs, n.control)
	cfg.Name, cfg.Shards, cfg.Network, cfg.faults = name, m.shards, &network, m.faults
	cfg.snapshotEntries, cfg.Events = m.snapshotEntries, m.events
	cfg.Clock = func() time.Duration { return time.Since(m.start) }
	if os.Getenv("MESH_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: meshLevel()})).With("node", name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.opened, n.testNode = cancel, make(chan error, 1), nil
	go func() {
		defer close(n.opened)
		node, err := Open(ctx, cfg)
		if err != nil {
			n.opened <- err
			return
		}
		started := &testNode{Node: node, state: openTestState(m.t, cfg.FS, node.StateDir())}
		if err := node.Start(ctx, started.state); err != nil {
			n.opened <- errors.Join(err, node.Close(), started.state.db.Close())
			return
		}
		n.testNode = started
	}()
	return n
}

// wait waits until the node has started, or not.
func (n *meshNode) wait() error {
	timer := time.NewTimer(2 * time.Minute)
	defer timer.Stop()
	select {
	case err := <-n.opened:
		return err
	case <-timer.C:
		return fmt.Errorf("node %s has not started after 2 minutes", n.name)
	}
}

// run starts a node and waits for it.
func (m *mesh) run(name string, network Network) *meshNode {
	m.t.Helper()
	n := m.begin(name, network)
	if err := n.wait(); err != nil {
		m.t.Fatalf("start %s: %v", name, err)
	}
	return n
}

// halt ends a node, whether it has started or not.
func (n *meshNode) halt() {
	n.cancel()
	<-n.opened
	n.mesh.links.change(func() { delete(n.mesh.links.accept, n.name) })
	if n.testNode != nil {
		n.stop(n.mesh.t)
		n.testNode = nil
	}
}

// loseDisk empties the node's disk, which must be halted.
func (n *meshNode) loseDisk() { n.fs, n.control = vfs.NewMem(), NewMemoryControl() }

func (m *mesh) close() {
	if m.load != nil {
		m.load.halt()
	}
	for _, n := range m.nodes {
		n.halt()
	}
	time.Sleep(time.Minute) // memberlist does not wait for its timers
}

// address is where the node gossips.
func (n *meshNode) address() string { return n.end.address.String() }

// up gives the nodes that have started, by name.
func (m *mesh) up() []*meshNode {
	var running []*meshNode
	for _, n := range m.nodes {
		if n.testNode != nil {
			running = append(running, n)
		}
	}
	slices.SortFunc(running, func(a, b *meshNode) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return running
}

// eventually waits until f gives nil.
func (m *mesh) eventually(what string, limit time.Duration, f func() error) {
	m.t.Helper()
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	m.t.Fatalf("%s: not after %v: %v", what, limit, err)
}

// settled checks that every shard has an owner and that its replicas are voters on
// min(3, nodes) of exactly those nodes, and that the control group has all of them.
func (m *mesh) settled(names ...string) error {
	if err := m.holds(names...); err != nil {
		return err
	}
	return m.controlSettled(names...)
}

// holds checks the shards alone.
func (m *mesh) holds(names ...string) error {
	voters := 1
	if len(names) >= placement.Copies {
		voters = placement.Copies
	}
	for shard := range placement.ShardID(m.shards) {
		r, err := m.reportOf(shard)
		if err != nil {
			return err
		}
		voting := 0
		for _, replica := range r.Replicas {
			id, err := parseReplicaID(replica.ID)
			if err != nil {
				return err
			}
			voting += truth(replica.Voter)
			if !slices.Contains(names, id.node) {
				return fmt.Errorf("shard %d has a replica on %s", shard, id.node)
			}
		}
		if len(r.Replicas) != min(placement.Copies, len(names)) || voting != voters {
			return fmt.Errorf("shard %d has %d replicas and %d voters", shard, len(r.Replicas), voting)
		}
	}
	return nil
}

func (m *mesh) controlSettled(names ...string) error {
	want := 1
	if len(names) >= someVoters {
		want = someVoters
	}
	if len(names) >= manyVoters {
		want = manyVoters
	}
	for _, n := range m.up() {
		servers := n.Node.control.raft.GetConfiguration().Configuration().Servers
		voters := 0
		for _, s := range servers {
			id, err := parseReplicaID(s.ID)
			if err != nil {
				return err
			}
			if !slices.Contains(names, id.node) {
				return fmt.Errorf("%s: the control group has %s", n.name, s.ID)
			}
			voters += truth(s.Suffrage == 0)
		}
		if len(servers) != len(names) || voters != want {
			return fmt.Errorf("%s: the control group has %d members, %d of them voters", n.name, len(servers), voters)
		}
		if got := len(n.Node.control.table().Nodes); got != len(names) {
			return fmt.Errorf("%s: the table has %d nodes", n.name, got)
		}
	}
	return nil
}

// reportOf gives the report of the shard's owner.
func (m *mesh) reportOf(shard placement.ShardID) (shardReport, error) {
	for _, n := range m.up() {
		for _, r := range n.reports(m.t.Context(), look{}) {
			if r.Shard == shard && r.Ownership > 0 {
				return r, nil
			}
		}
	}
	return shardReport{}, fmt.Errorf("shard %d has no owner", shard)
}

// put writes through whoever owns the shard, until it is acknowledged.
func (m *mesh) put(shard placement.ShardID, batch string) error {
	last := ErrNotOwner
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, n := range m.up() {
			err := n.write(shard, batch)
			if err == nil || errors.Is(err, ErrUnknown) {
				return err
			}
			if !errors.Is(err, ErrNotOwner) {
				last = err
			}
		}
	}
	return fmt.Errorf("shard %d takes no write for 30 s: %w", shard, last)
}

// meshLevel is what MESH_LOG asks for, a name of slog's.
func meshLevel() slog.Level {
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("MESH_LOG"))) != nil {
		return slog.LevelInfo
	}
	return level
}
