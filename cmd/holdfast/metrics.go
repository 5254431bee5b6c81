package main

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/holdfast-dev/holdfast/actor"
)

// meters makes the metrics of one node. docs/metrics.md lists them all.
//
// Labels are bounded everywhere: classes that the binary has, kinds and reasons
// from fixed lists; never an object, a shard, another node or a client. Every series
// is there from the start, so that a rate over it knows of the first time too.
type meters struct {
	promauto.Factory

	registry   *prometheus.Registry
	registerer prometheus.Registerer // puts the prefix before names
	classes    []string
}

// noClass stands for requests that name no class, or one that there is not.
const noClass = "none"

// newMeters makes a registry, with what it says of the process.
func newMeters(classes map[string]actor.Class) *meters {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
			collectors.MetricsGC, collectors.MetricsMemory, collectors.MetricsScheduler)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	prefixed := prometheus.WrapRegistererWithPrefix("holdfast_", registry)
	m := &meters{
		Factory: promauto.With(prefixed), registry: registry, registerer: prefixed,
		classes: slices.Sorted(maps.Keys(classes)),
	}
	b := readBuild()
	m.NewGaugeVec(prometheus.GaugeOpts{
		Name: "build_info", Help: "1, with the version of the binary as labels.",
	}, []string{"version", "revision", "goversion"}).WithLabelValues(b.Version, b.Revision, b.Go).Set(1)
	return m
}

func (m *meters) gauge(name, help string) prometheus.Gauge {
	return m.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func (m *meters) counter(name, help string) prometheus.Counter {
	return m.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func (m *meters) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return m.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

// byValue finds the series of a label's value. A value that is not in it, which
// would be a mistake, counts as the last one.
type byValue[T any] struct {
	series map[string]T
	last   T
}

func (b byValue[T]) of(value string) T {
	if series, ok := b.series[value]; ok {
		return series
	}
	return b.last
}

func newByValue[T any](values []string, series func(value string) T) byValue[T] {
	b := byValue[T]{series: map[string]T{}}
	for _, value := range values {
		b.last = series(value)
		b.series[value] = b.last
	}
	return b
}

func (m *meters) counters(name, help, label string, values []string) byValue[prometheus.Counter] {
	vec := m.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	return newByValue(values, func(value string) prometheus.Counter { return vec.WithLabelValues(value) })
}

// counters2 is counters with two labels.
func (m *meters) counters2(name, help, label string, values []string, label2 string, values2 []string) byValue[byValue[prometheus.Counter]] {
	vec := m.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label, label2})
	return newByValue(values, func(value string) byValue[prometheus.Counter] {
		return newByValue(values2, func(value2 string) prometheus.Counter { return vec.WithLabelValues(value, value2) })
	})
}

func (m *meters) gauges(name, help, label string, values []string) byValue[prometheus.Gauge] {
	vec := m.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
	return newByValue(values, func(value string) prometheus.Gauge { return vec.WithLabelValues(value) })
}

func (m *meters) histograms(name, help string, buckets []float64, label string, values []string) byValue[prometheus.Observer] {
	vec := m.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
	return newByValue(values, func(value string) prometheus.Observer { return vec.WithLabelValues(value) })
}

// words gives the names of things as they stand in labels.
func words[T interface{ String() string }](things []T) []string {
	all := make([]string, 0, len(things))
	for _, thing := range things {
		all = append(all, thing.String())
	}
	return all
}

// booleans are the values of a label that says yes or no, and outcomes those of one
// that says whether something succeeded.
func booleans() []string { return []string{"false", "true"} }
func outcomes() []string { return []string{"ok", "error"} }

func okOrError(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// latencyBuckets reach from 50 µs to 6.5 s.
func latencyBuckets() []float64 {
	const first, count = 50e-6, 18
	return prometheus.ExponentialBuckets(first, 2, count)
}

// lateBuckets reach from 10 ms to 44 min.
func lateBuckets() []float64 {
	const first, factor, count = 10e-3, 4, 10
	return prometheus.ExponentialBuckets(first, factor, count)
}

// sizeBuckets reach from 64 B to 16 MiB.
func sizeBuckets() []float64 {
	const first, factor, count = 64, 4, 10
	return prometheus.ExponentialBuckets(first, factor, count)
}
