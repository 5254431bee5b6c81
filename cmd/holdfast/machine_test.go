package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
)

// machine is what outlives a node in this process: a disk and a network.
type machine struct {
	t     *testing.T
	cfg   Config
	parts Parts // without listeners

	network *memNetwork // nil: loopback

	node      *Node
	url       string
	operators string
}

// stopPatience is how long the calls of a test may keep its node from stopping.
const stopPatience = 5 * time.Minute

// newMachine makes a machine with the real loopback network and disk.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, cfg: defaultConfig(), parts: testParts(t)}
	m.cfg.StopTimeout = stopPatience
	m.cfg.Data = filepath.Join(t.TempDir(), "data")
	t.Cleanup(m.stop)
	return m
}

// newMemMachine makes a machine in memory, as a bubble needs it.
func newMemMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, cfg: defaultConfig(), parts: testParts(t), network: newMemNetwork()}
	m.cfg.StopTimeout = stopPatience
	m.cfg.Data = "/data"
	m.cfg.Shards = 4 // enough to have several, and quick to start
	m.parts.heartbeatTimeout = time.Hour
	m.parts.FS = vfs.NewMem()
	m.parts.Control = cluster.NewMemoryControl()
	t.Cleanup(m.stop)
	return m
}

func testParts(t *testing.T) Parts {
	t.Helper()
	return Parts{
		Log:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Fatal: func(err error) { panic(err) },
	}
}

// start starts the node on what is on the disk.
func (m *machine) start() {
	m.t.Helper()
	if err := m.tryStart(); err != nil {
		m.t.Fatalf("StartNode() = %v", err)
	}
}

func (m *machine) tryStart() error {
	parts := m.parts
	if m.network != nil {
		parts.Clients, parts.Operators = m.network.listen("node:80"), m.network.listen("node:81")
	} else {
		parts.Clients, parts.Operators = loopback(m.t), loopback(m.t)
	}
	node, err := StartNode(context.WithoutCancel(m.t.Context()), m.cfg, parts)
	if err != nil {
		return err
	}
	m.node, m.url, m.operators = node, "http://"+parts.Clients.Addr().String(), "http://"+parts.Operators.Addr().String()
	return nil
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// stop stops the node gracefully, if there is one.
func (m *machine) stop() {
	m.t.Helper()
	if err := m.tryStop(); err != nil {
		m.t.Errorf("Close() = %v", err)
	}
}

func (m *machine) tryStop() error {
	if m.node == nil {
		return nil
	}
	node := m.node
	m.node = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.t.Context()), 2*stopPatience)
	defer cancel()
	return node.Close(ctx)
}

func (m *machine) restart() {
	m.t.Helper()
	m.stop()
	m.start()
}

// dial reaches the machine's network; nil is the real one.
func (m *machine) dial() dialFunc {
	if m.network == nil {
		return nil
	}
	return m.network.dial
}

// object gives the URL of an object.
func (m *machine) object(class, name string) string {
	return fmt.Sprintf("%s/objects/%s/%s", m.url, class, name)
}

// faultyCommitter breaks a promise of the Committer on purpose, so that tests can
// show that the checkers notice.
type faultyCommitter struct {
	actor.Committer

	commit func(c actor.Committer, object actor.ID, ownership uint64, batch []byte, done func(error))
}

func (c faultyCommitter) Commit(object actor.ID, ownership uint64, batch []byte, done func(error)) {
	c.commit(c.Committer, object, ownership, batch, done)
}
