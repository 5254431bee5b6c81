package cluster

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// muxCluster is three nodes with the library's own groups on raftMux.
type muxCluster struct {
	t      *testing.T
	net    *muxNet
	faults faults
	silent func(node string, group groupID) bool
	nodes  []*muxNode
	start  time.Time
}

// muxNode is one of them. Its disks outlive it.
type muxNode struct {
	name      string
	directory directoryID
	mux       *raftMux
	replicas  []*muxReplica
}

// muxReplica is a node's replica of one group.
type muxReplica struct {
	id    raft.ServerID
	store *raft.InmemStore
	snaps *raft.InmemSnapshotStore
	fsm   *listFSM
	port  *raftPort
	raft  *raft.Raft
}

// listFSM is a list of all that was applied.
type listFSM struct {
	mu   sync.Mutex // guards the following field
	list []string
}

func (f *listFSM) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, string(l.Data))
	return nil
}

func (f *listFSM) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

func (f *listFSM) Snapshot() (raft.FSMSnapshot, error) {
	return listSnapshot(strings.Join(f.all(), "\n")), nil
}

func (f *listFSM) Restore(r io.ReadCloser) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = strings.Split(string(data), "\n")
	return r.Close()
}

type listSnapshot string

func (s listSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := io.WriteString(sink, string(s)); err != nil {
		return err
	}
	return sink.Close()
}

func (s listSnapshot) Release() {}

// newMuxCluster starts groups shards on three nodes.
func newMuxCluster(t *testing.T, groups int, f faults) *muxCluster {
	t.Helper()
	c := &muxCluster{
		t: t, net: newMuxNet(), faults: f, start: time.Now(),
		silent: func(string, groupID) bool { return false },
	}
	for i := range 3 {
		c.nodes = append(c.nodes, &muxNode{name: fmt.Sprint("n", i), directory: directoryID{byte(i + 1)}})
	}
	for g := range groups {
		var all raft.Configuration
		for i, n := range c.nodes {
			id := replicaID{node: n.name, directory: n.directory, number: uint64(3*g + i + 1)}
			all.Servers = append(all.Servers, id.configuration().Servers...)
			n.replicas = append(n.replicas, &muxReplica{
				id: id.serverID(), store: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore(),
			})
		}
		for _, n := range c.nodes {
			r := n.replicas[g]
			_, transport := raft.NewInmemTransport("")
			if err := raft.BootstrapCluster(muxRaftConfig(r.id), r.store, r.store, r.snaps, transport, all); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range c.nodes {
		c.run(i)
	}
	return c
}

func muxRaftConfig(id raft.ServerID) *raft.Config {
	conf := raftConfig(id, DefaultHeartbeatTimeout, 0, slog.New(slog.DiscardHandler))
	conf.NoSnapshotRestoreOnStart = false
	return conf
}

// run starts a node, or starts it again.
func (c *muxCluster) run(i int) {
	c.t.Helper()
	n := c.nodes[i]
	n.mux = newRaftMux(raftMuxConfig{
		node: n.name, directory: n.directory, timeout: DefaultHeartbeatTimeout,
		dial: c.net.dialFrom(n.name), clock: c.clock, log: slog.New(slog.DiscardHandler), faults: c.faults,
		silent: func(group groupID) bool { return c.silent(n.name, group) },
	})
	for g, r := range n.replicas {
		id, err := parseReplicaID(r.id)
		if err != nil {
			c.t.Fatal(err)
		}
		if r.port, err = n.mux.open(shardGroup(placement.ShardID(g)), id.number); err != nil {
			c.t.Fatal(err)
		}
		r.fsm = &listFSM{}
		if r.raft, err = raft.NewRaft(muxRaftConfig(r.id), r.fsm, r.store, r.store, r.snaps, r.port); err != nil {
			c.t.Fatal(err)
		}
		r.port.attach(r.raft)
	}
	c.net.change(func() { c.net.nodes[n.name] = n.mux })
}

func (c *muxCluster) clock() time.Duration { return time.Since(c.start) }

// stop ends a node. A crash is a stop whose peers are not told.
func (c *muxCluster) stop(i int) {
	c.t.Helper()
	n := c.nodes[i]
	c.net.change(func() { delete(c.net.nodes, n.name) })
	if err := n.mux.Close(); err != nil {
		c.t.Error(err)
	}
	for _, r := range n.replicas {
		if err := r.raft.Shutdown().Error(); err != nil {
			c.t.Error(err)
		}
	}
}

func (c *muxCluster) close() {
	for i := range c.nodes {
		c.stop(i)
	}
}

// leader waits until one of the replicas of a group leads it, with a lease. A
// transfer that failed is tried again, as a group has to: it has cost the lease.
func (c *muxCluster) leader(group, except int) int {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for i, n := range c.nodes {
			r := n.replicas[group]
			if i != except && r.raft.State() == raft.Leader && r.port.leads(r.raft.CurrentTerm()) {
				return i
			}
			if i != except && r.raft.State() == raft.Leader && r.port.lease.hasEnded(r.raft.CurrentTerm()) {
				r.raft.LeadershipTransfer()
			}
		}
	}
	c.t.Fatalf("group %d has no leader with a lease after 20 s", group)
	return 0
}

// led says whether some replica of the group says that it leads.
func (c *muxCluster) led(group int) bool {
	return slices.ContainsFunc(c.nodes, func(n *muxNode) bool { return n.replicas[group].raft.State() == raft.Leader })
}

// apply commits a line through the group's leader, wherever that is.
func (c *muxCluster) apply(group int, line string) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		at := c.leader(group, -1)
		if err := c.nodes[at].replicas[group].raft.Apply([]byte(line), 0).Error(); err == nil {
			return
		}
	}
	c.t.Fatalf("group %d: %q is not committed after 20 s", group, line)
}

// settled waits until all replicas of a group have the same list, and gives it.
func (c *muxCluster) settled(group int) []string {
	c.t.Helper()
	var lists [][]string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		lists = nil
		for _, n := range c.nodes {
			lists = append(lists, n.replicas[group].fsm.all())
		}
		if slices.Equal(lists[0], lists[1]) && slices.Equal(lists[1], lists[2]) {
			return lists[0]
		}
	}
	c.t.Fatalf("group %d: replicas have %d, %d and %d lines after 20 s", group, len(lists[0]), len(lists[1]), len(lists[2]))
	return nil
}

// oneLeader checks that no replica thinks that it leads alone while another has
// been elected in a later term.
func (c *muxCluster) oneLeader() error {
	for g := range c.nodes[0].replicas {
		var leased []string
		newest, newestTerm := "", uint64(0)
		leasedTerm := uint64(0)
		for _, n := range c.nodes {
			r := n.replicas[g]
			term := r.raft.CurrentTerm()
			if r.raft.State() != raft.Leader || r.raft.CurrentTerm() != term {
				continue
			}
			if term > newestTerm {
				newest, newestTerm = n.name, term
			}
			if r.port.leads(term) {
				leased = append(leased, n.name)
				leasedTerm = term
			}
		}
		if len(leased) > 1 || len(leased) == 1 && leasedTerm < newestTerm {
			return fmt.Errorf("group %d at %v: %v hold a lease of term %d, %s leads in term %d",
				g, c.clock(), leased, leasedTerm, newest, newestTerm)
		}
	}
	return nil
}
