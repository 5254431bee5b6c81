package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// processCluster is several real processes that form a cluster on loopback
// addresses of their own.
type processCluster struct {
	nodes []*process
	args  [][]string // of each node, to start it again
	seeds string     // where nodes look for others
}

// startProcesses runs the binary n times and waits until all have formed a cluster.
func startProcesses(t *testing.T, n int, flags ...string) *processCluster {
	t.Helper()
	c := prepareProcesses(t, n, flags...)
	for i := range c.args {
		if i == 0 {
			c.args[i] = append(c.args[i], "--join", c.seeds)
		}
		c.args[i] = append(c.args[i], "--bootstrap-expect", fmt.Sprint(n))
	}
	var starting sync.WaitGroup
	for i := range n {
		starting.Go(func() { c.start(t, i) })
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return c
}

// prepareProcesses makes n nodes to be started: the first forms a cluster of one,
// which the others join. Each has an address of its own in 127/8, chosen at
// random, so that ports which the others must know beforehand are free.
func prepareProcesses(t *testing.T, n int, flags ...string) *processCluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "cluster.key")
	if err := os.WriteFile(key, bytes.Repeat([]byte("k"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	net := fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), rand.IntN(255))
	host := func(i int) string { return fmt.Sprintf("%s.%d", net, i+1) }
	c := &processCluster{nodes: make([]*process, n), seeds: host(0) + "," + host(n/2) + "," + host(n-1)}
	for i := range n {
		args := append([]string{
			"--name", fmt.Sprintf("node-%d", i+1), "--data", filepath.Join(dir, fmt.Sprint(i+1)),
			"--http", host(i) + ":8080", "--admin", host(i) + ":8081", "--internal", host(i) + ":7000", "--gossip", host(i) + ":7946",
			"--cluster-key-file", key,
		}, flags...)
		if i > 0 {
			args = append(args, "--join", c.seeds)
		}
		c.args = append(c.args, args)
	}
	return c
}

// start starts a node, also again after it has ended.
func (c *processCluster) start(t *testing.T, i int) {
	t.Helper()
	p, err := tryProcess(t, c.args[i]...)
	if err != nil {
		t.Errorf("start node %d: %v", i+1, err)
		return
	}
	c.nodes[i] = p
}

// url gives the base URL for clients of a node, whether it runs or not.
func (c *processCluster) url(i int) string {
	return "http://" + c.args[i][slices.Index(c.args[i], "--http")+1]
}

// words gives what the nodes but one have logged.
func (c *processCluster) words(except int) string {
	var words strings.Builder
	for i, p := range c.nodes {
		if i != except && p != nil {
			fmt.Fprintf(&words, "node %d:\n%s\n", i+1, p.stderr)
		}
	}
	return words.String()
}

// addresses puts the nodes' addresses in place of those of `make cluster`.
func (c *processCluster) addresses() *strings.Replacer {
	var pairs []string
	for i, p := range c.nodes {
		pairs = append(pairs, fmt.Sprintf("http://127.0.0.1:%d", 8080+100*i), p.clients, fmt.Sprintf("http://127.0.0.1:%d", 8081+100*i), p.operators)
	}
	return strings.NewReplacer(pairs...)
}
