package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"
)

// serve runs a node on this machine's network and disk until ctx ends or the
// node fails, and stops it gracefully.
func serve(ctx context.Context, cfg Config, s surroundings) error {
	log, err := newLogger(s.stderr, cfg)
	if err != nil {
		return err
	}
	// Listening first finds a taken port before anything is written.
	parts, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	parts.Log, parts.MemoryLimit = log, memoryLimit()
	parts.Fatal = func(err error) {
		log.Error("the node ends at once", "error", err)
		s.die()
	}
	started := time.Now()
	node, err := StartNode(ctx, cfg, parts)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before the node was up")
		}
		return err
	}
	log.Info("node is up", "name", node.Name(), "cluster", node.ClusterID(), "took", time.Since(started).Round(time.Millisecond))
	warnOfOpenDoors(log, "http", parts.Clients)
	if parts.AdminToken == "" {
		warnOfOpenDoors(log, "admin", parts.Operators)
	}
	if cfg.InsecureInternal {
		log.Warn("nodes talk without encryption, and trust whoever comes", "flag", "insecure-internal")
	}
	if err := greet(s, cfg, node, parts.Clients.Addr(), parts.Operators.Addr()); err != nil {
		log.Warn("nobody reads what the node says of itself", "error", err)
	}

	select {
	case <-ctx.Done():
		log.Info("stopping; a second signal ends the node at once")
	case err = <-node.Failed():
		err = fmt.Errorf("the node stopped serving: %w", err)
	}
	return errors.Join(err, node.Close(context.WithoutCancel(ctx)))
}

// listen opens all that the node listens on, and reads its keys. After an error
// nothing is left open.
func listen(ctx context.Context, cfg Config) (parts Parts, err error) {
	var open []net.Listener
	defer func() {
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	listen := func(flag, address string) (net.Listener, error) {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		open = append(open, l)
		return l, nil
	}
	if parts.AdminToken, err = loadAdminToken(cfg.AdminTokenFile); err != nil {
		return Parts{}, err
	}
	if parts.Clients, err = listen("http", cfg.HTTP); err != nil {
		return Parts{}, err
	}
	if parts.Operators, err = listen("admin", cfg.Admin); err != nil {
		return Parts{}, err
	}
	if !cfg.clustered() {
		return parts, nil
	}
	parts.Network = &Network{}
	if parts.Network.Keys, err = loadKeys(cfg); err != nil {
		return Parts{}, err
	}
	if parts.Network.Internal, err = listen("internal", cfg.Internal); err != nil {
		return Parts{}, err
	}
	return parts, nil
}

// greet tells whoever started the node where it is and what to try.
func greet(s surroundings, cfg Config, node *Node, clients, operators net.Addr) error {
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		data = cfg.Data
	}
	_, err = fmt.Fprintf(s.stdout, `Holdfast node %s is up. Stop it with Ctrl-C.
  operators  http://%[3]s
  clients    http://%[2]s
  data       %[4]s
  try        curl -X POST http://%[2]s/objects/Counter/clicks/increment
`, node.Name(), reachable(clients), reachable(operators), data)
	return err
}

// reachable replaces an address that means all of this machine's by one that a
// client on this machine can dial.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	local := *tcp
	local.IP = net.IPv4(127, 0, 0, 1)
	return local.String()
}

// warnOfOpenDoors says so when more than this machine can reach a listener.
func warnOfOpenDoors(log *slog.Logger, flag string, l net.Listener) {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("reachable from other machines, and nobody is asked who they are", "flag", flag, "address", tcp.String())
	}
}
