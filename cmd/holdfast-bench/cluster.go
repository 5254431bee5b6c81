package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// formTimeout bounds the time until every node has its replicas and its share
// of the shards.
const formTimeout = 2 * time.Minute

// Metrics of a node that tell where the shards are.
const (
	metricOwned   = "holdfast_shards_owned"
	metricWritten = "holdfast_log_written_bytes_total"
)

// nodes is a cluster of nodes in processes of their own.
type nodes []*process

// startNodes forms a cluster of members nodes with new data directories below
// dir and returns when the shards are where they belong.
func startNodes(ctx context.Context, o options, dir string, shards int) (nodes, error) {
	key := filepath.Join(dir, "cluster-key")
	if err := os.WriteFile(key, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		return nil, fmt.Errorf("cluster key: %w", err)
	}
	addresses, err := freeAddresses(ctx, 2*members)
	if err != nil {
		return nil, err
	}
	internal, gossip := addresses[:members], addresses[members:]
	var (
		group   sync.WaitGroup
		started [members]*process
		errs    [members]error
	)
	for i := range members {
		group.Go(func() { // a node is up only when it has met the others
			started[i], errs[i] = startHoldfast(ctx, o, dir,
				"--name", "n"+strconv.Itoa(i+1), "--shards", strconv.Itoa(shards),
				"--internal", internal[i], "--gossip", gossip[i], "--join", strings.Join(gossip, ","),
				"--bootstrap-expect", strconv.Itoa(members), "--cluster-key-file", key)
		})
	}
	group.Wait()
	var up nodes
	for _, p := range started {
		if p != nil {
			up = append(up, p)
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, up.stop())
	}
	if err := up.waitAtRest(ctx, shards, o.rest); err != nil {
		return nil, errors.Join(err, up.stop())
	}
	return up, nil
}

// waitAtRest returns when every shard has an owner, every node owns some, and
// for a while no shard changed hands and nothing was written to any log.
func (n nodes) waitAtRest(ctx context.Context, shards int, rest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, formTimeout)
	defer cancel()
	var last string
	var since time.Time
	ticker := time.NewTicker(scrapePause)
	defer ticker.Stop()
	for {
		owned, picture, shared := 0, "", true
		for _, node := range n {
			metrics, err := node.scrape(ctx)
			if err != nil {
				return err
			}
			owned += int(metrics[metricOwned])
			shared = shared && metrics[metricOwned] > 0
			picture += fmt.Sprintf("%v shards, %v bytes; ", metrics[metricOwned], metrics[metricWritten])
		}
		if picture != last {
			last, since = picture, time.Now()
		}
		if owned == shards && shared && time.Since(since) > rest {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not come to rest: %s%w", last, context.Cause(ctx))
		}
	}
}

func (n nodes) pids() []int {
	var pids []int
	for _, node := range n {
		pids = append(pids, node.cmd.Process.Pid)
	}
	return pids
}

func (n nodes) addresses() []string {
	var addresses []string
	for _, node := range n {
		addresses = append(addresses, node.clients)
	}
	return addresses
}

// written gives the bytes of entries that each node's log has taken.
func (n nodes) written(ctx context.Context) ([]float64, error) {
	var bytes []float64
	for _, node := range n {
		metrics, err := node.scrape(ctx)
		if err != nil {
			return nil, err
		}
		bytes = append(bytes, metrics[metricWritten])
	}
	return bytes, nil
}

// checkReplicated makes sure that what was measured was replication: since
// before, each node's log has taken about the same number of bytes.
func (n nodes) checkReplicated(ctx context.Context, before []float64) error {
	after, err := n.written(ctx)
	if err != nil {
		return err
	}
	taken := make([]float64, len(after))
	for i := range after {
		taken[i] = after[i] - before[i]
	}
	if least, most := slices.Min(taken), slices.Max(taken); least <= 0 || least < 0.9*most {
		return fmt.Errorf("the logs of the nodes took %.0f bytes: not every write was replicated", taken)
	}
	return nil
}

// stop ends the nodes at once: nobody needs their data any more.
func (n nodes) stop() error {
	var errs []error
	for _, node := range n {
		errs = append(errs, node.kill())
	}
	return errors.Join(errs...)
}
