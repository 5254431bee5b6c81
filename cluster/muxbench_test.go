package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// muxTCP is nodes on raftMux over loopback in this process.
type muxTCP struct {
	b         *testing.B
	listeners []net.Listener
	accepting sync.WaitGroup
	muxes     []*raftMux
	groups    [][]*muxReplica // by node
}

func newMuxTCP(b *testing.B, groups int) *muxTCP {
	b.Helper()
	c := &muxTCP{b: b}
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		c.listeners = append(c.listeners, l)
	}
	for i := range 3 {
		m := newRaftMux(raftMuxConfig{
			node: fmt.Sprint("n", i), directory: directoryID{byte(i + 1)}, timeout: DefaultHeartbeatTimeout,
			log: slog.New(slog.DiscardHandler), dial: c.dial,
		})
		c.muxes, c.groups = append(c.muxes, m), append(c.groups, nil)
		c.accepting.Go(func() {
			for {
				conn, err := c.listeners[i].Accept()
				if err != nil {
					return
				}
				m.serve(conn)
			}
		})
	}
	for g := range groups {
		c.open(g)
	}
	return c
}

func (c *muxTCP) dial(ctx context.Context, node string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.listeners[int(node[1]-'0')].Addr().String())
}

// open starts the replicas of a group, of which one begins the first election.
func (c *muxTCP) open(g int) {
	c.b.Helper()
	var all raft.Configuration
	for i, m := range c.muxes {
		id := replicaID{node: m.cfg.node, directory: m.cfg.directory, number: uint64(3*g + i + 1)}
		all.Servers = append(all.Servers, id.configuration().Servers...)
	}
	for i, m := range c.muxes {
		r := &muxReplica{id: all.Servers[i].ID, store: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore()}
		port, err := m.open(shardGroup(placement.ShardID(g)), uint64(3*g+i+1))
		if err != nil {
			c.b.Fatal(err)
		}
		r.port = port
		conf := muxRaftConfig(r.id)
		if err := raft.BootstrapCluster(conf, r.store, r.store, r.snaps, port, all); err != nil {
			c.b.Fatal(err)
		}
		if r.raft, err = raft.NewRaft(conf, &discardFSM{}, r.store, r.store, r.snaps, port); err != nil {
			c.b.Fatal(err)
		}
		port.attach(r.raft)
		c.groups[i] = append(c.groups[i], r)
	}
}

// discardFSM applies nothing.
type discardFSM struct{ listFSM }

func (*discardFSM) Apply(*raft.Log) any { return nil }

// leader gives the group's leader.
func (c *muxTCP) leader(g int) *raft.Raft {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		for i := range c.groups {
			if r := c.groups[i][g].raft; r.State() == raft.Leader {
				return r
			}
		}
		pauseFor(10 * time.Millisecond)
	}
	c.b.Fatalf("group %d has no leader after 30 s", g)
	return nil
}

// spread gives each node the same number of leaders.
func (c *muxTCP) spread() {
	for g := range c.groups[0] {
		want := c.groups[g%3][g]
		for r := c.leader(g); want.raft.State() != raft.Leader; r = c.leader(g) {
			if err := r.LeadershipTransferToServer(want.id, want.port.LocalAddr()).Error(); err != nil {
				pauseFor(10 * time.Millisecond)
			}
		}
	}
}

func (c *muxTCP) close() {
	for i := range c.muxes {
		for _, r := range c.groups[i] {
			if err := r.raft.Shutdown().Error(); err != nil {
				c.b.Error(err)
			}
		}
	}
	for i := range c.muxes {
		c.listeners[i].Close()
		if err := c.muxes[i].Close(); err != nil {
			c.b.Error(err)
		}
	}
	c.accepting.Wait()
}

// pauseFor waits for real time to pass, which is what is measured.
func pauseFor(d time.Duration) { <-time.NewTimer(d).C }

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkMuxIdle measures what groups of three cost a node while nothing
// happens, over an operation of one second: percent of one core, memory and goroutines.
func BenchmarkMuxIdle(b *testing.B) {
	for _, groups := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(groups), func(b *testing.B) {
			c := newMuxTCP(b, groups)
			defer c.close()
			c.spread()
			pauseFor(3 * time.Second)
			runtime.GC()
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			used, start := cpuTime(b), time.Now()
			for b.Loop() {
				pauseFor(time.Second)
			}
			share := float64(cpuTime(b)-used) / float64(time.Since(start)) / 3
			b.ReportMetric(100*share, "%core/node")
			b.ReportMetric(float64(memory.HeapInuse+memory.StackInuse)/3/(1<<20), "MB/node")
			b.ReportMetric(float64(runtime.NumGoroutine())/3, "goroutines/node")
		})
	}
}

// BenchmarkMuxCommit commits entries of 250 bytes through 16 groups with logs in
// memory: the transport and the library alone.
func BenchmarkMuxCommit(b *testing.B) {
	const groups = 16
	c := newMuxTCP(b, groups)
	defer c.close()
	c.spread()
	data := make([]byte, 250)
	var next atomic.Int64
	b.SetParallelism(256)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		g := int(next.Add(1)) % groups
		leader := c.leader(g)
		for pb.Next() {
			if err := leader.Apply(data, 0).Error(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
