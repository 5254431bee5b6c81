package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
	"github.com/holdfast-dev/holdfast/transport"
)

// Bounds of what a flag may say.
const (
	maxNodeNameBytes = 64       // as cluster has it
	minMemoryBytes   = 16 << 20 // below this nothing useful fits
)

// Config is what flags and environment say. The zero value is of no use: start
// from defaultConfig.
type Config struct {
	HTTP  string // where clients are served
	Admin string // where operators are served: health, metrics, operations, profiles
	Name  string // of the node; "" = the one that the data directory records, else the host's
	Data  string // directory; created if it is missing

	Shards int // of the cluster, when this node creates it; ignored afterwards

	IdleTimeout     time.Duration // after which an idle object leaves memory
	IdempotencyTTL  time.Duration // for which the answers to calls with an Idempotency-Key are kept
	MaxObjects      int           // in memory at a time
	MaxMemoryBytes  int64         // that the runtime holds for objects: cached values, queued events, unsent output
	MaxBodyBytes    int64         // of a request
	MaxMessageBytes int           // of a message from a socket
	Origins         []string      // of browsers' pages, besides the node's own, that may open sockets
	StopTimeout     time.Duration // for calls under way at a graceful stop
	CloseSpread     time.Duration // over which a graceful stop closes the clients' sockets

	LogLevel  string // debug, info, warn or error
	LogFormat string // text or json

	Internal  string // where other nodes are served: Raft, forwarded calls and sockets
	Gossip    string // where membership is gossiped, UDP and TCP
	Advertise string // host or IP at which other nodes reach both; "" = as bound, else the first private one

	Join            []string // addresses or DNS names of other nodes' gossip
	BootstrapExpect int      // nodes that form the cluster together; 0 = this one joins a cluster or is alone
	Zone            string   // what may fail at once with this node
	GracePeriod     time.Duration

	AdminTokenFile string // "": operations and profiles are for loopback only

	// What nodes prove to each other with. With none of them the node is alone and
	// listens to no other.
	ClusterKeyFile   string
	InternalCert     string
	InternalKey      string
	InternalCA       string
	InternalHost     string // name in every node's certificate
	InsecureInternal bool   // neither encryption nor proof
}

func defaultConfig() Config {
	return Config{
		HTTP:            "127.0.0.1:8080",
		Admin:           "127.0.0.1:8081",
		Data:            "./holdfast-data",
		Shards:          placement.DefaultShards,
		IdleTimeout:     time.Minute,
		IdempotencyTTL:  actor.DefaultKeyTTL,
		MaxObjects:      100_000,
		MaxMemoryBytes:  1 << 30,
		MaxBodyBytes:    1 << 30,
		MaxMessageBytes: 8 << 20,
		StopTimeout:     20 * time.Second,
		CloseSpread:     time.Second,
		LogLevel:        "info",
		LogFormat:       "text",
		Internal:        "127.0.0.1:7000",
		Gossip:          "127.0.0.1:7946",
		GracePeriod:     cluster.DefaultGracePeriod,
	}
}

// Validate reports every mistake at once, each with the flag that it is in.
func (c Config) Validate() error {
	errs := []error{
		validateAddress("http", c.HTTP),
		validateAddress("admin", c.Admin),
		validateAddress("internal", c.Internal),
		validateAddress("gossip", c.Gossip),
		validateName(c.Name),
		validateRange("idle-timeout", c.IdleTimeout, 100*time.Millisecond, 24*time.Hour),
		validateRange("idempotency-ttl", c.IdempotencyTTL, time.Minute, 7*24*time.Hour),
		validateRange("stop-timeout", c.StopTimeout, 0, time.Hour),
		validateRange("close-spread", c.CloseSpread, 0, 5*time.Minute),
		validateRange("max-objects", c.MaxObjects, 1, 100_000_000),
		validateRange("max-memory-bytes", c.MaxMemoryBytes, minMemoryBytes, 1<<50),
		validateRange("max-body-bytes", c.MaxBodyBytes, 1, 1<<50),
		validateRange("max-message-bytes", c.MaxMessageBytes, 1, transport.MaxMessageBytes),
		c.validateClustering(),
	}
	if c.HTTP == c.Admin && !strings.HasSuffix(c.HTTP, ":0") {
		errs = append(errs, fmt.Errorf("--http and --admin are both %q: they need an address each", c.HTTP))
	}
	if c.Data == "" {
		errs = append(errs, errors.New("--data is empty: want a directory"))
	}
	if err := placement.ValidateShards(c.Shards); err != nil {
		errs = append(errs, fmt.Errorf("--shards: %w", err))
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		errs = append(errs, err)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		errs = append(errs, fmt.Errorf("--log-format is %q: want text or json", c.LogFormat))
	}
	server, gateway := c.server(), c.gateway()
	errs = append(errs, server.Validate(), gateway.Validate())
	return errors.Join(errs...)
}

// clustered says whether the node has others, or may get some.
func (c Config) clustered() bool {
	return c.ClusterKeyFile != "" || c.InternalCert != "" || c.InsecureInternal
}

func (c Config) validateClustering() error {
	errs := []error{
		validateRange("bootstrap-expect", c.BootstrapExpect, 0, 255),
		validateRange("grace-period", c.GracePeriod, time.Second, 30*24*time.Hour),
	}
	if !c.clustered() && (len(c.Join) > 0 || c.BootstrapExpect > 1) {
		errs = append(errs, errors.New("--join and --bootstrap-expect need what nodes trust each other by: --cluster-key-file (make one with: head -c 32 /dev/urandom | base64 > cluster.key) or --internal-cert; or, on a network where nobody else is, --insecure-internal"))
	}
	given := func(s string) bool { return s != "" }
	if parts := []string{c.InternalCert, c.InternalKey, c.InternalCA, c.InternalHost}; slices.ContainsFunc(parts, given) && slices.Contains(parts, "") {
		errs = append(errs, errors.New("--internal-cert, --internal-key, --internal-ca and --internal-host belong together"))
	}
	if c.InsecureInternal && (c.ClusterKeyFile != "" || c.InternalCert != "") {
		errs = append(errs, errors.New("--insecure-internal contradicts --cluster-key-file and --internal-cert"))
	}
	return errors.Join(errs...)
}

func validateAddress(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("--%s is %q: want HOST:PORT: %w", flag, address, err)
	}
	return nil
}

func validateRange[T int | int64 | time.Duration](flag string, value, least, most T) error {
	if value < least || value > most {
		return fmt.Errorf("--%s is %v: want %v to %v", flag, value, least, most)
	}
	return nil
}

// validateName keeps names printable and free of the characters that separate
// the parts of a replica ID.
func validateName(name string) error {
	if name == "" {
		return nil
	}
	if len(name) > maxNodeNameBytes || strings.Trim(name, nameCharacters) != "" || strings.ContainsAny(name[:1], ".-_") {
		return fmt.Errorf("--name is %q: want 1 to %d letters, digits, '.', '-' or '_', beginning with a letter or digit", name, maxNodeNameBytes)
	}
	return nil
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

// hostNodeName makes a node's name of the host's.
func hostNodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(nameCharacters, r) {
			return r
		}
		return '-'
	}, host)
	name = strings.TrimLeft(name, ".-_")
	if len(name) > maxNodeNameBytes {
		name = name[:maxNodeNameBytes]
	}
	if name == "" {
		return "node"
	}
	return name
}

func parseLevel(text string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("--log-level is %q: want debug, info, warn or error", text)
	}
	return level, nil
}

// server gives the part of the configuration that bounds clients' requests.
func (c Config) server() transport.ServerConfig {
	return transport.ServerConfig{BodyBytes: c.MaxBodyBytes}
}

// gateway gives the part that bounds clients' sockets.
func (c Config) gateway() transport.GatewayConfig {
	return transport.GatewayConfig{
		MessageBytes: c.MaxMessageBytes, Origins: c.Origins, CloseWait: closeWait,
		CloseSpread: max(c.CloseSpread, 1), // 0 would be the default, and is to be at once
	}
}
