package checks

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v2"
	"k8s.io/apimachinery/pkg/labels"
)

const prometheusDir = "../../deploy/prometheus"

// scraping is what our configurations of Prometheus say, and may say. Prometheus' own
// package for it would bring the clients of all clouds along; the part that decides,
// relabelling, is Prometheus' own.
type scraping struct {
	Global struct {
		Scrape     model.Duration `yaml:"scrape_interval"`
		Evaluation model.Duration `yaml:"evaluation_interval"`
	} `yaml:"global"`
	RuleFiles []string    `yaml:"rule_files"`
	Jobs      []scrapeJob `yaml:"scrape_configs"`
}

type scrapeJob struct {
	Name   string `yaml:"job_name"`
	Path   string `yaml:"metrics_path"`
	Static []struct {
		Targets []string `yaml:"targets"`
	} `yaml:"static_configs"`
	Kubernetes []struct {
		Role      string `yaml:"role"`
		Selectors []struct {
			Role  string `yaml:"role"`
			Label string `yaml:"label"`
		} `yaml:"selectors"`
	} `yaml:"kubernetes_sd_configs"`
	Relabel []*relabel.Config `yaml:"relabel_configs"`
}

func parseScraping(text string) (s scraping, err error) {
	if err := yaml.UnmarshalStrict([]byte(text), &s); err != nil {
		return scraping{}, err
	}
	var errs []error
	if s.Global.Scrape <= 0 || s.Global.Evaluation <= 0 || time.Duration(s.Global.Evaluation) > time.Minute {
		errs = append(errs, fmt.Errorf("the intervals are %v and %v", s.Global.Scrape, s.Global.Evaluation))
	}
	if len(s.RuleFiles) == 0 {
		errs = append(errs, errors.New("no rules are loaded"))
	}
	for _, file := range s.RuleFiles {
		rules, err := os.ReadFile(filepath.Join(prometheusDir, file))
		if err == nil {
			_, err = parseRules(rules)
		}
		errs = append(errs, err)
	}
	for _, job := range s.Jobs {
		for _, config := range job.Relabel {
			errs = append(errs, config.Validate(model.UTF8Validation))
		}
		for _, discovery := range job.Kubernetes {
			if discovery.Role != "pod" || len(discovery.Selectors) != 1 || discovery.Selectors[0].Role != "pod" {
				errs = append(errs, fmt.Errorf("it looks for %+v, want pods by one selector", discovery))
			}
		}
	}
	return s, errors.Join(errs...)
}

// target is what Prometheus would scrape.
type target struct{ address, path, labels string }

// targets gives what a configuration scrapes of the pods of a release, each of which
// is there once.
func targets(text string, pods []pod) (found []target, err error) {
	s, err := parseScraping(text)
	if err != nil {
		return nil, err
	}
	for _, job := range s.Jobs {
		var discovered []map[string]string
		for _, static := range job.Static {
			for _, address := range static.Targets {
				discovered = append(discovered, map[string]string{"__address__": address})
			}
		}
		for _, discovery := range job.Kubernetes {
			selector, err := labels.Parse(discovery.Selectors[0].Label)
			if err != nil {
				return nil, err
			}
			for _, p := range pods {
				if selector.Matches(labels.Set(p.meta.Labels)) {
					discovered = append(discovered, discover(p)...)
				}
			}
		}
		for _, d := range discovered {
			if t, keep := job.target(d); keep {
				found = append(found, t)
			}
		}
	}
	return found, nil
}

// target makes of what was discovered what is scraped, as Prometheus does.
func (j scrapeJob) target(discovered map[string]string) (t target, keep bool) {
	b := promlabels.NewBuilder(promlabels.FromMap(discovered))
	b.Set("job", j.Name)
	b.Set("__metrics_path__", j.Path)
	if !relabel.ProcessBuilder(b, j.Relabel...) {
		return target{}, false
	}
	t = target{address: b.Get("__address__"), path: b.Get("__metrics_path__")}
	if b.Get("instance") == "" {
		b.Set("instance", t.address)
	}
	b.Range(func(l promlabels.Label) {
		if strings.HasPrefix(l.Name, "__") {
			b.Del(l.Name)
		}
	})
	t.labels = b.Labels().String()
	return t, true
}

// discover gives what Prometheus finds of a pod: a target for each port, once while the
// pod runs and once when it has ended.
func discover(p pod) (all []map[string]string) {
	for _, phase := range []string{"Running", "Succeeded", "Failed"} {
		for _, port := range p.spec.Containers[0].Ports {
			all = append(all, map[string]string{
				"__address__":                                   net.JoinHostPort("10.1.1.1", fmt.Sprint(port.ContainerPort)),
				"__meta_kubernetes_namespace":                   namespace,
				"__meta_kubernetes_pod_name":                    p.of.name + "-0",
				"__meta_kubernetes_pod_phase":                   phase,
				"__meta_kubernetes_pod_container_name":          p.spec.Containers[0].Name,
				"__meta_kubernetes_pod_container_port_name":     port.Name,
				"__meta_kubernetes_pod_container_port_number":   fmt.Sprint(port.ContainerPort),
				"__meta_kubernetes_pod_container_port_protocol": string(port.Protocol),
			})
		}
	}
	return all
}

// What Prometheus is told to scrape is the port for operators of every node, once, under
// the labels by which rules and dashboard tell clusters apart.
func TestScraping(t *testing.T) {
	r := mustRender(t, loadChart(t), nil)
	pods := podsOf(t, r)
	port := fmt.Sprint(r.must(t, "Service/holdfast-admin").get("spec ports admin port"))
	_, usual, err := net.SplitHostPort(buildBinary(t).flags["HOLDFAST_ADMIN"])
	if err != nil || usual != port {
		t.Errorf("the binary's --admin is on port %s, the chart's on %s: %v", usual, port, err)
	}
	for _, tc := range []struct {
		file   string
		want   []target
		broken map[string][2]string
	}{
		{
			"static.yaml",
			[]target{
				{"10.0.0.1:" + port, "/metrics", `{instance="10.0.0.1:` + port + `", job="holdfast"}`},
				{"10.0.0.2:" + port, "/metrics", `{instance="10.0.0.2:` + port + `", job="holdfast"}`},
				{"10.0.0.3:" + port, "/metrics", `{instance="10.0.0.3:` + port + `", job="holdfast"}`},
			},
			map[string][2]string{
				"the clients' port": {"10.0.0.2:8081", "10.0.0.2:8080"},
				"another path":      {"/metrics", "/"},
				"another job":       {"job_name: holdfast", "job_name: node"},
				"no rules":          {"  - rules.yaml\n", ""},
				"other rules":       {"  - rules.yaml\n", "  - rule.yaml\n"},
				"too seldom":        {"evaluation_interval: 15s", "evaluation_interval: 2m"},
				"an unknown field":  {"scrape_interval", "scraping_interval"},
			},
		},
		{
			"kubernetes.yaml",
			[]target{{"10.1.1.1:" + port, "/metrics", `{instance="holdfast-0", job="holdfast", namespace="apps"}`}},
			map[string][2]string{
				"another port":       {"regex: admin", "regex: http"},
				"all ports":          {"regex: admin", "regex: .*"},
				"pods that ended":    {"Succeeded|Failed", "Succeeded"},
				"no namespace":       {"target_label: namespace", "target_label: ns"},
				"no name":            {"target_label: instance", "target_label: pod"},
				"another selector":   {"component=node", "component=nodes"},
				"an unknown action":  {"action: keep", "action: take"},
				"another role":       {"- role: pod\n        selectors", "- role: node\n        selectors"},
				"a broken selector":  {"label: app", "label: =app"},
				"a bad target label": {"target_label: namespace", `target_label: ""`},
			},
		},
	} {
		content, err := os.ReadFile(filepath.Join(prometheusDir, tc.file))
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if got, err := targets(text, pods); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s scrapes %q, %v, want %q", tc.file, got, err, tc.want)
		}
		for name, edit := range tc.broken {
			broken := strings.Replace(text, edit[0], edit[1], 1)
			got, err := targets(broken, pods)
			if broken == text || err == nil && slices.Equal(got, tc.want) {
				t.Errorf("%s with %s: nothing is noticed", tc.file, name)
			}
		}
	}
}
