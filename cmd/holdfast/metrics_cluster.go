package main

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// clusterEvents turns what the shards tell into metrics.
func clusterEvents(f promauto.Factory) cluster.Events {
	elections := f.NewCounter(prometheus.CounterOpts{Name: "leaderships_won_total", Help: "Elections that this node won."})
	entryBytes := f.NewHistogram(prometheus.HistogramOpts{Name: "log_entry_bytes", Help: "Bytes of batches that share a log entry.", Buckets: sizeBuckets()})
	entryBatches := f.NewHistogram(prometheus.HistogramOpts{Name: "log_entry_batches", Help: "Batches that share a log entry.", Buckets: batchBuckets()})
	answered := f.NewHistogramVec(prometheus.HistogramOpts{Name: "propose_seconds", Help: "From proposing an entry to its outcome.", Buckets: latencyBuckets()}, []string{"outcome"})
	stored := f.NewHistogram(prometheus.HistogramOpts{Name: "log_sync_seconds", Help: "Durable writes of the log: one sync and what it waited for.", Buckets: latencyBuckets()})
	storedBytes := f.NewCounter(prometheus.CounterOpts{Name: "log_written_bytes_total", Help: "Bytes of entries written to the log."})
	snapshots := f.NewCounterVec(prometheus.CounterOpts{Name: "snapshots_total", Help: "Times that a shard's state was made durable and its log cut."}, []string{"result"})
	stopped := f.NewCounter(prometheus.CounterOpts{Name: "replicas_stopped_total", Help: "Replicas that met something they must not skip. More than 0 needs an operator."})
	full := f.NewGauge(prometheus.GaugeOpts{Name: "storage_full", Help: "1 while writes are refused for want of disk space."})

	return cluster.Events{
		LeadershipChanged: func(_ placement.ShardID, leader bool) {
			if leader {
				elections.Inc()
			}
		},
		Answered: func(_ placement.ShardID, batches, bytes int, latency time.Duration, err error) {
			entryBatches.Observe(float64(batches))
			entryBytes.Observe(float64(bytes))
			answered.WithLabelValues(proposalOutcome(err)).Observe(latency.Seconds())
		},
		LogStored: func(_, bytes int, latency time.Duration) {
			stored.Observe(latency.Seconds())
			storedBytes.Add(float64(bytes))
		},
		SnapshotTaken: func(_ placement.ShardID, _ uint64, _ time.Duration, err error) {
			snapshots.WithLabelValues(result(err)).Inc()
		},
		ReplicaStopped: func(placement.ShardID, error) { stopped.Inc() },
		StorageFull: func(isFull bool, _ uint64) {
			if isFull {
				full.Set(1)
			} else {
				full.Set(0)
			}
		},
	}
}

// batchBuckets reach from 1 to 512 batches an entry.
func batchBuckets() []float64 {
	const count = 10
	return prometheus.ExponentialBuckets(1, 2, count)
}

func proposalOutcome(err error) string {
	switch {
	case err == nil:
		return "committed"
	case errors.Is(err, cluster.ErrRefused):
		return "refused"
	default:
		return "unknown"
	}
}
