package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
)

// Pauses between rounds of joining: doubled after each that reached nobody.
// While somebody else is known, the seeds are still asked from time to time, so
// that two halves of a cluster that lost sight of each other meet again.
const (
	joinFirstPause = 200 * time.Millisecond
	joinMaxPause   = 10 * time.Second
	rejoinPause    = 30 * time.Second
	resolveTimeout = 5 * time.Second
)

// resolver is what seeds need of net.Resolver.
type resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// seeds are where a node looks for others: addresses, or DNS names that may
// have no answer yet.
type seeds struct {
	targets  []string // host:port, host, or a DNS name with SRV records
	port     int      // where the target has none
	resolver resolver
	quiet    bool // nobody has asked for them: that they do not answer is no news
	log      *slog.Logger
}

// keepJoining tries the seeds until ctx ends: at once, with growing pauses while
// nobody answers, and rarely while others are known.
func (s *seeds) keepJoining(ctx context.Context, m *members) {
	pause := joinFirstPause
	for {
		reached, err := s.round(ctx, m)
		switch {
		case ctx.Err() != nil:
			return
		case reached > 0:
			pause = joinFirstPause
		case pause == joinMaxPause && !s.quiet:
			s.log.Warn("no other node answers yet", "join", strings.Join(s.targets, ","), "error", err)
		default:
			s.log.Debug("no other node answers yet", "join", strings.Join(s.targets, ","), "error", err)
		}
		wait := pause + rand.N(pause/2) //nolint:gosec // jitter needs no secret
		if reached > 0 {
			wait = slower(rejoinPause, m.cfg.pace)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			pause = min(2*pause, joinMaxPause)
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// round resolves all targets and joins whoever is there, this node itself left out.
func (s *seeds) round(ctx context.Context, m *members) (reached int, err error) {
	var addresses []string
	for _, target := range s.targets {
		found, failure := s.resolve(ctx, target)
		if failure != nil {
			err = failure
		}
		for _, address := range found {
			if address != m.self {
				addresses = append(addresses, address)
			}
		}
	}
	if len(addresses) == 0 {
		return 0, err
	}
	return m.join(addresses)
}

// resolve gives all addresses of a target: of each A and AAAA record, and where
// the target has no port and SRV records, of those.
func (s *seeds) resolve(ctx context.Context, target string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	host, port, err := splitPort(target)
	if err == nil {
		return s.lookup(ctx, host, port)
	}
	host, port = strings.Trim(target, "[]"), s.port
	if _, records, err := s.resolver.LookupSRV(ctx, "", "", host); err == nil && len(records) > 0 {
		var all []string
		for _, r := range records {
			found, failure := s.lookup(ctx, strings.TrimSuffix(r.Target, "."), int(r.Port))
			if failure != nil {
				err = failure
			}
			all = append(all, found...)
		}
		return all, err
	}
	return s.lookup(ctx, host, port)
}

func (s *seeds) lookup(ctx context.Context, host string, port int) ([]string, error) {
	if net.ParseIP(host) != nil {
		return []string{net.JoinHostPort(host, strconv.Itoa(port))}, nil
	}
	found, err := s.resolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("cluster: resolve %s: %w", host, err)
	}
	for i := range found {
		found[i] = net.JoinHostPort(found[i], strconv.Itoa(port))
	}
	return found, nil
}
