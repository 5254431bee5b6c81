package checks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

const dashboardFile = "../holdfast/files/dashboard.json"

// dashboard is what is checked of a Grafana dashboard.
type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []variable `json:"list"`
	} `json:"templating"`
}

type variable struct {
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Definition string     `json:"definition"`
	Datasource datasource `json:"datasource"`
}

type datasource struct {
	UID string `json:"uid"`
}

type panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Datasource  datasource `json:"datasource"`
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string `json:"expr"`
	} `json:"targets"`
	Panels []panel `json:"panels"`
}

func checkDashboard(text []byte, c *catalogue) error {
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 39 {
		say("uid %q, title %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	variables := make(map[string]string)
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type
		if v.Type == "query" {
			errs = append(errs, c.checkVariable(v))
		}
	}
	for _, name := range []string{"datasource", "job", "instance", "class"} {
		if variables[name] == "" {
			say("there is no variable %s", name)
		}
	}
	if variables["datasource"] != "datasource" {
		say("the datasource is no variable")
	}
	ids, places, rows := make(map[int]bool), make(map[[2]int]string), make(map[string]bool)
	for _, p := range d.Panels {
		name := fmt.Sprintf("panel %d %q", p.ID, p.Title)
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			say("%s: has no ID or title of its own", name)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := places[[2]int{x, y}]; other != "" || x >= 24 {
					say("%s: lies over %s, or outside", name, other)
				}
				places[[2]int{x, y}] = name
			}
		}
		if p.Type == "row" {
			rows[p.Title] = true
			if len(p.Panels) > 0 {
				say("%s: is folded", name)
			}
			continue
		}
		if !strings.HasSuffix(p.Description, ".") || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			say("%s: description %q, unit %q, datasource %q, %d queries", name, p.Description, p.FieldConfig.Defaults.Unit, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			if err := c.checkQuery(target.Expr, variables); err != nil {
				say("%s: %w", name, err)
			}
		}
	}
	for _, row := range []string{"Overview", "Requests", "Objects", "Sockets", "Storage and Raft", "Cluster"} {
		if !rows[row] {
			say("there is no row %s", row)
		}
	}
	return errors.Join(errs...)
}

// checkQuery checks an expression with Grafana's variables in it.
func (c *catalogue) checkQuery(query string, variables map[string]string) error {
	for _, part := range strings.Split(query, "$")[1:] {
		name := strings.TrimPrefix(part, "{")
		end := strings.IndexFunc(name, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
		if end < 0 {
			end = len(name)
		}
		if name = name[:end]; variables[name] == "" && name != "__rate_interval" {
			return fmt.Errorf("%q: there is no variable %q", query, name)
		}
	}
	return c.check(strings.ReplaceAll(query, "$__rate_interval", "5m"))
}

// checkVariable checks a query of the form label_values(series, label).
func (c *catalogue) checkVariable(v variable) error {
	inner, ok := strings.CutPrefix(strings.TrimSuffix(v.Definition, ")"), "label_values(")
	comma := strings.LastIndex(inner, ", ")
	if !ok || comma < 0 || v.Datasource.UID != "${datasource}" {
		return fmt.Errorf("variable %s is %q of datasource %q", v.Name, v.Definition, v.Datasource.UID)
	}
	return c.check(fmt.Sprintf("count by (%s) (%s)", inner[comma+2:], inner[:comma]))
}

func readDashboard(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDashboard(t *testing.T) {
	c := readCatalogue(t)
	c.record(readRules(t))
	if err := checkDashboard(readDashboard(t), c); err != nil {
		t.Error(err)
	}
}

func TestDashboardCatches(t *testing.T) {
	c := readCatalogue(t)
	c.record(readRules(t))
	whole := string(readDashboard(t))
	for name, edit := range map[string][2]string{
		"no JSON":               {`"panels": [`, `"panels": `},
		"an unknown metric":     {"holdfast_requests_total", "holdfast_requests_totals"},
		"another label":         {`sum by (code)`, `sum by (codes)`},
		"an unknown variable":   {`$instance`, `$instances`},
		"no PromQL":             {`histogram_quantile(`, `histogram_quantile((`},
		"no description":        {`"description": "Activations `, `"about": "Activations `},
		"no unit":               {`"unit": "`, `"units": "`},
		"a fixed datasource":    {`"uid": "${datasource}"`, `"uid": "prometheus"`},
		"a missing row":         {`"title": "Storage and Raft"`, `"title": "Disks"`},
		"an ID twice":           {`"id": 2,`, `"id": 1,`},
		"panels over another":   {`"y": 1`, `"y": 0`},
		"a variable of nothing": {`label_values(holdfast_build_info`, `label_values(holdfast_info`},
		"an old schema":         {`"schemaVersion": 4`, `"schemaVersion": 1`},
	} {
		broken := strings.Replace(whole, edit[0], edit[1], 1)
		if broken == whole {
			t.Errorf("%s: the dashboard has no %q", name, edit[0])
			continue
		}
		if err := checkDashboard([]byte(broken), c); err == nil {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
