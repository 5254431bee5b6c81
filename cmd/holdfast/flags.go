package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const serveHelp = `Holdfast serves durable objects: small stateful servers with a name, of which
one at most acts at any moment, and whose every acknowledged write survives.

An object is reached by its class and name; it comes to life with its first call:

  holdfast &
  curl -X POST http://127.0.0.1:8080/objects/Counter/clicks/increment

The node listens on loopback only, because it asks nobody who they are. Give it
another address when something in front of it does, or on a network you trust.

Each flag can be set by an environment variable: --max-body-bytes is
HOLDFAST_MAX_BODY_BYTES. The command line wins.

SIGTERM or SIGINT stops the node gracefully; a second one ends it at once.`

const serveExamples = `  holdfast                                     # a node of its own, data in ./holdfast-data
  holdfast --data /var/lib/holdfast --http 0.0.0.0:8080
  holdfast --cluster-key-file key --internal 0.0.0.0:7000 --gossip 0.0.0.0:7946 --join holdfast.example.com --bootstrap-expect 3
  HOLDFAST_LOG_FORMAT=json holdfast serve`

// newServeCommand makes the command that runs a node until its context ends.
func newServeCommand(s surroundings) *cobra.Command {
	cfg := defaultConfig()
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run a node (what holdfast does without a command)",
		Long:    serveHelp,
		Example: serveExamples,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := setFromEnvironment(cmd.Flags(), s.lookupEnv); err != nil {
				return &usageError{err}
			}
			if err := cfg.Validate(); err != nil {
				return &usageError{err}
			}
			return serve(cmd.Context(), cfg, s)
		},
	}
	addFlags(cmd.Flags(), &cfg)
	return cmd
}

func addFlags(flags *pflag.FlagSet, cfg *Config) {
	flags.SortFlags = false
	flags.StringVar(&cfg.HTTP, "http", cfg.HTTP, "address for clients: HTTP and WebSockets")
	flags.StringVar(&cfg.Admin, "admin", cfg.Admin, "address for operators: health, metrics, and what 'holdfast status' and its like ask")
	flags.StringVar(&cfg.AdminTokenFile, "admin-token-file", cfg.AdminTokenFile, "file with a secret of at least 16 bytes that operators have to give, but for health and metrics; without it only loopback is served")
	flags.StringVar(&cfg.Name, "name", cfg.Name, "name of this node; default: as the data directory records it, else the host name")
	flags.StringVar(&cfg.Data, "data", cfg.Data, "directory of all that the node keeps; made if missing, used by one process at a time")
	flags.IntVar(&cfg.Shards, "shards", cfg.Shards, "slices of the object space, a power of two; fixed when the data directory is first used")

	flags.DurationVar(&cfg.IdleTimeout, "idle-timeout", cfg.IdleTimeout, "an object without events for that long leaves memory; its state stays")
	flags.DurationVar(&cfg.IdempotencyTTL, "idempotency-ttl", cfg.IdempotencyTTL, "how long the answer to a call with an Idempotency-Key is kept, so that a retry gets it instead of running again")
	flags.IntVar(&cfg.MaxObjects, "max-objects", cfg.MaxObjects, "objects in memory at a time; beyond it the idle ones go, then calls get 503")
	flags.Int64Var(&cfg.MaxMemoryBytes, "max-memory-bytes", cfg.MaxMemoryBytes, "memory for objects' cached state, queued events and unsent output; at the bound as above")
	flags.Int64Var(&cfg.MaxBodyBytes, "max-body-bytes", cfg.MaxBodyBytes, "largest body of a request; larger ones get 413")
	flags.IntVar(&cfg.MaxMessageBytes, "max-message-bytes", cfg.MaxMessageBytes, "largest message that a socket may send; a larger one closes it with 1009")
	flags.StringSliceVar(&cfg.Origins, "origin", cfg.Origins, "origin of web pages, besides this node's own, that may open sockets, as https://example.com; * = all")
	flags.DurationVar(&cfg.StopTimeout, "stop-timeout", cfg.StopTimeout, "how long a graceful stop may wait for calls that are running")
	flags.DurationVar(&cfg.CloseSpread, "close-spread", cfg.CloseSpread, "time over which a graceful stop then closes the clients' sockets, so that they do not all come back at once")

	flags.StringVar(&cfg.LogLevel, "log-level", cfg.LogLevel, "debug, info, warn or error")
	flags.StringVar(&cfg.LogFormat, "log-format", cfg.LogFormat, "text or json")

	flags.StringSliceVar(&cfg.Join, "join", cfg.Join, "addresses or DNS names of other nodes' gossip; tried for ever; a node that has them never forms a cluster alone")
	flags.IntVar(&cfg.BootstrapExpect, "bootstrap-expect", cfg.BootstrapExpect, "nodes that form a new cluster together; of no effect once the data directory belongs to a cluster")
	flags.StringVar(&cfg.Internal, "internal", cfg.Internal, "address for other nodes: replication, forwarded calls and sockets")
	flags.StringVar(&cfg.Gossip, "gossip", cfg.Gossip, "address for membership, UDP and TCP")
	flags.StringVar(&cfg.Advertise, "advertise", cfg.Advertise, "host or IP at which other nodes reach --internal and --gossip; default: as they listen, else the first private address")
	flags.StringVar(&cfg.Zone, "zone", cfg.Zone, "what may fail at once with this node; replicas are spread over zones")
	flags.DurationVar(&cfg.GracePeriod, "grace-period", cfg.GracePeriod, "how long a node must be gone until others take its replicas")

	flags.StringVar(&cfg.ClusterKeyFile, "cluster-key-file", cfg.ClusterKeyFile, "file with a secret of at least 32 bytes, the same on all nodes: they trust each other by it and encrypt with it")
	flags.StringVar(&cfg.InternalCert, "internal-cert", cfg.InternalCert, "certificate (PEM) for other nodes, in place of one derived from the cluster key; followed when the files change; gossip is encrypted by the cluster key only")
	flags.StringVar(&cfg.InternalKey, "internal-key", cfg.InternalKey, "private key (PEM) of --internal-cert")
	flags.StringVar(&cfg.InternalCA, "internal-ca", cfg.InternalCA, "authorities (PEM) of all nodes' certificates")
	flags.StringVar(&cfg.InternalHost, "internal-host", cfg.InternalHost, "host name in every node's certificate")
	flags.BoolVar(&cfg.InsecureInternal, "insecure-internal", cfg.InsecureInternal, "let nodes talk without encryption, and trust whoever comes")
}

// setFromEnvironment sets each flag that the command line left alone from its
// variable, and reports every value that does not fit.
func setFromEnvironment(flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" {
			return
		}
		name := environmentName(f.Name)
		value, ok := lookupEnv(name)
		if !ok {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

func environmentName(flag string) string {
	return "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
