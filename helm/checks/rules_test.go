package checks

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	rulesFile  = "../holdfast/files/rules.yaml"
	runbookURL = "https://github.com/holdfast-dev/holdfast/blob/main/docs/runbook.md#"
)

// parseRules reads rules as Prometheus itself does.
func parseRules(text []byte) (*rulefmt.RuleGroups, error) {
	groups, errs := rulefmt.Parse(text, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	return groups, errors.Join(errs...)
}

func readRules(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := parseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

// record takes the recording rules into the catalogue.
func (c *catalogue) record(groups *rulefmt.RuleGroups) {
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if rule.Record != "" {
				c.recorded[rule.Record] = true
			}
		}
	}
}

// checkRules says what is wrong with rules that Prometheus accepts.
func checkRules(groups *rulefmt.RuleGroups, c *catalogue, runbook string) error {
	var errs []error
	sections := runbookSections(runbook)
	alerts := make(map[string]bool)
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			errs = append(errs, c.check(rule.Expr))
			if rule.Alert == "" {
				continue
			}
			say := func(format string, args ...any) {
				errs = append(errs, fmt.Errorf(rule.Alert+": "+format, args...))
			}
			if alerts[rule.Alert] {
				say("there are two of it")
			}
			alerts[rule.Alert] = true
			if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
				say("severity is %q, want critical or warning", severity)
			}
			for _, annotation := range []string{"summary", "description"} {
				if text := rule.Annotations[annotation]; !strings.HasSuffix(text, ".") {
					say("%s is %q, want a sentence", annotation, text)
				}
			}
			if url := rule.Annotations["runbook_url"]; url != runbookURL+strings.ToLower(rule.Alert) {
				say("runbook_url is %q", url)
			}
			if !slices.Contains(sections, rule.Alert) {
				say("docs/runbook.md has no section of it, or not all parts of one")
			}
		}
	}
	for _, section := range sections {
		if !alerts[section] {
			errs = append(errs, fmt.Errorf("docs/runbook.md has a section of %s, and there is no such alert", section))
		}
	}
	return errors.Join(errs...)
}

var runbookSection = regexp.MustCompile(`(?s)^(Holdfast\w+)\n.*\*\*Means\*\* .*\*\*Look\*\* .*\*\*Do\*\* `)

// runbookSections gives the alerts that have a section with all its parts.
func runbookSections(runbook string) (names []string) {
	for section := range strings.SplitSeq(runbook, "\n## ") {
		if part := runbookSection.FindStringSubmatch(section); part != nil {
			names = append(names, part[1])
		}
	}
	return names
}

func readRunbook(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRules(t *testing.T) {
	groups, c := readRules(t), readCatalogue(t)
	c.record(groups)
	if err := checkRules(groups, c, readRunbook(t)); err != nil {
		t.Error(err)
	}
}

// One copy of each file is enough: the others are links to it.
func TestDeployLinks(t *testing.T) {
	for link, file := range map[string]string{"../../deploy/prometheus/rules.yaml": rulesFile, "../../deploy/grafana/dashboard.json": dashboardFile} {
		target, err := os.Readlink(link)
		if err != nil {
			t.Error(err)
			continue
		}
		here, err := os.Stat(link)
		if err != nil {
			t.Errorf("%s leads to %s: %v", link, target, err)
			continue
		}
		if there, err := os.Stat(file); err != nil || !os.SameFile(here, there) {
			t.Errorf("%s is not %s: %v", link, file, err)
		}
	}
}

func TestRulesCatch(t *testing.T) {
	c := readCatalogue(t)
	const runbook = "# Runbook\n\n## HoldfastX\n\n**Means** a.\n\n**Look** b.\n\n**Do** c.\n"
	const whole = `groups:
  - name: g
    rules:
      - record: job:x:sum
        expr: sum(holdfast_sockets)
      - alert: HoldfastX
        expr: job:x:sum > 1
        labels: {severity: warning}
        annotations:
          summary: A.
          description: B {{ $value }}.
          runbook_url: ` + runbookURL + "holdfastx\n"
	check := func(rules, runbook string) error {
		groups, err := parseRules([]byte(rules))
		if err != nil {
			return err
		}
		c.recorded = make(map[string]bool)
		c.record(groups)
		return checkRules(groups, c, runbook)
	}
	if err := check(whole, runbook); err != nil {
		t.Fatalf("rules that are right: %v", err)
	}
	for name, edit := range map[string][2]string{
		"no YAML":              {"groups:", "groups"},
		"an unknown field":     {"labels:", "label:"},
		"no PromQL":            {"sum(holdfast_sockets)", "sum(holdfast_sockets"},
		"an unknown metric":    {"holdfast_sockets", "holdfast_socket"},
		"an unknown record":    {"job:x:sum > 1", "job:y:sum > 1"},
		"a bad template":       {"{{ $value }}", "{{ $value "},
		"another severity":     {"warning", "page"},
		"no summary":           {"summary: A.", "title: A."},
		"no description":       {"description: B {{ $value }}.", "text: B."},
		"another runbook":      {"#holdfastx", "#holdfasty"},
		"no section":           {"alert: HoldfastX", "alert: HoldfastY"},
		"a record with spaces": {"job:x:sum\n", "job x sum\n"},
	} {
		if err := check(strings.Replace(whole, edit[0], edit[1], 1), runbook); err == nil {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
	for name, broken := range map[string]string{
		"no section":            "# Runbook\n",
		"a section too many":    runbook + strings.ReplaceAll(runbook[len("# Runbook\n"):], "HoldfastX", "HoldfastZ"),
		"a section without Do":  strings.Replace(runbook, "**Do**", "", 1),
		"a section of no alert": strings.Replace(runbook, "HoldfastX", "HoldfastZ", 1),
	} {
		if err := check(whole, broken); err == nil {
			t.Errorf("runbook with %s: nothing is noticed", name)
		}
	}
}
