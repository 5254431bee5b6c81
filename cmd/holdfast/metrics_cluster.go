package main

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// clusterEvents turns what the shards tell into metrics.
func clusterEvents(m *meters) cluster.Events {
	e := cluster.Events{}
	m.ofOwnership(&e)
	m.ofLog(&e)
	m.ofSnapshots(&e)
	return e
}

func (m *meters) ofOwnership(e *cluster.Events) {
	won := m.counter("elections_won_total", "Elections of shards' groups that this node won.")
	lost := m.counter("leaderships_lost_total", "Leaderships of shards' groups that this node had no more, given away or not.")
	begun := m.counter("ownerships_begun_total", "Ownerships of shards that began on this node.")
	ended := m.counters("ownerships_ended_total", "Ownerships of shards that ended on this node, by cause.", "cause", words(cluster.OwnershipEnds()))
	steps := m.counters2("shard_steps_total", "Steps of shards on their way to where they belong, which this node had made as the control leader.", "step", stepNames(), "outcome", outcomes())

	e.LeadershipChanged = func(_ placement.ShardID, leader bool) {
		if leader {
			won.Inc()
		} else {
			lost.Inc()
		}
	}
	e.OwnershipChanged = func(_ placement.ShardID, ownership uint64) {
		if ownership != 0 {
			begun.Inc()
		}
	}
	e.OwnershipEnded = func(_ placement.ShardID, cause cluster.OwnershipEnd) { ended.of(cause.String()).Inc() }
	e.ShardStepped = func(_ placement.ShardID, step placement.StepKind, err error) {
		steps.of(step.String()).of(okOrError(err)).Inc()
	}
}

func (m *meters) ofLog(e *cluster.Events) {
	entryBytes := m.histogram("log_entry_bytes", "Bytes of batches that share a log entry.", sizeBuckets())
	entryBatches := m.histogram("log_entry_batches", "Batches that share a log entry.", batchBuckets())
	answered := m.histograms("proposal_duration_seconds", "From proposing an entry to its outcome.", latencyBuckets(), "outcome", commitOutcomes())
	stored := m.histogram("log_sync_duration_seconds", "Durable writes of the log: one sync and what it waited for.", latencyBuckets())
	storedBytes := m.counter("log_written_bytes_total", "Bytes of entries written to the log.")

	e.Answered = func(_ placement.ShardID, batches, bytes int, latency time.Duration, err error) {
		entryBatches.Observe(float64(batches))
		entryBytes.Observe(float64(bytes))
		answered.of(proposalOutcome(err)).Observe(latency.Seconds())
	}
	e.LogStored = func(_, bytes int, latency time.Duration) {
		stored.Observe(latency.Seconds())
		storedBytes.Add(float64(bytes))
	}
}

func (m *meters) ofSnapshots(e *cluster.Events) {
	taken := m.counters("snapshots_taken_total", "Times that a shard's state was made durable and its log cut.", "outcome", outcomes())
	took := m.histogram("snapshot_duration_seconds", "How long it took to make a shard's state durable and cut its log.", latencyBuckets())
	sent := m.counters("snapshots_sent_total", "Snapshots of shards sent to followers that were far behind.", "outcome", outcomes())
	sentBytes := m.counter("snapshot_sent_bytes_total", "Bytes of snapshots that followers got and restored.")
	installed := m.counters("snapshots_installed_total", "Snapshots of shards that this node was sent, and restored.", "outcome", outcomes())
	installedBytes := m.counter("snapshot_installed_bytes_total", "Bytes of snapshots that this node was sent, and restored.")

	e.SnapshotTaken = func(_ placement.ShardID, _ uint64, latency time.Duration, err error) {
		taken.of(okOrError(err)).Inc()
		took.Observe(latency.Seconds())
	}
	e.SnapshotSent = func(_ placement.ShardID, bytes int64, _ time.Duration, err error) {
		sent.of(okOrError(err)).Inc()
		if err == nil {
			sentBytes.Add(float64(bytes))
		}
	}
	e.SnapshotInstalled = func(_ placement.ShardID, bytes int64, _ time.Duration, err error) {
		installed.of(okOrError(err)).Inc()
		if err == nil {
			installedBytes.Add(float64(bytes))
		}
	}
}

// stepNames gives the steps that are made, and not only waited for.
func stepNames() []string {
	return words([]placement.StepKind{
		placement.StepAddNonvoter, placement.StepPromote, placement.StepTransfer, placement.StepDemote, placement.StepRemove,
	})
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
