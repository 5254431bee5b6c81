package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are what a run can be told.
type options struct {
	holdfast string        // path of the binary; "" = build it
	dir      string        // below which the data lies: the disk that is measured
	rounds   int           // turns of each comparison; the median counts
	slice    time.Duration // of one turn
	clients  int           // connections of the throughput comparison

	sockets int // of the fan-out
	objects int // of the memory measurement

	shards    int    // of the cluster that is compared with etcd
	etcd      string // path of etcd's server
	etcdTool  string // path of etcd's load generator; "" = build it
	etcdConns int    // gRPC connections that its clients share

	idle time.Duration // over which idle CPU is counted
	rest time.Duration // a cluster in which nothing moved for that long is at rest
}

// restTime is longer than any pause between two moves of a cluster that forms.
const restTime = 5 * time.Second

// part measures one thing below a directory of its own and adds rows to the table.
type part func(ctx context.Context, o options, dir string, t *table) error

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "holdfast-bench: %v\n", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	var o options
	flags := flag.NewFlagSet("holdfast-bench", flag.ContinueOnError)
	flags.StringVar(&o.holdfast, "holdfast", "", "the binary to measure; built from this module if empty")
	flags.StringVar(&o.dir, "dir", ".", "where the data lies: the disk that is measured")
	flags.IntVar(&o.rounds, "rounds", 5, "turns of each comparison; the median counts")
	flags.DurationVar(&o.slice, "slice", 2*time.Second, "length of one turn")
	clients := 64
	if name == "cluster" {
		clients = 256
	}
	flags.IntVar(&o.clients, "clients", clients, "connections of the throughput comparison")
	o.rest = restTime
	var parts []part
	switch name {
	case roleEmpty:
		return serveEmpty(ctx, out)
	case roleFanOut:
		return serveFanOut(ctx, out)
	case "":
		flags.IntVar(&o.sockets, "sockets", 2000, "sockets of the fan-out and of the memory measurement")
		flags.IntVar(&o.objects, "objects", 20_000, "objects of the memory measurement")
		parts = []part{measureThroughput, measureLatency, measureFanOut, measureMemory}
	case "cluster":
		flags.IntVar(&o.shards, "shards", 32, "of the cluster")
		flags.StringVar(&o.etcd, "etcd", "etcd", "etcd's server")
		flags.StringVar(&o.etcdTool, "etcd-tool", "", "etcd's load generator; built as "+etcdTool+" if empty")
		flags.IntVar(&o.etcdConns, "etcd-conns", 16, "gRPC connections that etcd's clients share")
		parts = []part{measureAgainst}
	case "idle":
		flags.DurationVar(&o.idle, "idle", 30*time.Second, "how long to count CPU time")
		parts = []part{measureIdle}
	default:
		return fmt.Errorf("%q is not what this measures: want nothing, cluster or idle", name)
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	return measure(ctx, o, parts, out)
}

func measure(ctx context.Context, o options, parts []part, out io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if o.holdfast == "" {
		if o.holdfast, err = buildHoldfast(ctx, dir); err != nil {
			return err
		}
	}
	t := table{other: "bare"}
	for _, p := range parts {
		if err = p(ctx, o, dir, &t); err != nil {
			break // what was measured before is worth showing
		}
	}
	return errors.Join(err, t.write(out))
}

func buildHoldfast(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "holdfast")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/holdfast-dev/holdfast/cmd/holdfast")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return binary, nil
}
