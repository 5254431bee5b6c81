package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// newRegistry makes the registry of one node, with what it says of the process.
// Labels are bounded everywhere: classes that the binary has, kinds and reasons
// from fixed lists; never an object, a shard or a client.
func newRegistry() (*prometheus.Registry, promauto.Factory) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
			collectors.MetricsGC, collectors.MetricsMemory, collectors.MetricsScheduler)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	factory := promauto.With(prometheus.WrapRegistererWithPrefix("holdfast_", registry))
	b := readBuild()
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "build_info", Help: "1, with the version of the binary as labels.",
	}, []string{"version", "revision", "go_version"}).WithLabelValues(b.Version, b.Revision, b.Go).Set(1)
	return registry, factory
}

// latencyBuckets reach from 50 µs to 6.5 s.
func latencyBuckets() []float64 {
	const first, count = 50e-6, 18
	return prometheus.ExponentialBuckets(first, 2, count)
}

// sizeBuckets reach from 64 B to 16 MiB.
func sizeBuckets() []float64 {
	const first, factor, count = 64, 4, 10
	return prometheus.ExponentialBuckets(first, factor, count)
}
