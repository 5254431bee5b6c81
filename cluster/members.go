package cluster

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/holdfast-dev/holdfast/placement"
)

// Member is a node as gossip sees it. Gossip suggests: nothing is decided by it.
type Member struct {
	Node     placement.NodeID
	Start    uint64
	Zone     string
	Internal string // address of the node's internal port
	Alive    bool

	cluster   string
	directory directoryID
	gossip    string    // where it gossips
	since     time.Time // it has been alive, or not
}

// membersConfig is what members needs.
type membersConfig struct {
	node      placement.NodeID
	start     uint64
	meta      memberMeta
	bind      string // host:port for gossip, UDP and TCP; unused with transport
	advertise string // host or host:port that others reach; "" = as bound
	key       []byte // 32 bytes; nil = gossip is not encrypted
	transport memberlist.Transport
	changed   func() // somebody came, left or says something else of himself; must not block
	hints     *hints
	log       *slog.Logger
	// pace is how many times as slow as usual the library goes about, for clusters
	// in virtual time in which days pass. 0: as usual.
	pace int
}

// members is this node's part in gossip: who is there, at which address, and
// hints about who owns what.
type members struct {
	// Fixed after newMembers.
	list  *memberlist.Memberlist
	cfg   membersConfig
	self  string // address at which others reach this member
	began time.Time
	// timeout of leaving and updates: gossipTimeout, or more in slow gossip.
	timeout time.Duration

	mu    sync.Mutex // guards the following fields
	meta  memberMeta
	known map[string]Member // by gossip name; those that are dead stay until a later start of the node is seen
}

// gossipTimeout bounds leaving and updates: how long to wait for a message to get about.
const gossipTimeout = 2 * time.Second

// maxGossipPace bounds how slow gossip gets: who joins or leaves waits for it.
const maxGossipPace = 50

// newMembers begins to gossip. Nobody is known until join.
func newMembers(cfg membersConfig) (*members, error) {
	m := &members{cfg: cfg, timeout: gossipTimeout, meta: cfg.meta, began: time.Now(), known: make(map[string]Member)}
	conf := memberlist.DefaultLANConfig()
	conf.Name = gossipName(cfg.node, cfg.start)
	conf.Transport = cfg.transport
	conf.SecretKey = cfg.key
	conf.Delegate, conf.Events, conf.Alive, conf.Merge = (*memberDelegate)(m), (*memberEvents)(m), (*memberFilter)(m), (*memberFilter)(m)
	conf.LogOutput = io.Discard // its lines repeat, as text, what the events tell
	conf.GossipToTheDeadTime = 10 * time.Second
	if cfg.pace > 1 {
		m.timeout = slower(m.timeout, min(cfg.pace, maxGossipPace))
		conf.GossipInterval = slower(conf.GossipInterval, min(cfg.pace, maxGossipPace))
		conf.PushPullInterval = slower(conf.PushPullInterval, cfg.pace)
		conf.ProbeInterval, conf.ProbeTimeout = slower(conf.ProbeInterval, cfg.pace), slower(conf.ProbeTimeout, cfg.pace)
	}
	if err := setAddresses(conf, cfg); err != nil {
		return nil, err
	}
	var err error
	if m.list, err = memberlist.Create(conf); err != nil {
		return nil, fmt.Errorf("cluster: start gossip on %s: %w", cfg.bind, err)
	}
	// Read before anybody can change it: the library gives its own node unlocked.
	m.self = m.list.LocalNode().Address()
	return m, nil
}

// slower gives a time that is so many times as long.
func slower(d time.Duration, pace int) time.Duration { return d * time.Duration(max(1, pace)) }

func setAddresses(conf *memberlist.Config, cfg membersConfig) error {
	if cfg.bind != "" {
		host, port, err := splitPort(cfg.bind)
		if err != nil {
			return fmt.Errorf("cluster: gossip address %q: %w", cfg.bind, err)
		}
		conf.BindAddr, conf.BindPort, conf.AdvertisePort = host, port, port
	}
	if cfg.advertise == "" {
		return nil
	}
	host, port, err := splitPort(cfg.advertise)
	if err != nil { // a host alone
		host, port = cfg.advertise, conf.BindPort
	}
	address, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return fmt.Errorf("cluster: advertised address %q: %w", cfg.advertise, err)
	}
	conf.AdvertiseAddr, conf.AdvertisePort = address.String(), port
	return nil
}

func splitPort(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// join tells those at the addresses about this node and learns what they know.
// It succeeds if one of them answered.
func (m *members) join(addresses []string) (int, error) {
	n, err := m.list.Join(addresses)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// setCluster makes known to which cluster this node belongs now.
func (m *members) setCluster(id string) error {
	m.mu.Lock()
	m.meta.cluster = id
	m.mu.Unlock()
	if err := m.list.UpdateNode(m.timeout); err != nil {
		return fmt.Errorf("cluster: gossip the cluster ID: %w", err)
	}
	return nil
}

// all gives every node once, with its highest start that is alive, in ascending order of names.
func (m *members) all() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := make(map[placement.NodeID]Member, len(m.known))
	for _, member := range m.known {
		// A node that lost its disk counts its starts from 1 again.
		now, ok := newest[member.Node]
		if !ok || member.Alive && !now.Alive || member.Alive == now.Alive && member.Start > now.Start {
			newest[member.Node] = member
		}
	}
	all := make([]Member, 0, len(newest))
	for _, member := range newest {
		all = append(all, member)
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return all
}

// address gives the internal address of a node's newest start.
func (m *members) address(node placement.NodeID) (string, bool) {
	for _, member := range m.all() {
		if member.Node == node {
			return member.Internal, true
		}
	}
	return "", false
}

// others gives the addresses at which living members other than this node gossip,
// sorted, and as many as are worth remembering.
func (m *members) others() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var addresses []string
	for _, member := range m.known {
		if member.Alive && member.Node != m.cfg.node {
			addresses = append(addresses, member.gossip)
		}
	}
	slices.Sort(addresses)
	return addresses[:min(len(addresses), maxRemembered)]
}

// living says whether a member with that directory is alive.
func (m *members) living(directory directoryID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, member := range m.known {
		if member.Alive && member.directory == directory {
			return true
		}
	}
	return false
}

// leave tells the others that this node goes, so that they need not find out.
func (m *members) leave() error {
	if err := m.list.Leave(m.timeout); err != nil {
		return fmt.Errorf("cluster: leave gossip: %w", err)
	}
	return nil
}

// close stops gossiping, without a word unless leave came before.
func (m *members) close() error {
	if err := m.list.Shutdown(); err != nil {
		return fmt.Errorf("cluster: stop gossip: %w", err)
	}
	return nil
}

// note takes what gossip says of a node.
func (m *members) note(n *memberlist.Node, alive bool) {
	member, err := memberOf(n)
	if err != nil {
		m.cfg.log.Warn("a member says something that this version does not know", "member", n.Name, "error", err)
		return
	}
	member.Alive = alive
	m.mu.Lock()
	before, met := m.known[n.Name]
	member.since = before.since
	if !met || before.Alive != alive {
		member.since = time.Now()
	}
	m.known[n.Name] = member
	for name, other := range m.known {
		if other.Node == member.Node && other.Start < member.Start && !other.Alive {
			delete(m.known, name)
		}
	}
	m.mu.Unlock()
	if before.Alive != alive && member.Node != m.cfg.node {
		m.cfg.log.Info("a node comes or goes", "peer", member.Node, "alive", alive, "start", member.Start, "address", member.Internal)
	}
	m.cfg.changed()
}

func memberOf(n *memberlist.Node) (Member, error) {
	node, start, err := parseGossipName(n.Name)
	if err != nil {
		return Member{}, err
	}
	meta, err := decodeMemberMeta(n.Meta)
	if err != nil {
		return Member{}, err
	}
	return Member{Node: node, Start: start, Zone: meta.zone, Internal: meta.internal, cluster: meta.cluster, directory: meta.directory, gossip: n.Address()}, nil
}

// memberEvents are the library's calls about others, and about this node itself.
type memberEvents members

// NotifyJoin implements memberlist.EventDelegate.
func (e *memberEvents) NotifyJoin(n *memberlist.Node) { (*members)(e).note(n, true) }

// NotifyUpdate implements memberlist.EventDelegate.
func (e *memberEvents) NotifyUpdate(n *memberlist.Node) { (*members)(e).note(n, true) }

// NotifyLeave implements memberlist.EventDelegate: the node left, or is dead.
func (e *memberEvents) NotifyLeave(n *memberlist.Node) { (*members)(e).note(n, false) }

// memberFilter keeps apart clusters that meet by mistake.
type memberFilter members

// NotifyAlive implements memberlist.AliveDelegate.
func (f *memberFilter) NotifyAlive(n *memberlist.Node) error { return f.admit(n) }

// NotifyMerge implements memberlist.MergeDelegate.
func (f *memberFilter) NotifyMerge(peers []*memberlist.Node) error {
	for _, n := range peers {
		if err := f.admit(n); err != nil {
			return err
		}
	}
	return nil
}

// admit refuses members of another cluster. One that belongs to none yet may
// meet anybody: it will join the cluster that it finds.
func (f *memberFilter) admit(n *memberlist.Node) error {
	member, err := memberOf(n)
	if err != nil {
		return err
	}
	f.mu.Lock()
	mine := f.meta.cluster
	f.mu.Unlock()
	if mine != "" && member.cluster != "" && mine != member.cluster {
		return fmt.Errorf("cluster: member %s belongs to cluster %s, this one to %s", n.Name, member.cluster, mine)
	}
	return nil
}

// memberDelegate says what this node says of itself, and carries the hints.
type memberDelegate members

// NodeMeta implements memberlist.Delegate.
func (d *memberDelegate) NodeMeta(limit int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	meta := d.meta.append(nil)
	if len(meta) > limit {
		d.cfg.log.Error("what this node says of itself in gossip is too long", "bytes", len(meta), "limit", limit)
		return nil
	}
	return meta
}

// NotifyMsg implements memberlist.Delegate.
func (d *memberDelegate) NotifyMsg(message []byte) { d.cfg.hints.merge(message) }

// GetBroadcasts implements memberlist.Delegate.
func (d *memberDelegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.cfg.hints.broadcasts(overhead, limit)
}

// LocalState implements memberlist.Delegate.
func (d *memberDelegate) LocalState(bool) []byte { return d.cfg.hints.all() }

// MergeRemoteState implements memberlist.Delegate.
func (d *memberDelegate) MergeRemoteState(state []byte, _ bool) { d.cfg.hints.merge(state) }
