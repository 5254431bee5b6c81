package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// loopback is three nodes of this process on real sockets and a real disk.
type loopback struct {
	b     *testing.B
	nodes []*loopNode
}

type loopNode struct {
	*testNode

	listener net.Listener
	serving  sync.WaitGroup
	dead     atomic.Bool // nothing gets in or out

	mu    sync.Mutex // guards the following field
	conns []net.Conn
}

func newLoopback(b *testing.B, shards int) *loopback {
	b.Helper()
	c := &loopback{b: b}
	var join []string
	for i := range 3 {
		n := &loopNode{}
		var err error
		if n.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			b.Fatal(err)
		}
		network := &Network{
			Join: join, GossipBind: "127.0.0.1:0", Internal: n.listener.Addr().String(), Dial: n.dial, Handle: n.accept,
		}
		if n.testNode, err = tryStart(b, Config{Dir: b.TempDir(), Name: fmt.Sprint("n", i), Shards: shards, FS: vfs.Default, Network: network}); err != nil {
			b.Fatal(err)
		}
		join = []string{c.first(n).peers.members.self}
	}
	c.wait()
	return c
}

func (c *loopback) first(n *loopNode) *loopNode {
	c.nodes = append(c.nodes, n)
	return c.nodes[0]
}

func (n *loopNode) keep(conn net.Conn) net.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, conn)
	return conn
}

func (n *loopNode) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil && n.dead.Load() {
		return nil, errors.Join(errors.New("this node is dead"), conn.Close())
	}
	if err != nil {
		return nil, err
	}
	return n.keep(conn), nil
}

func (n *loopNode) accept(take func(net.Conn)) {
	n.serving.Go(func() {
		for {
			conn, err := n.listener.Accept()
			if err != nil {
				return
			}
			take(n.keep(conn))
		}
	})
}

// kill cuts the node off at once, as the end of its process would: connections are
// reset, nobody listens any more.
func (n *loopNode) kill() {
	n.dead.Store(true)
	n.listener.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		conn.Close()
	}
}

// wait waits until every shard has three voters and is owned by its home.
func (c *loopback) wait() {
	c.b.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); pauseFor(50 * time.Millisecond) {
		if err = c.atHome(); err == nil {
			return
		}
	}
	c.b.Fatalf("shards are not at home: %v", err)
}

func (c *loopback) atHome() error {
	home := 0
	for _, n := range c.nodes {
		t := n.Node.control.table()
		for _, r := range n.reports(c.b.Context(), look{}) {
			voters := 0
			for _, replica := range r.Replicas {
				voters += truth(replica.Voter)
			}
			home += truth(r.Ownership > 0 && voters == placement.Copies && t.Shards[r.Shard].Wanted[0] == n.Name())
		}
	}
	if home < c.nodes[0].Shards() {
		return fmt.Errorf("%d of %d", home, c.nodes[0].Shards())
	}
	return nil
}

// write writes once, wherever the owner is, and says when that was acknowledged.
func (c *loopback) write(ctx context.Context, shard placement.ShardID) time.Time {
	for ctx.Err() == nil {
		for _, n := range c.nodes {
			if !n.dead.Load() && n.testNode.write(shard, "x") == nil {
				return time.Now()
			}
		}
		pauseFor(time.Millisecond)
	}
	return time.Now()
}

func (c *loopback) close() {
	for _, n := range c.nodes {
		n.stop(c.b)
		n.listener.Close()
		n.serving.Wait()
	}
}

// quantiles reports what is named by a unit.
func quantiles(b *testing.B, all []time.Duration, unit string) {
	b.Helper()
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, cmp.Compare)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.5), "p50-ms-"+unit)
	b.ReportMetric(at(0.99), "p99-ms-"+unit)
	b.ReportMetric(at(1), "max-ms-"+unit)
}

// BenchmarkFailover kills one of three nodes: the time until each of the shards that
// it owned acknowledges a write again.
func BenchmarkFailover(b *testing.B) {
	var all []time.Duration
	for b.Loop() {
		c := newLoopback(b, 32)
		victim := c.nodes[1]
		var owned []placement.ShardID
		for shard := range placement.ShardID(32) {
			if _, err := victim.Ownership(shard); err == nil {
				owned = append(owned, shard)
			}
		}
		took := make([]time.Duration, len(owned))
		var writing sync.WaitGroup
		ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
		start := time.Now()
		victim.kill()
		for i, shard := range owned {
			writing.Go(func() { took[i] = c.write(ctx, shard).Sub(start) })
		}
		writing.Wait()
		cancel()
		all = append(all, took...)
		c.close()
	}
	quantiles(b, all, "to-write")
}

// BenchmarkDrain hands all shards of a node over under load, and takes them back: how
// long a writer of a moving shard waits for its slowest write.
func BenchmarkDrain(b *testing.B) {
	c := newLoopback(b, 32)
	defer c.close()
	var pauses []time.Duration
	for b.Loop() {
		pauses = append(pauses, c.drainUnderLoad(c.nodes[0])...)
		c.wait() // the steward brings them home
	}
	quantiles(b, pauses, "pause")
}

func (c *loopback) drainUnderLoad(n *loopNode) []time.Duration {
	ctx, cancel := context.WithCancel(c.b.Context())
	slowest := make([]time.Duration, n.Shards())
	var writing sync.WaitGroup
	var draining atomic.Bool
	for shard := range placement.ShardID(n.Shards()) {
		if _, err := n.Ownership(shard); err != nil {
			continue
		}
		writing.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				took := c.write(ctx, shard).Sub(start)
				if draining.Load() {
					slowest[shard] = max(slowest[shard], took)
				}
				pauseFor(time.Millisecond)
			}
		})
	}
	pauseFor(100 * time.Millisecond)
	draining.Store(true)
	if err := n.Drain(ctx); err != nil {
		c.b.Error(err)
	}
	pauseFor(100 * time.Millisecond)
	cancel()
	writing.Wait()
	n.draining.Store(false)
	return slices.DeleteFunc(slowest, func(d time.Duration) bool { return d == 0 })
}

// BenchmarkClusterIdle is what three idle nodes of this process cost, each.
func BenchmarkClusterIdle(b *testing.B) {
	for _, shards := range []int{32, 64, 256} {
		b.Run(fmt.Sprint(shards), func(b *testing.B) {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c := newLoopback(b, shards)
			defer c.close()
			pauseFor(5 * time.Second)
			used := cpuTime(b)
			start := time.Now()
			for b.Loop() {
				pauseFor(time.Second)
			}
			b.ReportMetric(100*float64(cpuTime(b)-used)/float64(time.Since(start))/3, "%-of-a-core/node")
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/3/(1<<20), "MB/node")
		})
	}
}
