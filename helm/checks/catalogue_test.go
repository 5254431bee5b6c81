package checks

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// catalogue is the metrics that expressions may use: those of docs/metrics.md, which a
// test in cmd/holdfast holds against a running node, and those that rules record.
type catalogue struct {
	metrics  map[string]metric
	recorded map[string]bool
}

// metric is a row of docs/metrics.md.
type metric struct {
	kind   string
	labels map[string][]string // the values that are listed, nil if they are not
}

// targetLabels are those that Prometheus adds, or that a chart's monitors do.
func targetLabels() []string { return []string{"namespace", "job", "instance", "pod"} }

func readCatalogue(t *testing.T) *catalogue {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	c := &catalogue{metrics: make(map[string]metric), recorded: make(map[string]bool)}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) != 4 {
			continue
		}
		m := metric{kind: cells[1], labels: make(map[string][]string)}
		for label := range strings.SplitSeq(strings.TrimSpace(cells[2]), "; ") {
			key, list, _ := strings.Cut(label, ": ")
			if key == "" {
				continue
			}
			m.labels[strings.Trim(key, "`")] = nil
			if list != "" {
				m.labels[strings.Trim(key, "`")] = strings.Split(strings.Trim(list, "`"), "` `")
			}
		}
		c.metrics[strings.Trim(cells[0], "`")] = m
	}
	if len(c.metrics) < 100 {
		t.Fatalf("docs/metrics.md has %d metrics: its tables cannot be read any more", len(c.metrics))
	}
	return c
}

// find gives the metric that a series belongs to, as the type that the series has.
func (c *catalogue) find(series string) (metric, error) {
	if m, ok := c.metrics[series]; ok {
		if m.kind == "histogram" {
			return m, fmt.Errorf("%s is a histogram: its series end in _bucket, _sum and _count", series)
		}
		return m, nil
	}
	if c.recorded[series] {
		return metric{kind: "gauge", labels: map[string][]string{}}, nil
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		name, ok := strings.CutSuffix(series, suffix)
		m, known := c.metrics[name]
		if !ok || !known || m.kind != "histogram" && (m.kind != "summary" || suffix == "_bucket") {
			continue
		}
		m.kind = "counter"
		if suffix == "_bucket" {
			m.labels = withLabel(m.labels, "le")
		}
		return m, nil
	}
	return metric{}, fmt.Errorf("no node has a metric %s", series)
}

func withLabel(known map[string][]string, label string) map[string][]string {
	more := map[string][]string{label: nil}
	maps.Copy(more, known)
	return more
}

// check says what in an expression cannot be: a metric, label or value that no node
// has, or a function that does not go with the metric's type.
func (c *catalogue) check(expression string) error {
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		return fmt.Errorf("%q: %w", expression, err)
	}
	var errs []error
	used := targetLabels()
	parser.Inspect(tree, func(node parser.Node, path []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		m, err := c.find(selector.Name)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		for label := range m.labels {
			used = append(used, label)
		}
		errs = append(errs, checkMatchers(selector, m)...)
		errs = append(errs, checkFunction(selector.Name, m, path))
		return nil
	})
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range aggregate.Grouping {
				if !slices.Contains(used, label) {
					errs = append(errs, fmt.Errorf("nothing in the expression has a label %s to group by", label))
				}
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%q: %w", expression, err)
	}
	return nil
}

func checkMatchers(selector *parser.VectorSelector, m metric) (errs []error) {
	for _, matcher := range selector.LabelMatchers {
		listed, known := m.labels[matcher.Name]
		switch {
		case matcher.Name == model.MetricNameLabel, slices.Contains(targetLabels(), matcher.Name):
			continue
		case !known:
			errs = append(errs, fmt.Errorf("%s has no label %s", selector.Name, matcher.Name))
			continue
		case listed == nil, strings.HasPrefix(matcher.Value, "$"): // any value; a variable of the dashboard
			continue
		}
		values := []string{matcher.Value}
		if matcher.Type == labels.MatchRegexp || matcher.Type == labels.MatchNotRegexp {
			values = strings.Split(matcher.Value, "|")
		}
		for _, value := range values {
			if !slices.ContainsFunc(listed, regexp.MustCompile("^(?:"+value+")$").MatchString) {
				errs = append(errs, fmt.Errorf("%s of %s is never %q", matcher.Name, selector.Name, value))
			}
		}
	}
	return errs
}

// checkFunction looks at the function around a range of a metric.
func checkFunction(name string, m metric, path []parser.Node) error {
	for _, node := range slices.Backward(path) {
		call, ok := node.(*parser.Call)
		if !ok {
			continue
		}
		switch call.Func.Name {
		case "rate", "increase", "irate", "resets":
			if m.kind != "counter" {
				return fmt.Errorf("%s of %s, which is a %s", call.Func.Name, name, m.kind)
			}
		case "delta", "deriv", "predict_linear", "idelta":
			if m.kind != "gauge" {
				return fmt.Errorf("%s of %s, which is a %s", call.Func.Name, name, m.kind)
			}
		}
		return nil
	}
	return nil
}

// The check must see what it is for.
func TestCheckCatches(t *testing.T) {
	c := readCatalogue(t)
	c.recorded["job:holdfast_requests:rate5m"] = true
	for _, fine := range []string{
		`sum by (job, code) (rate(holdfast_requests_total{code=~"2xx|5xx", class="ChatRoom"}[5m]))`,
		`histogram_quantile(0.99, sum by (le, kind) (rate(holdfast_event_wait_seconds_bucket{kind=~"mess.*"}[5m])))`,
		`job:holdfast_requests:rate5m > 1`,
		`holdfast_requests_total{class=~"$class",code=~"$code"}`,
		`predict_linear(holdfast_data_disk_free_bytes[6h], 3600) < 0`,
		`rate(go_gc_duration_seconds_sum[5m]) / rate(go_gc_duration_seconds_count[5m])`,
	} {
		if err := c.check(fine); err != nil {
			t.Errorf("check(%s) = %v", fine, err)
		}
	}
	for broken, want := range map[string]string{
		`sum(`:                          "parse error",
		`holdfast_request_total`:        "no node has",
		`holdfast_requests_total_count`: "no node has",
		`job:holdfast_requests:rate1m`:  "no node has",
		`up == 0`:                       "no node has",
		`1 + sum(rate(holdfast_commits_total[5m]))`:       "no node has",
		`holdfast_event_wait_seconds`:                     "is a histogram",
		`holdfast_activations_bucket`:                     "no node has",
		`go_gc_duration_seconds_bucket`:                   "no node has",
		`holdfast_requests_total{status="2xx"}`:           "has no label status",
		`holdfast_event_wait_seconds_sum{le="1"}`:         "has no label le",
		`holdfast_requests_total{code="200"}`:             `is never "200"`,
		`holdfast_requests_total{code!="5XX"}`:            `is never "5XX"`,
		`holdfast_requests_total{code=~"4xx|6.."}`:        `is never "6.."`,
		`sum by (klass) (holdfast_sockets)`:               "to group by",
		`sum by (code) (holdfast_sockets)`:                "to group by",
		`rate(holdfast_sockets[5m])`:                      "which is a gauge",
		`delta(holdfast_broadcasts_total[5m])`:            "which is a counter",
		`rate(job:holdfast_requests:rate5m[5m])`:          "which is a gauge",
		`increase(holdfast_storage_full[5m]) > bool 0`:    "which is a gauge",
		`predict_linear(holdfast_broadcasts_total[1h],1)`: "which is a counter",
	} {
		if err := c.check(broken); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check(%s) = %v, want %q", broken, err, want)
		}
	}
}
