package actortest

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/actor"
)

// Node is a host with its store in memory. It owns everything.
type Node struct {
	Host      *actor.Host
	Committer *Committer
	Log       *Log // what the host logged

	tb      testing.TB
	cfg     actor.Config
	fs      vfs.FS
	store   *actor.Store
	running bool
	calls   sync.WaitGroup // those that Begin started
}

const shards = 4

func shardOf(id actor.ID) uint32 { return uint32(binary.BigEndian.Uint64(id[:8]) % shards) }

// New starts a node that runs the classes of cfg. Store, Committer, Secret and
// Log of cfg are filled in. The test's end stops it.
func New(tb testing.TB, cfg actor.Config) *Node {
	tb.Helper()
	n := &Node{tb: tb, cfg: cfg, fs: vfs.NewMem(), Log: &Log{}}
	n.cfg.Secret = bytes.Repeat([]byte{7}, actor.IDSecretBytes)
	n.cfg.ShardOf = shardOf
	n.start()
	tb.Cleanup(n.Stop)
	return n
}

func (n *Node) start() {
	n.tb.Helper()
	n.Committer = newCommitter(shardOf)
	var host *actor.Host
	store, err := actor.OpenStore(actor.StoreConfig{
		Dir: "state", FS: n.fs, ShardOf: shardOf, Log: slog.New(slog.DiscardHandler),
		AlarmSet: func(shard uint32, due int64) { host.AlarmSet(shard, due) },
	})
	if err != nil {
		n.tb.Fatal(err)
	}
	for shard := range uint32(shards) {
		index, _, err := store.Position(shard)
		if err != nil {
			n.tb.Fatal(err)
		}
		n.Committer.index[shard] = index
	}
	n.Committer.store, n.store = store, store
	n.cfg.Start++
	n.Committer.ownership = n.cfg.Start // each start gets an ownership of its own
	n.cfg.Store, n.cfg.Committer, n.cfg.Log = store, n.Committer, slog.New(slog.NewTextHandler(n.Log, nil))
	if host, err = actor.NewHost(n.cfg); err != nil {
		n.tb.Fatal(err)
	}
	n.Host, n.running = host, true
	for shard := range uint32(shards) {
		host.SetOwnership(shard, n.cfg.Start)
	}
}

// Stop stops the node.
func (n *Node) Stop() {
	if !n.running {
		return
	}
	n.tb.Helper()
	n.running = false
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n.Committer.Release()
	n.Committer.ReleaseProofs()
	if err := n.Host.Close(ctx); err != nil {
		n.tb.Errorf("Host.Close() = %v", err)
	}
	n.close()
}

func (n *Node) close() {
	n.tb.Helper()
	n.Committer.close()
	n.calls.Wait()
	if err := n.store.Close(); err != nil {
		n.tb.Errorf("Store.Close() = %v", err)
	}
}

// Crash starts the node anew on what was applied so far: batches under way are
// lost, and nothing that runs has an effect any more. Handlers that still run
// must end by themselves; release, if not nil, makes them.
func (n *Node) Crash(release func()) {
	n.tb.Helper()
	n.Committer.crash()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.Host.Close(ctx) // handlers may still run
	if release != nil {
		release()
	}
	n.close()
	n.start()
}

// Restart stops the node and starts it on the same data.
func (n *Node) Restart() {
	n.tb.Helper()
	n.Stop()
	n.start()
}

// Store gives the node's store.
func (n *Node) Store() *actor.Store { return n.store }

// Target names an object.
func (n *Node) Target(class, name string) actor.Target {
	n.tb.Helper()
	ids, ok := n.Host.IDs(class)
	if !ok {
		n.tb.Fatalf("no class %s", class)
	}
	id, err := ids.Named(name)
	if err != nil {
		n.tb.Fatal(err)
	}
	return actor.Target{Class: class, ID: id, Name: name}
}

// Call makes a call and gives its answer; err is what Dispatch returned.
func (n *Node) Call(target actor.Target, method, path, body string) (resp *http.Response, err error) {
	resp, _, err = n.Begin(target, method, path, body).Wait()
	return resp, err
}

// Must makes a call that must answer 200 and gives the body.
func (n *Node) Must(target actor.Target, method, path, body string) string {
	n.tb.Helper()
	call := n.Begin(target, method, path, body)
	if err := call.Err(); err != nil {
		n.tb.Fatalf("%s %s: %v", method, path, err)
	}
	status, data := call.Seen()
	if status != http.StatusOK {
		n.tb.Fatalf("%s %s = %d %s, want 200", method, path, status, data)
	}
	return data
}

// Records gives the number of objects that the store has a record of.
func (n *Node) Records() int {
	n.tb.Helper()
	total := 0
	for shard := range uint32(shards) {
		err := n.store.Objects(shard, actor.ID{}, func(actor.ID, actor.ObjectRecord) bool { total++; return true })
		if err != nil {
			n.tb.Fatal(err)
		}
	}
	return total
}
