package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// DefaultGossipPort is where members gossip, UDP and TCP, if nothing else is said.
const DefaultGossipPort = 7946

// Grace period before a node that is gone is replaced.
const (
	DefaultGracePeriod = 10 * time.Minute
	minGracePeriod     = time.Second
)

// maxBootstrapExpect is far more than what has to agree on a new cluster.
const maxBootstrapExpect = 255

// Network says how a node finds and reaches others. Without one it is alone.
type Network struct {
	// Join are addresses or DNS names of other nodes' gossip. A node that has any,
	// and no cluster yet, never forms one by itself.
	Join []string
	// BootstrapExpect is how many nodes form a new cluster together. 0: none do. It
	// has no meaning once the node belongs to a cluster.
	BootstrapExpect int
	// Zone is what may fail at once with this node. Replicas are spread over zones.
	Zone string
	// GracePeriod is how long a node must be gone until others take its replicas,
	// if there are others. 0: DefaultGracePeriod. The control leader's counts.
	GracePeriod time.Duration

	// Internal is the address that others dial to reach Handle's function.
	Internal string
	// GossipBind is the host:port of gossip, GossipAdvertise the host or host:port
	// that others see, "" as bound. GossipKey has 32 bytes; nil: no encryption.
	GossipBind      string
	GossipAdvertise string
	GossipKey       []byte
	// GossipTransport takes the place of GossipBind, for networks in memory.
	GossipTransport memberlist.Transport

	// Dial connects to a peer's internal address, for Raft, authenticated.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Handle is called once, by Open, with the function that takes the connections
	// that peers have made with their Dial. It owns them and does not block.
	Handle func(func(net.Conn))

	// resolver finds the addresses of names. nil: the system's.
	resolver resolver
}

// withDefaults checks the network and fills in what was left out.
func (n Network) withDefaults() (*Network, error) {
	var errs []error
	if n.Dial == nil || n.Handle == nil || n.Internal == "" {
		errs = append(errs, errors.New("cluster: configuration: a network needs an internal address, Dial and Handle"))
	}
	if n.BootstrapExpect < 0 || n.BootstrapExpect > maxBootstrapExpect {
		errs = append(errs, fmt.Errorf("cluster: configuration: expects %d nodes: want 0 to %d", n.BootstrapExpect, maxBootstrapExpect))
	}
	if len(n.GossipKey) != 0 && len(n.GossipKey) != 32 {
		errs = append(errs, fmt.Errorf("cluster: configuration: gossip key of %d bytes: want 32", len(n.GossipKey)))
	}
	if n.GracePeriod == 0 {
		n.GracePeriod = DefaultGracePeriod
	}
	if n.GracePeriod < minGracePeriod {
		errs = append(errs, fmt.Errorf("cluster: configuration: grace period %v: want at least %v", n.GracePeriod, minGracePeriod))
	}
	if meta := len((memberMeta{cluster: newClusterID([16]byte{}), zone: n.Zone, internal: n.Internal}).append(nil)); meta > maxMemberMetaBytes {
		errs = append(errs, fmt.Errorf("cluster: configuration: zone and internal address are %d bytes too long", meta-maxMemberMetaBytes))
	}
	if n.resolver == nil {
		n.resolver = net.DefaultResolver
	}
	return &n, errors.Join(errs...)
}

// alone says whether a new node forms a cluster of one at once.
func (n *Network) alone() bool {
	return n == nil || len(n.Join) == 0 && n.BootstrapExpect <= 1
}
