package checks

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"
)

const (
	chartDir = "../holdfast"
	repoDir  = "../.."

	// Helm without a cluster believes in an old Kubernetes; so does helm lint.
	kubeMajor, kubeMinor, kubePatch = "1", "37", "2"

	namespace = "apps"
)

func kubeVersion() chartutil.KubeVersion {
	return chartutil.KubeVersion{Version: "v" + kubeMajor + "." + kubeMinor + "." + kubePatch, Major: kubeMajor, Minor: kubeMinor}
}

func loadChart(t testing.TB) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// object is what the chart makes of a template.
type object struct {
	kind, name string
	body       map[string]any
	text       string
}

func (o object) String() string { return o.kind + "/" + o.name }

// rendering is what a release consists of.
type rendering struct {
	objects []object // hooks too
	notes   string
}

// render does what helm template does for a release called "holdfast".
func render(c *chart.Chart, values map[string]any) (rendering, error) {
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = kubeVersion()
	options := chartutil.ReleaseOptions{Name: "holdfast", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, options, capabilities)
	if err != nil {
		return rendering{}, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return rendering{}, err
	}
	var r rendering
	for name, text := range files {
		switch base := path.Base(name); {
		case base == "NOTES.txt":
			r.notes = text
		case strings.HasPrefix(base, "_"):
		default:
			objects, err := parseObjects(text)
			if err != nil {
				return rendering{}, fmt.Errorf("%s: %w\n%s", name, err, text)
			}
			r.objects = append(r.objects, objects...)
		}
	}
	slices.SortFunc(r.objects, func(a, b object) int { return strings.Compare(a.String(), b.String()) })
	return r, nil
}

func mustRender(t testing.TB, c *chart.Chart, values map[string]any) rendering {
	t.Helper()
	r, err := render(c, values)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// parseObjects is strict: a key that is there twice is an error.
func parseObjects(text string) (objects []object, err error) {
	for _, document := range releaseutil.SplitManifests(text) {
		o := object{text: document}
		if err := yaml.UnmarshalStrict([]byte(document), &o.body); err != nil {
			return nil, err
		}
		if o.body == nil { // comments only
			continue
		}
		o.kind, _ = o.body["kind"].(string)
		o.name, _ = o.get("metadata name").(string)
		if o.kind == "" || o.name == "" {
			return nil, fmt.Errorf("no kind, or no name, in %q", document)
		}
		objects = append(objects, o)
	}
	return objects, nil
}

func (r rendering) find(id string) (object, bool) {
	i := slices.IndexFunc(r.objects, func(o object) bool { return o.String() == id })
	if i < 0 {
		return object{}, false
	}
	return r.objects[i], true
}

func (r rendering) must(t testing.TB, id string) object {
	t.Helper()
	o, ok := r.find(id)
	if !ok {
		t.Fatalf("no %s in the release", id)
	}
	return o
}

// ofKind gives all objects of these kinds.
func (r rendering) ofKind(kinds ...string) (objects []object) {
	for _, o := range r.objects {
		if slices.Contains(kinds, o.kind) {
			objects = append(objects, o)
		}
	}
	return objects
}

// get gives what is at a path: keys with blanks between them; the elements of
// lists go by their names, or by their numbers. nil: nothing is there.
func (o object) get(path string) any { return get(o.body, path) }

func get(v any, path string) any {
	for _, key := range strings.Fields(path) {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			v = element(at, key)
		default:
			return nil
		}
	}
	return v
}

func element(list []any, key string) any {
	if i, err := strconv.Atoi(key); err == nil && i < len(list) {
		return list[i]
	}
	for _, e := range list {
		if m, ok := e.(map[string]any); ok && m["name"] == key {
			return m
		}
	}
	return nil
}

// into reads a part of an object into one of Kubernetes' types, strictly.
func into[T any](t testing.TB, part any) (typed T) {
	t.Helper()
	text, err := json.Marshal(part)
	if err == nil {
		err = yaml.UnmarshalStrict(text, &typed)
	}
	if err != nil {
		t.Fatalf("%s as %T: %v", text, typed, err)
	}
	return typed
}

func parseValues(t testing.TB, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatalf("values %q: %v", text, err)
	}
	return values
}
