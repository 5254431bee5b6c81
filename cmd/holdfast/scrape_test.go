package main

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// scrape is what a node says under /metrics.
type scrape struct {
	families map[string]*metricFamily
	samples  map[string]float64 // by name with labels, as written
}

// metricFamily is a metric as a scrape has it.
type metricFamily struct {
	kind   string
	help   string
	labels map[string]map[string]bool // values by label; without le and quantile
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// scrapeOf asks a node's operators' address.
func scrapeOf(t *testing.T, client *http.Client, operators string) *scrape {
	t.Helper()
	s, err := parseScrape(get(t, client, operators+"/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parseScrape(text string) (*scrape, error) {
	s := &scrape{families: make(map[string]*metricFamily), samples: make(map[string]float64)}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			what, rest, _ := strings.Cut(comment, " ")
			name, said, _ := strings.Cut(rest, " ")
			f := s.families[name]
			if f == nil {
				f = &metricFamily{labels: make(map[string]map[string]bool)}
				s.families[name] = f
			}
			if what == "HELP" {
				f.help = said
			} else {
				f.kind = said
			}
			continue
		}
		part := sampleLine.FindStringSubmatch(line)
		if part == nil {
			return nil, fmt.Errorf("no sample: %q", line)
		}
		value, err := strconv.ParseFloat(part[3], 64)
		if err != nil {
			return nil, err
		}
		s.samples[strings.TrimSuffix(line, " "+part[3])] = value
		f := s.family(part[1])
		if f == nil {
			return nil, fmt.Errorf("a sample without a type: %q", line)
		}
		for _, pair := range labelPair.FindAllStringSubmatch(part[2], -1) {
			if pair[1] == "le" || pair[1] == "quantile" {
				continue
			}
			if f.labels[pair[1]] == nil {
				f.labels[pair[1]] = make(map[string]bool)
			}
			f.labels[pair[1]][pair[2]] = true
		}
	}
	return s, nil
}

// family gives the metric that a sample belongs to.
func (s *scrape) family(sample string) *metricFamily {
	if f := s.families[sample]; f != nil {
		return f
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(sample, suffix); ok && s.families[name] != nil {
			return s.families[name]
		}
	}
	return nil
}

// value gives a sample of one of ours, which has to be there.
func (s *scrape) value(t *testing.T, sample string) float64 {
	t.Helper()
	value, ok := s.samples["holdfast_"+sample]
	if !ok {
		t.Fatalf("there is no sample holdfast_%s", sample)
	}
	return value
}

// want checks samples of ours.
func (s *scrape) want(t *testing.T, when string, samples map[string]float64) {
	t.Helper()
	for _, sample := range slices.Sorted(maps.Keys(samples)) {
		if got := s.value(t, sample); got != samples[sample] {
			t.Errorf("%s: holdfast_%s = %v, want %v", when, sample, got, samples[sample])
		}
	}
}
