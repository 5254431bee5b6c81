package checks

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// minutes of a world.
const minutes = 91

// evaluate gives what an expression gives in the last minute of a world.
func evaluate(t *testing.T, expression, world string) promql.Vector {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	defer engine.Close()
	all, end := parseWorld(t, world)
	query, err := engine.NewInstantQuery(t.Context(), all, nil, expression, end)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return slices.Clone(vector)
}

// memory is a storage of a few series.
type memory []*storage.SeriesEntry

func parseWorld(t *testing.T, world string) (all memory, end time.Time) {
	t.Helper()
	for line := range strings.SplitSeq(world, "\n") {
		if line == "" {
			continue
		}
		name, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(values) == 1 { // it stands for all
			values = slices.Repeat(values, minutes)
		}
		if len(values) < minutes {
			t.Fatalf("%s: %d values, want %d or one", line, len(values), minutes)
		}
		var samples []chunks.Sample
		for i, value := range values {
			at := time.Unix(0, 0).Add(time.Duration(i) * time.Minute)
			if at.After(end) {
				end = at
			}
			samples = append(samples, sample{at.UnixMilli(), value.Value})
		}
		all = append(all, storage.NewListSeries(name, samples))
	}
	slices.SortFunc(all, func(a, b *storage.SeriesEntry) int { return labels.Compare(a.Lset, b.Lset) })
	return all, end
}

// Querier implements storage.Queryable.
func (m memory) Querier(_, _ int64) (storage.Querier, error) { return m, nil }

// Select implements storage.Querier.
func (m memory) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	s := &found{}
	for _, entry := range m {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(entry.Lset.Get(m.Name)) }) {
			s.all = append(s.all, entry)
		}
	}
	return s
}

// LabelValues implements storage.LabelQuerier.
func (memory) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.LabelQuerier.
func (memory) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.LabelQuerier.
func (memory) Close() error { return nil }

// found implements storage.SeriesSet.
type found struct {
	all  []*storage.SeriesEntry
	next int
}

func (f *found) Next() bool                        { f.next++; return f.next <= len(f.all) }
func (f *found) At() storage.Series                { return f.all[f.next-1] }
func (f *found) Err() error                        { return nil }
func (f *found) Warnings() annotations.Annotations { return nil }

// sample implements chunks.Sample.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
