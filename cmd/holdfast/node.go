package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/objects"
	"github.com/holdfast-dev/holdfast/placement"
	"github.com/holdfast-dev/holdfast/transport"
)

// Parts are what a node takes from its machine. Two nodes may live in one
// process, on memory networks and memory disks too.
type Parts struct {
	Clients   net.Listener // the node closes both
	Operators net.Listener
	Network   *Network // nil: the node is a cluster of one and stays it
	Log       *slog.Logger
	Fatal     func(error) // ends the process, because nobody can say what the disk holds; does not return
	// AdminToken has to come with what changes or shows more than health and
	// metrics. "": that is for loopback only.
	AdminToken string

	Classes map[string]actor.Class // nil: objects.Classes
	FS      vfs.FS                 // nil: the operating system's
	Control cluster.ControlStore   // nil: in the data directory
	Clock   func() time.Duration   // leases rest on it; nil: the machine's boot time

	// MemoryLimit is how much the process may take; near it the node drains itself. 0: no limit.
	MemoryLimit uint64

	// wrapCommitter, if not nil, stands between runtime and shards: tests build
	// broken variants with it.
	wrapCommitter func(actor.Committer) actor.Committer
	// faults are deliberate mistakes, likewise.
	faults faults
	// heartbeatTimeout of a cluster that is made: bubbles in which days pass choose
	// a long one, because every timer costs. 0: the cluster's default.
	heartbeatTimeout time.Duration
}

// Node is a whole node, from StartNode to Close.
type Node struct {
	log *slog.Logger

	// Fixed after StartNode, in the order of start; Close goes the other way.
	// Those that a failed start did not get to, and those of a network that there
	// is not, are nil.
	admin   *transport.Admin
	link    *transport.Link
	cluster *cluster.Node
	store   *actor.Store
	host    *actor.Host
	relay   *transport.Relay
	peers   *transport.Peers
	owner   *transport.PeerServer
	pardons *transport.Pardons
	gateway *transport.Gateway
	server  *transport.Server
	caught  *catchUp
	memory  *memoryWatch

	liveness liveness
	ailing   ailing

	stopTimeout time.Duration // for calls, see Close

	servers sync.WaitGroup
	failed  chan error // one slot for each server

	opened   atomic.Bool // the parts are there: operators' questions can be answered
	started  atomic.Bool // every shard that the node holds alone has had an owner
	stopping atomic.Bool
}

// StartNode opens the data directory, or makes it, and returns when clients are
// served. After an error nothing is left running, and the listeners are closed.
func StartNode(ctx context.Context, cfg Config, parts Parts) (*Node, error) {
	if parts.Classes == nil {
		parts.Classes = objects.Classes()
	}
	n := &Node{log: parts.Log, stopTimeout: cfg.StopTimeout, failed: make(chan error, 5)}
	n.liveness.look, n.ailing.log = n.pulse, n.log
	if parts.Network != nil {
		n.ailing.drain = n.Drain
	}
	if err := n.start(ctx, cfg, parts); err != nil {
		err = errors.Join(err, n.Close(context.WithoutCancel(ctx)))
		// A server closes its listener; those that no server got are still open.
		for _, l := range parts.listeners() {
			_ = l.Close()
		}
		return nil, err
	}
	return n, nil
}

func (p Parts) listeners() []net.Listener {
	all := []net.Listener{p.Clients, p.Operators}
	if p.Network != nil {
		all = append(all, p.Network.Internal)
	}
	return all
}

func (n *Node) start(ctx context.Context, cfg Config, parts Parts) error {
	m := newMeters(parts.Classes)
	n.registerEarlyGauges(m, parts)
	// Operators come first: a node may have to wait long for its peers.
	n.admin = transport.NewAdmin(transport.AdminConfig{
		Health: n.health(), Metrics: m.registry, Operations: n.operations(), Token: parts.AdminToken,
	}, n.log)
	n.serve(func() error { return n.admin.Serve(parts.Operators) })
	if err := n.openCluster(ctx, cfg, parts, m); err != nil {
		return err
	}
	if err := n.openStore(parts); err != nil {
		return err
	}
	if err := n.openHost(cfg, parts, m); err != nil {
		return err
	}
	if err := n.openServer(cfg, parts, m); err != nil {
		return err
	}
	n.registerGauges(m, cfg)
	n.opened.Store(true)
	if err := n.cluster.Start(ctx, n.store); err != nil {
		return err
	}
	if parts.Network != nil {
		n.caught = startCatchUp(n.cluster.Overview, n.log)
	}
	if parts.MemoryLimit > 0 {
		n.memory = watchMemory(parts.MemoryLimit, memoryUse, n.ailing.begin)
	}
	n.started.Store(true)
	n.serve(func() error { return n.server.Serve(parts.Clients) })
	return nil
}

func (n *Node) openCluster(ctx context.Context, cfg Config, parts Parts, m *meters) (err error) {
	events := clusterEvents(m)
	// The host exists before the first shard starts, and hence before this is called.
	count := events.OwnershipChanged
	events.OwnershipChanged = func(shard placement.ShardID, ownership uint64) {
		count(shard, ownership)
		n.host.SetOwnership(uint32(shard), ownership)
	}
	events.Leaving = func(ctx context.Context, shard placement.ShardID) { n.host.Leave(ctx, uint32(shard)) }
	events.LeavingOver = func(shard placement.ShardID) { n.host.Stay(uint32(shard)) }
	events.HandingOver = func(shard placement.ShardID) { n.host.Yield(uint32(shard)) }
	network, err := n.openLink(cfg, parts.Network)
	if err != nil {
		return err
	}
	clusterConfig := cluster.Config{
		Dir:              cfg.Data,
		Name:             cfg.Name,
		DefaultName:      hostNodeName(),
		Shards:           cfg.Shards,
		HeartbeatTimeout: parts.heartbeatTimeout,
		Network:          network,
		Clock:            parts.Clock,
		Log:              n.log,
		FS:               parts.FS,
		Control:          parts.Control,
		Events:           events,
		Fatal:            parts.Fatal,
	}
	n.cluster, err = cluster.Open(ctx, clusterConfig.WithFaults(parts.faults.cluster...))
	if err != nil {
		return err
	}
	if shards := n.cluster.Shards(); shards != cfg.Shards {
		n.log.Warn("the number of shards was fixed when the data directory was first used", "wanted", cfg.Shards, "shards", shards)
	}
	return nil
}

// openLink begins to serve peers, which forming a cluster needs.
func (n *Node) openLink(cfg Config, network *Network) (*cluster.Network, error) {
	if network == nil {
		return nil, nil
	}
	n.link = transport.NewLink(network.Keys.Link, network.Dial, n.log)
	n.serve(func() error { return n.link.Serve(network.Internal) })
	return network.clusterNetwork(cfg, n.link)
}

func (n *Node) openStore(parts Parts) (err error) {
	n.store, err = actor.OpenStore(actor.StoreConfig{
		Dir:      n.cluster.StateDir(),
		FS:       parts.FS,
		ShardOf:  n.shardOf,
		AlarmSet: func(shard uint32, due int64) { n.host.AlarmSet(shard, due) },
		Log:      n.log,
		Fatal:    func(message string) { parts.Fatal(errors.New(message)) },
	})
	return err
}

func (n *Node) openHost(cfg Config, parts Parts, m *meters) (err error) {
	var way actor.Committer = committer{node: n.cluster, shards: n.cluster.Shards()}
	if parts.wrapCommitter != nil {
		way = parts.wrapCommitter(way)
	}
	hostConfig := actor.Config{
		Classes:        parts.Classes,
		Secret:         n.cluster.IDSecret(),
		Store:          n.store,
		Committer:      way,
		ShardOf:        n.shardOf,
		Start:          n.cluster.StartID(),
		Alone:          parts.Network == nil,
		GatewayOver:    func(start uint64) bool { return n.cluster.StartOver(start >> 1) },
		Log:            n.log,
		IdleTimeout:    cfg.IdleTimeout,
		KeyTTL:         cfg.IdempotencyTTL,
		MaxActivations: cfg.MaxObjects,
		MaxBytes:       cfg.MaxMemoryBytes,
		Events:         actorEvents(m),
		Ailing:         n.ailing.begin,
	}
	n.host, err = actor.NewHost(hostConfig.WithFault(parts.faults.actor))
	return err
}

func (n *Node) openServer(cfg Config, parts Parts, m *meters) (err error) {
	events := transportEvents(m)
	start := n.cluster.StartID() << 1 // the host has the odd number for sockets between objects
	n.gateway, err = transport.NewGateway(start, cfg.gateway(), n.log, events)
	if err != nil {
		return err
	}
	owners := resolver{n.cluster}
	n.relay, err = transport.NewRelay(transport.RelayConfig{Events: events}.WithFault(parts.faults.relay), n.host, owners, n.dialNode(transport.LinkSockets), n.log)
	if err != nil {
		return err
	}
	n.relay.AddGateway(start, n.gateway)
	if parts.Network != nil {
		n.openPeers(owners)
	}
	router := transport.NewRouter(n.host, owners, n.peers)
	router.UseEvents(events)
	router.RelaySockets(n.relay)
	if parts.Network != nil {
		router.UseHints(owners)
		n.host.Route(router)
	}
	n.server, err = transport.NewServer(cfg.server(), router, n.gateway, n.log, events)
	return err
}

// openPeers begins to run calls, and to reach sockets, of other nodes.
func (n *Node) openPeers(owners resolver) {
	n.relay.AddGateway(n.host.Loop())
	n.link.Handle(transport.LinkSockets, n.relay.Accept)
	n.peers = transport.NewPeers(n.dialNode(transport.LinkHTTP))
	n.owner = transport.NewPeerServer(n.host, n.log)
	n.owner.UseHints(owners)
	n.serve(n.owner.Serve)
	n.link.Handle(transport.LinkHTTP, n.owner.Accept)
	n.pardons = transport.NewPardons(n.host, owners, n.dialNode(transport.LinkOperators), n.log)
	n.serve(n.pardons.Serve)
	n.link.Handle(transport.LinkOperators, n.pardons.Accept)
}

// dialNode connects to a node wherever gossip says that it is.
func (n *Node) dialNode(use transport.LinkUse) func(ctx context.Context, node string) (net.Conn, error) {
	return func(ctx context.Context, node string) (net.Conn, error) {
		address, ok := n.cluster.Address(node)
		if !ok {
			return nil, fmt.Errorf("gossip does not know where node %s is", node)
		}
		return n.link.Dial(ctx, address, use)
	}
}

func (n *Node) shardOf(id actor.ID) uint32 {
	return uint32(placement.ShardOf(id, n.cluster.Shards()))
}

// serve runs a server until it is shut down.
func (n *Node) serve(run func() error) {
	n.servers.Go(func() {
		if err := run(); err != nil {
			n.failed <- err
		}
	})
}

// Name gives the node's name, which its data directory records.
func (n *Node) Name() string { return n.cluster.Name() }

// ClusterID gives the ID of the cluster that the node belongs to.
func (n *Node) ClusterID() string { return n.cluster.ClusterID() }

// Failed gives the error of a server that ended without being told to.
func (n *Node) Failed() <-chan error { return n.failed }
