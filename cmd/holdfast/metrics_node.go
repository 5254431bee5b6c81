package main

import (
	"context"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
	"github.com/holdfast-dev/holdfast/transport"
)

// registerEarlyGauges makes metrics of what can be told while the node waits for its
// peers, which may take long.
func (n *Node) registerEarlyGauges(m *meters, parts Parts) {
	gauge := func(name, help string, value func() float64) {
		m.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("started", "1 when the node has joined or formed its cluster and opened its replicas, as /startupz says.", func() float64 {
		return truth(n.hasStarted(context.Background()) == nil)
	})
	gauge("ready", "1 while clients may be sent here, as /readyz says.", func() float64 { return truth(n.ready(context.Background()) == nil) })
	gauge("ailing", "1 when the node drained itself because it is not well. It needs a restart.", func() float64 { return truth(n.ailing.why() != "") })
	gauge("memory_needed_bytes", "Memory that the process needs, without what the garbage collector could give back.", func() float64 { return float64(memoryUse()) })
	gauge("memory_limit_bytes", "Memory that the process may take; near it the node drains itself. 0: there is no limit.", func() float64 { return float64(parts.MemoryLimit) })
	gauge("internal_certificate_expiry_timestamp_seconds", "When peers begin to refuse the node's certificate, in seconds since 1970; +Inf: never.", parts.Network.certificateExpiry)
	gauge("internal_certificate_issue_timestamp_seconds", "From when on peers accept the node's certificate, in seconds since 1970; 0: there is none.", func() float64 {
		if !parts.Network.hasCertificate() {
			return 0
		}
		return float64(parts.Network.Keys.Link.Issued().Unix())
	})
	gauge("internal_certificate_refused", "1 while the files of the node's certificate for its peers hold something that cannot be used, so that the one from before is kept.", func() float64 {
		return truth(parts.Network.hasCertificate() && parts.Network.Keys.Link.Refused())
	})
}

func (n *Network) hasCertificate() bool { return n != nil && n.Keys.Link != nil }

// certificateExpiry is +Inf for a node that has no certificate.
func (n *Network) certificateExpiry() float64 {
	if !n.hasCertificate() {
		return math.Inf(1)
	}
	return float64(n.Keys.Link.Expires().Unix())
}

// picture is a node at a moment, of which one scrape is made.
type picture struct {
	cfg      Config
	server   transport.ServerConfig
	cluster  cluster.Status
	disk     cluster.Disk
	logBytes uint64
	alone    bool // it has no network
	draining bool
	host     actor.Stats
	store    actor.StoreMetrics
	relay    transport.RelayStats
}

func (n *Node) picture(cfg Config) *picture {
	p := &picture{
		cfg: cfg, server: cfg.server(), cluster: n.cluster.Status(), disk: n.cluster.Disk(), logBytes: n.cluster.LogDiskBytes(),
		alone: n.link == nil, draining: n.cluster.Draining(), host: n.host.Stats(),
	}
	_ = p.server.Validate()        // fills in defaults; the configuration was validated
	p.store, _ = n.store.Metrics() // closed: the last scrape of a node that stops
	if n.relay != nil {
		p.relay = n.relay.Stats()
	}
	return p
}

// pictureGauge is a gauge of a picture.
type pictureGauge struct {
	desc   *prometheus.Desc
	values []string // of its label, if it has one
	value  func(p *picture) float64
}

// nodeCollector makes the gauges of a whole scrape of one picture.
type nodeCollector struct {
	node   *Node
	cfg    Config
	gauges []pictureGauge
}

// registerGauges makes metrics of what can be asked at any time once the node is open.
func (n *Node) registerGauges(m *meters, cfg Config) {
	c := &nodeCollector{node: n, cfg: cfg}
	c.ofRuntime()
	c.ofSockets()
	c.ofReplicas()
	c.ofDisks()
	c.ofCluster()
	m.registerer.MustRegister(c)
}

func (c *nodeCollector) gauge(name, help string, value func(p *picture) float64) {
	c.gauges = append(c.gauges, pictureGauge{desc: prometheus.NewDesc(name, help, nil, nil), value: value})
}

func (c *nodeCollector) labelled(name, help, label string, values map[string]func(p *picture) float64) {
	desc := prometheus.NewDesc(name, help, []string{label}, nil)
	for v, value := range values {
		c.gauges = append(c.gauges, pictureGauge{desc: desc, values: []string{v}, value: value})
	}
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		descs <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(all chan<- prometheus.Metric) {
	p := c.node.picture(c.cfg)
	for _, g := range c.gauges {
		all <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value(p), g.values...)
	}
}

func (c *nodeCollector) ofRuntime() {
	c.gauge("activations", "Objects in memory.", func(p *picture) float64 { return float64(p.host.Activations) })
	c.gauge("activations_limit", "Objects that may be in memory; beyond it idle ones leave first, then calls are refused.", func(p *picture) float64 { return float64(p.cfg.MaxObjects) })
	c.gauge("hibernated_objects", "Objects of this node's shards that left memory and have open sockets. Those of a shard that the node has just got are not counted before they were in memory.", func(p *picture) float64 { return float64(p.host.Hibernated) })
	c.gauge("quarantined_objects", "Objects that this node refuses because they may harm it.", func(p *picture) float64 { return float64(p.host.Quarantined) })
	c.gauge("stuck_handlers", "Handlers that ran into their time limit and do not end.", func(p *picture) float64 { return float64(p.host.Stuck) })
	c.gauge("events_waiting", "Events that wait for their object's gate.", func(p *picture) float64 { return float64(p.host.Waiting) })
	c.gauge("events_running", "Events that have begun and are not over, tasks not counted.", func(p *picture) float64 { return float64(p.host.Running) })
	c.gauge("alarms_running", "Runs of Alarm under way; at 256 others wait.", func(p *picture) float64 { return float64(p.host.AlarmRuns) })
	c.gauge("alarms_resting", "Objects whose due alarm was refused or broken by the platform and waits to be tried again.", func(p *picture) float64 { return float64(p.host.AlarmRests) })
	c.gauge("held_bytes", "Bytes of bodies, messages, batches and frames under way.", func(p *picture) float64 { return float64(p.host.Bytes) })
	c.gauge("held_limit_bytes", "Bytes of bodies, messages, batches and frames that may be under way; beyond it calls are refused.", func(p *picture) float64 { return float64(p.cfg.MaxMemoryBytes) })
	c.gauge("connections_limit", "Connections of clients that may be open.", func(p *picture) float64 { return float64(p.server.Connections) })
	c.gauge("requests_under_way_limit", "Requests of clients that may be under way.", func(p *picture) float64 { return float64(p.server.Requests) })
}

func (c *nodeCollector) ofSockets() {
	c.gauge("sockets_parked", "Open WebSockets of clients that wait for an owner of their object.", func(p *picture) float64 { return float64(p.relay.ParkedSockets) })
	c.labelled("socket_links", "Socket links to other nodes that are up: to owners of objects, and of gateways.", "to", map[string]func(p *picture) float64{
		"owner":   func(p *picture) float64 { return float64(p.relay.OwnerLinks) },
		"gateway": func(p *picture) float64 { return float64(p.relay.GatewayLinks) },
	})
	c.gauge("socket_link_queued_bytes", "Bytes that wait at this node's ends of all socket links; one with 64 MiB is broken off.", func(p *picture) float64 { return float64(p.relay.QueuedBytes) })
}

func (c *nodeCollector) ofReplicas() {
	count := func(name, help string, is func(s cluster.ShardStatus) bool) {
		c.gauge(name, help, func(p *picture) float64 { return float64(p.count(is)) })
	}
	c.gauge("shards", "Shards of the cluster.", func(p *picture) float64 { return float64(p.cluster.Total) })
	count("shards_owned", "Shards that this node owns.", func(s cluster.ShardStatus) bool { return s.Ownership != 0 })
	count("shards_reduced", "Shards that this node owns and of which fewer replicas answer than there should be.", func(s cluster.ShardStatus) bool { return s.Healthy < s.Wanted })
	count("replicas", "Replicas of shards that this node holds.", func(cluster.ShardStatus) bool { return true })
	count("replicas_stopped", "Replicas that could not be opened, or met something that they must not skip, and take part no more.", func(s cluster.ShardStatus) bool { return s.Stopped != nil })
	count("replicas_stalled", "Replicas whose state stands still although entries are committed.", func(s cluster.ShardStatus) bool { return s.Stalled })
	c.gauge("replica_lag_entries", "Log entries that the follower lacks that is furthest behind, of those that answer in the shards that this node owns.", func(p *picture) (lag float64) {
		for _, s := range p.cluster.Shards {
			lag = max(lag, float64(s.Lag))
		}
		return lag
	})
	c.gauge("in_flight_bytes", "Bytes of batches proposed and not answered.", func(p *picture) float64 { return float64(p.cluster.InFlightBytes) })
}

func (p *picture) count(is func(s cluster.ShardStatus) bool) (n int) {
	for _, shard := range p.cluster.Shards {
		if is(shard) {
			n++
		}
	}
	return n
}

func (c *nodeCollector) ofDisks() {
	c.gauge("log_stalled", "1 while the disk of the log does not answer: the node is silent, and others take its shards.", func(p *picture) float64 { return truth(p.cluster.LogStalled) })
	c.gauge("storage_full", "1 while writes are refused for want of disk space.", func(p *picture) float64 { return truth(p.cluster.StorageFull) })
	c.gauge("data_disk_free_bytes", "Free bytes of the data directory's file system; NaN where it does not tell.", func(p *picture) float64 { return p.ofDisk(p.disk.FreeBytes) })
	c.gauge("data_disk_size_bytes", "Size of the data directory's file system; NaN where it does not tell.", func(p *picture) float64 { return p.ofDisk(p.disk.SizeBytes) })
	c.gauge("data_disk_reserve_bytes", "Free bytes below which writes are refused.", func(p *picture) float64 { return float64(p.disk.ReserveBytes) })
	c.gauge("log_disk_bytes", "Disk space of the log database.", func(p *picture) float64 { return float64(p.logBytes) })
	c.gauge("state_disk_bytes", "Disk space of the state database.", func(p *picture) float64 { return float64(p.store.DiskBytes) })
	c.gauge("state_compaction_debt_bytes", "Bytes that compactions of the state database are behind.", func(p *picture) float64 { return float64(p.store.CompactionDebt) })
}

func (p *picture) ofDisk(bytes uint64) float64 {
	if p.disk.SizeBytes == 0 {
		return math.NaN()
	}
	return float64(bytes)
}

func (c *nodeCollector) ofCluster() {
	c.gauge("draining", "1 once the node has begun to hand its shards over.", func(p *picture) float64 { return truth(p.draining) })
	c.gauge("control_has_leader", "1 while this node knows of a leader of the control group.", func(p *picture) float64 { return truth(p.cluster.ControlLeader != "") })
	c.gauge("control_leader", "1 while this node leads the control group.", func(p *picture) float64 { return truth(p.cluster.LeadsControl) })
	c.gauge("shards_without_owner", "Shards that nobody proves to own, as the control leader sees it; 0 on other nodes.", func(p *picture) float64 { return float64(p.ownerless()) })
	c.gauge("shards_moving", "Shards that are not where they belong or wait for something, as the control leader sees it; 0 on other nodes.", func(p *picture) float64 { return float64(len(p.cluster.Moves.Steps) - p.lost()) })
	c.gauge("shards_lost", "Shards of which a majority of the replicas has lost its disks, as the control leader sees it; 0 on other nodes.", func(p *picture) float64 { return float64(p.lost()) })
	state := func(state string) func(p *picture) float64 {
		return func(p *picture) float64 {
			return float64(p.nodes(func(n cluster.NodeStatus) bool { return n.State == state }))
		}
	}
	c.labelled("nodes", "Nodes of the cluster as its table has them, by state.", "state", map[string]func(p *picture) float64{
		"in": state(""), "leaving": state("leaving"), "left": state("left"), "gone": state("gone"),
	})
	c.gauge("nodes_up", "Nodes of the cluster, without those that have left, that gossip holds for alive as this node hears it.", func(p *picture) float64 {
		return float64(p.nodes(func(n cluster.NodeStatus) bool { return n.Alive && n.State != "left" }))
	})
}

func (p *picture) nodes(is func(n cluster.NodeStatus) bool) (count int) {
	for _, node := range p.cluster.Nodes {
		if is(node) {
			count++
		}
	}
	return count
}

// ownerless counts for itself on a node that has no others, and hence no control
// leader that looks.
func (p *picture) ownerless() int {
	if p.alone {
		return p.cluster.Total - p.count(func(s cluster.ShardStatus) bool { return s.Ownership != 0 })
	}
	return p.cluster.Moves.Ownerless
}

func (p *picture) lost() (n int) {
	for _, move := range p.cluster.Moves.Steps {
		if move.Step == placement.StepLost {
			n++
		}
	}
	return n
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
