package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// realNode is a node on the real network and the real disk.
type realNode struct {
	*testNode

	listener net.Listener
	serving  sync.WaitGroup
}

func startReal(t *testing.T, name, dir, key string, join ...string) (*realNode, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &realNode{listener: listener}
	var dialer net.Dialer
	network := &Network{
		Join: join, GossipBind: "127.0.0.1:0", GossipKey: []byte(key), Internal: listener.Addr().String(),
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		},
		Handle: func(take func(net.Conn)) {
			r.serving.Go(func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					take(conn)
				}
			})
		},
	}
	r.testNode, err = tryStart(t, Config{Dir: dir, Name: name, Shards: 4, FS: vfs.Default, Network: network})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return r, nil
}

func (r *realNode) halt(t *testing.T) {
	t.Helper()
	r.stop(t)
	if err := r.listener.Close(); err != nil {
		t.Error(err)
	}
	r.serving.Wait()
}

// gossipAddress is where the node can be joined.
func (r *realNode) gossipAddress() string { return r.peers.members.self }

// TestRealNetwork runs three nodes with encrypted gossip, TCP, files and the clock
// of leases, and starts the first one again, which has no seeds.
func TestRealNetwork(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	dir := t.TempDir()
	nodes := make(map[string]*realNode)
	start := func(name string, join ...string) {
		t.Helper()
		var err error
		if nodes[name], err = startReal(t, name, dir+"/"+name, key, join...); err != nil {
			t.Fatal(err)
		}
	}
	start("a")
	start("b", nodes["a"].gossipAddress())
	start("c", nodes["a"].gossipAddress())
	defer func() {
		for _, n := range nodes {
			n.halt(t)
		}
	}()
	whole := func() error {
		owned := 0
		for _, n := range nodes {
			for _, r := range n.reports(t.Context(), look{}) {
				if r.Ownership > 0 && len(r.Replicas) == placement.Copies {
					owned++
				}
			}
		}
		if owned != 4 {
			return fmt.Errorf("%d of 4 shards have an owner and three replicas", owned)
		}
		return nil
	}
	await := func() {
		t.Helper()
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for deadline := time.Now().Add(30 * time.Second); ; <-ticker.C {
			err := whole()
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("after 30 s: %v", err)
			}
		}
	}
	await()
	nodes["a"].halt(t)
	delete(nodes, "a")
	start("a")
	if nodes["a"].ClusterID() != nodes["b"].ClusterID() {
		t.Errorf("a is in cluster %s after its restart, b in %s", nodes["a"].ClusterID(), nodes["b"].ClusterID())
	}
	await()
	for shard := range placement.ShardID(4) {
		node, address, local, ok, _ := nodes["a"].Owner(shard)
		if !ok || !local && address != nodes[node].listener.Addr().String() {
			t.Errorf("Owner(%d) at a = %s at %s, local %v, %v", shard, node, address, local, ok)
		}
	}
}
