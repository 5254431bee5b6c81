package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// syncBytes is about what one increment appends to the log.
const syncBytes = 256

// measureLatency compares one increment at a time with one synced append at a
// time to a file on the same disk.
func measureLatency(ctx context.Context, o options, dir string, t *table) (err error) {
	node, err := startHoldfast(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.stop()) }()
	file, err := os.Create(filepath.Join(dir, "synced"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	increments := load{addresses: []string{node.clients}, clients: 1, path: func(int, int) string { return "/objects/Counter/latency/increment" }}
	if _, err := increments.run(ctx, o.slice/4); err != nil { // warms up
		return err
	}
	var node50, disk50 []time.Duration
	var ratios []float64
	for range o.rounds {
		disk, err := appendSynced(ctx, file, o.slice)
		if err != nil {
			return err
		}
		result, err := increments.run(ctx, o.slice)
		if err != nil {
			return err
		}
		d, n := median(disk), median(result.latencies)
		disk50, node50 = append(disk50, d), append(node50, n)
		ratios = append(ratios, float64(n)/float64(d))
	}
	t.add(row{
		what:     "p50 of a durable increment, 1 connection; bare: one fdatasync",
		holdfast: median(node50).Round(time.Microsecond).String(),
		other:    median(disk50).Round(time.Microsecond).String(),
		ratio:    fmt.Sprintf("%.2f", median(ratios)),
		aim:      "<= 2",
	})
	return nil
}

func appendSynced(ctx context.Context, file *os.File, length time.Duration) ([]time.Duration, error) {
	data := make([]byte, syncBytes)
	var latencies []time.Duration
	for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; {
		begin := time.Now()
		if _, err := file.Write(data); err != nil {
			return nil, err
		}
		if err := syncData(file); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(begin))
	}
	return latencies, ctx.Err()
}
