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
	sockets  int           // of the fan-out
	objects  int           // of the memory measurement
}

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
	if len(args) == 1 {
		switch args[0] {
		case roleEmpty:
			return serveEmpty(ctx, out)
		case roleFanOut:
			return serveFanOut(ctx, out)
		}
	}
	var o options
	flags := flag.NewFlagSet("holdfast-bench", flag.ContinueOnError)
	flags.StringVar(&o.holdfast, "holdfast", "", "the binary to measure; built from this module if empty")
	flags.StringVar(&o.dir, "dir", ".", "where the data lies: the disk that is measured")
	flags.IntVar(&o.rounds, "rounds", 5, "turns of each comparison; the median counts")
	flags.DurationVar(&o.slice, "slice", 2*time.Second, "length of one turn")
	flags.IntVar(&o.clients, "clients", 64, "connections of the throughput comparison")
	flags.IntVar(&o.sockets, "sockets", 2000, "sockets of the fan-out and of the memory measurement")
	flags.IntVar(&o.objects, "objects", 20_000, "objects of the memory measurement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return measure(ctx, o, out)
}

func measure(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.holdfast == "" {
		o.holdfast = filepath.Join(dir, "holdfast")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.holdfast, "github.com/holdfast-dev/holdfast/cmd/holdfast")
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, output)
		}
	}
	var t table
	for _, part := range []func(context.Context, options, string, *table) error{
		measureThroughput, measureLatency, measureFanOut, measureMemory,
	} {
		if err := part(ctx, o, dir, &t); err != nil {
			return err
		}
	}
	return t.write(out)
}
