package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// documentedMetric is a row of docs/metrics.md.
type documentedMetric struct {
	kind    string
	labels  map[string][]string // the values that are listed, nil if they are not
	meaning string
}

// readMetricsDoc reads the rows of all tables whose first cell is a metric:
//
//	| `name` | type | `label`; `label`: `value` `value` | meaning |
func readMetricsDoc(text string) (map[string]documentedMetric, error) {
	rows := make(map[string]documentedMetric)
	var errs []error
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) != 4 {
			errs = append(errs, fmt.Errorf("%d cells instead of 4: %q", len(cells), line))
			continue
		}
		name := strings.Trim(cells[0], "`")
		if _, twice := rows[name]; twice {
			errs = append(errs, fmt.Errorf("%s stands there twice", name))
		}
		row := documentedMetric{kind: cells[1], labels: make(map[string][]string), meaning: cells[3]}
		for label := range strings.SplitSeq(strings.TrimSpace(cells[2]), "; ") {
			if label == "" {
				continue
			}
			key, list, _ := strings.Cut(label, ": ")
			row.labels[strings.Trim(key, "`")] = nil
			if list != "" {
				row.labels[strings.Trim(key, "`")] = strings.Split(strings.Trim(list, "`"), "` `")
			}
		}
		rows[name] = row
	}
	return rows, errors.Join(errs...)
}

// compareMetrics says where docs and node differ. What is not ours need not be in the docs.
func compareMetrics(s *scrape, doc map[string]documentedMetric) error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		row, f := doc[name], s.families[name]
		if f == nil {
			say("%s is documented and does not exist", name)
			continue
		}
		if row.kind != f.kind {
			say("%s is a %s, documented as a %s", name, f.kind, row.kind)
		}
		if !strings.HasPrefix(name, "holdfast_") {
			continue
		}
		if row.meaning != f.help {
			say("%s is documented as %q, and says of itself %q", name, row.meaning, f.help)
		}
		if got, want := slices.Sorted(maps.Keys(f.labels)), slices.Sorted(maps.Keys(row.labels)); !slices.Equal(got, want) {
			say("%s has labels %v, documented are %v", name, got, want)
			continue
		}
		for label, listed := range row.labels {
			if got, want := slices.Sorted(maps.Keys(f.labels[label])), slices.Sorted(slices.Values(listed)); listed != nil && !slices.Equal(got, want) {
				say("%s has values %v of %s, documented are %v", name, got, label, want)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.families)) {
		if _, ok := doc[name]; !ok && strings.HasPrefix(name, "holdfast_") {
			say("%s exists and is not documented", name)
		}
	}
	return errors.Join(errs...)
}

func metricsDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docs/metrics.md says of every metric of a running node what the node says, and of none more.
func TestMetricsAreDocumented(t *testing.T) {
	m := newMachine(t)
	m.start()
	doc, err := readMetricsDoc(metricsDoc(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := compareMetrics(scrapeOf(t, newClient(t, nil), m.operators), doc); err != nil {
		t.Error(err)
	}
	if len(doc) < 100 {
		t.Errorf("docs/metrics.md has %d metrics: the rows cannot be read any more", len(doc))
	}
}

// The comparison must notice whatever may differ.
func TestMetricsDocsCatch(t *testing.T) {
	s, err := parseScrape("# HELP holdfast_a_total As.\n# TYPE holdfast_a_total counter\n" +
		"holdfast_a_total{class=\"x\",kind=\"k1\"} 1\nholdfast_a_total{class=\"x\",kind=\"k2\"} 0\n" +
		"# HELP holdfast_b_seconds Bs.\n# TYPE holdfast_b_seconds histogram\nholdfast_b_seconds_bucket{le=\"+Inf\"} 0\nholdfast_b_seconds_sum 0\nholdfast_b_seconds_count 0\n" +
		"# HELP go_c Cs.\n# TYPE go_c gauge\ngo_c 1\n")
	if err != nil {
		t.Fatal(err)
	}
	const whole = "| `holdfast_a_total` | counter | `class`; `kind`: `k1` `k2` | As. |\n| `holdfast_b_seconds` | histogram |  | Bs. |\n| `go_c` | gauge |  | In other words. |\n"
	check := func(doc string) error {
		rows, err := readMetricsDoc(doc)
		return errors.Join(err, compareMetrics(s, rows))
	}
	if err := check(whole); err != nil {
		t.Errorf("a doc that is right: %v", err)
	}
	for name, edit := range map[string][2]string{
		"a metric that there is not": {"", "| `holdfast_z` | gauge |  | Zs. |\n"},
		"one of the process":         {"", "| `process_z` | gauge |  | Zs. |\n"},
		"a metric too few":           {"| `holdfast_b_seconds` | histogram |  | Bs. |\n", ""},
		"a row twice":                {"", "| `holdfast_b_seconds` | histogram |  | Bs. |\n"},
		"another type":               {"| counter |", "| gauge |"},
		"another type of another's":  {"`go_c` | gauge", "`go_c` | counter"},
		"another meaning":            {"Bs.", "Something else."},
		"a label too few":            {"`class`; ", ""},
		"a label too many":           {"| histogram |  |", "| histogram | `class` |"},
		"a value too few":            {"`k1` `k2`", "`k1`"},
		"a value too many":           {"`k1` `k2`", "`k1` `k2` `k3`"},
		"a cell too few":             {"| As. |", "|"},
	} {
		doc := whole + edit[1]
		if edit[0] != "" {
			doc = strings.Replace(whole, edit[0], edit[1], 1)
		}
		if err := check(doc); err == nil {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
