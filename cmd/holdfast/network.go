package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/transport"
)

// Network is what a node has between itself and its peers. Without one it is a
// cluster of one and stays it.
type Network struct {
	Internal net.Listener // for Raft, forwarded calls and sockets; the node closes it
	Keys     Keys

	// Dial reaches an internal address. nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Gossip takes the place of UDP and TCP, for networks in memory.
	Gossip memberlist.Transport
}

// Keys are what nodes prove to each other with. The zero value proves nothing
// and encrypts nothing.
type Keys struct {
	Link   *transport.LinkKey
	Gossip []byte
}

// maxClusterKeyBytes bounds what is read of a file that should hold a key.
const maxClusterKeyBytes = 64 << 10

// loadKeys reads the files that the configuration names.
func loadKeys(c Config) (keys Keys, err error) {
	if c.ClusterKeyFile != "" {
		secret, err := readSecret(c.ClusterKeyFile)
		if err != nil {
			return Keys{}, fmt.Errorf("--cluster-key-file: %w", err)
		}
		if keys.Gossip, err = transport.GossipKey(secret); err != nil {
			return Keys{}, fmt.Errorf("--cluster-key-file: %w", err)
		}
		if keys.Link, err = transport.NewLinkKey(secret); err != nil {
			return Keys{}, fmt.Errorf("--cluster-key-file: %w", err)
		}
	}
	if c.InternalCert != "" {
		files := transport.LinkFiles{Certificate: c.InternalCert, Key: c.InternalKey, Authorities: c.InternalCA, Host: c.InternalHost}
		if keys.Link, err = transport.LoadLinkKey(files); err != nil {
			return Keys{}, fmt.Errorf("--internal-cert, --internal-key, --internal-ca, --internal-host: %w", err)
		}
	}
	return keys, nil
}

func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	secret, err := io.ReadAll(io.LimitReader(f, maxClusterKeyBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(secret) > maxClusterKeyBytes {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxClusterKeyBytes)
	}
	return secret, nil
}

// clusterNetwork says in cluster's words how the node reaches its peers. link
// must be serving when cluster.Open is called.
func (n *Network) clusterNetwork(cfg Config, link *transport.Link) (*cluster.Network, error) {
	internal, gossip := n.Internal.Addr().String(), ""
	if tcp, ok := n.Internal.Addr().(*net.TCPAddr); ok {
		var err error
		if gossip, err = advertisedHost(cfg.Advertise, tcp); err != nil {
			return nil, err
		}
		internal = net.JoinHostPort(gossip, strconv.Itoa(tcp.Port))
	}
	return &cluster.Network{
		Join:            cfg.Join,
		BootstrapExpect: cfg.BootstrapExpect,
		Zone:            cfg.Zone,
		GracePeriod:     cfg.GracePeriod,
		Internal:        internal,
		GossipBind:      cfg.Gossip,
		GossipAdvertise: gossip,
		GossipKey:       n.Keys.Gossip,
		GossipTransport: n.Gossip,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return link.Dial(ctx, address, transport.LinkRaft)
		},
		Handle: func(take func(net.Conn)) { link.Handle(transport.LinkRaft, take) },
	}, nil
}

// advertisedHost gives the host at which peers reach this node: what the
// operator says, else the listener's, else the machine's first private one.
func advertisedHost(advertise string, listening *net.TCPAddr) (string, error) {
	switch {
	case advertise != "":
		return advertise, nil
	case !listening.IP.IsUnspecified():
		return listening.IP.String(), nil
	}
	private, err := sockaddr.GetPrivateIP()
	if err != nil {
		return "", fmt.Errorf("--advertise is not set, and the machine's addresses cannot be read: %w", err)
	}
	if private == "" {
		return "", errors.New("--advertise is not set, --internal listens on all addresses, and none of the machine's is private: say with --advertise which one other nodes can reach")
	}
	return private, nil
}
