package checks

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

// row is a line of the table of values: what is set, and what has to come of it.
type row struct {
	name   string
	values string   // YAML
	want   []string // "Kind/name path = YAML", see object.get for the path
	none   []string // "Kind/name" or "Kind/name path" that must not be there
	alone  bool     // contradicts others: not to be set together with them
}

func rows() []row {
	return slices.Concat(
		[]row{{name: "defaults", want: nil}},
		nodeRows(), stopRows(), secretRows(), networkRows(), schedulingRows(), monitoringRows(),
	)
}

// Every row gives what it says, and whatever it gives is in order.
func TestMatrix(t *testing.T) {
	c, inspect := loadChart(t), newInspector(t)
	for _, row := range rows() {
		t.Run(row.name, func(t *testing.T) {
			r := mustRender(t, c, parseValues(t, row.values))
			for _, want := range row.want {
				expect(t, r, want)
			}
			for _, none := range row.none {
				expectNone(t, r, none)
			}
			inspect.all(t, r)
		})
	}
}

// Two things that work alone work together.
func TestMatrixPairs(t *testing.T) {
	c, inspect := loadChart(t), newInspector(t)
	all := slices.DeleteFunc(rows(), func(r row) bool { return r.alone })
	for i, a := range all {
		for _, b := range all[:i] {
			values := chartutil.CoalesceTables(parseValues(t, a.values), parseValues(t, b.values))
			r, err := render(c, values)
			if err != nil {
				t.Errorf("%s and %s: %v", a.name, b.name, err)
				continue
			}
			if !t.Run(a.name+" and "+b.name, func(t *testing.T) { inspect.all(t, r) }) {
				return // the others would say the same
			}
		}
	}
}

// The table's own words must be able to fail.
func TestExpectationsCatch(t *testing.T) {
	r := mustRender(t, loadChart(t), nil)
	for _, wrong := range []string{
		"StatefulSet/holdfast spec replicas = 4",
		"StatefulSet/holdfast spec replicas = \"3\"",
		"StatefulSet/holdfast spec nothing = 3",
		"StatefulSet/other spec replicas = 3",
	} {
		if problem := mismatch(r, wrong); problem == "" {
			t.Errorf("mismatch(%q) = nothing, want a problem", wrong)
		}
	}
	for _, there := range []string{"StatefulSet/holdfast", "StatefulSet/holdfast spec replicas"} {
		if !present(r, there) {
			t.Errorf("present(%q) = false, want true", there)
		}
	}
}

func expect(t *testing.T, r rendering, want string) {
	t.Helper()
	if problem := mismatch(r, want); problem != "" {
		t.Error(problem)
	}
}

func mismatch(r rendering, want string) string {
	place, text, ok := strings.Cut(want, " = ")
	id, path, hasPath := strings.Cut(place, " ")
	if !ok || !hasPath {
		return fmt.Sprintf("%q is not of the form \"Kind/name path = value\"", want)
	}
	o, found := r.find(id)
	if !found {
		return fmt.Sprintf("no %s, want one with %s", id, want)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Sprintf("%q: %v", text, err)
	}
	if got := o.get(path); !reflect.DeepEqual(got, value) {
		written, _ := yaml.Marshal(got)
		return fmt.Sprintf("%s is %swant %s", place, written, text)
	}
	return ""
}

func expectNone(t *testing.T, r rendering, place string) {
	t.Helper()
	if present(r, place) {
		t.Errorf("%s is there, want nothing", place)
	}
}

func present(r rendering, place string) bool {
	id, path, _ := strings.Cut(place, " ")
	o, found := r.find(id)
	return found && o.get(path) != nil
}
