package checks

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const manifestsDir = "../../deploy/kubernetes"

var update = flag.Bool("update", false, "write deploy/kubernetes anew")

// manifestValues are the chart's defaults without its hooks, which Helm alone runs.
const manifestValues = `
secret: {existingSecret: holdfast-secret}
scaleDown: {enabled: false}
`

const manifestHeader = "# Made of helm/holdfast by `make manifests`: change that, not this.\n"

var (
	helmLines = regexp.MustCompile(`(?m)^ *(namespace: ` + namespace + `|helm\.sh/chart: .*|app\.kubernetes\.io/managed-by: Helm| *)\n`)
	loneDash  = regexp.MustCompile(`(?m)-\n +(name: )`)
)

// plainManifests gives the files of deploy/kubernetes: what the chart makes of its
// defaults, without a word of Helm, and for whatever namespace it is applied to.
func plainManifests(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	kustomization := manifestHeader + "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
	for _, o := range mustRender(t, loadChart(t), parseValues(t, manifestValues)).objects {
		if o.get("metadata annotations helm.sh/hook") != nil {
			if o.kind != "Pod" { // the one of helm test
				t.Errorf("%s is a hook, which nobody would run", o)
			}
			continue
		}
		name := strings.ToLower(o.kind) + strings.TrimPrefix(o.name, "holdfast") + ".yaml"
		text := helmLines.ReplaceAllString(strings.TrimSpace(o.text)+"\n", "")
		text = loneDash.ReplaceAllString(text, "- $1")
		// In the pod's own namespace the short name is enough.
		text = strings.ReplaceAll(text, "-headless."+namespace+".svc:", "-headless:")
		files[name] = manifestHeader + text
		kustomization += "  - " + name + "\n"
	}
	files["kustomization.yaml"] = kustomization
	return files
}

// The manifests are what the chart makes.
func TestManifests(t *testing.T) {
	files := plainManifests(t)
	if *update {
		writeManifests(t, files)
	}
	entries, err := os.ReadDir(manifestsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if _, ok := files[entry.Name()]; !ok {
			t.Errorf("deploy/kubernetes/%s is nothing that the chart makes", entry.Name())
		}
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(manifestsDir, name)); err != nil || string(got) != want {
			t.Errorf("deploy/kubernetes/%s is not what the chart makes (%v): make manifests", name, err)
		}
	}
}

func writeManifests(t *testing.T, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(manifestsDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(manifestsDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(manifestsDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// They are in order by themselves, and nothing of a release or a namespace is left in them.
func TestManifestsStandAlone(t *testing.T) {
	files, inspect := plainManifests(t), newInspector(t)
	var r rendering
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		for _, word := range []string{"Helm", "helm.sh", "namespace:", ".svc", "{{", namespace + "."} {
			if strings.Contains(text, word) {
				t.Errorf("%s has %q in it", name, word)
			}
		}
		if name == "kustomization.yaml" {
			continue
		}
		objects, err := parseObjects(text)
		if err != nil || len(objects) != 1 {
			t.Fatalf("%s = %d objects, %v, want 1", name, len(objects), err)
		}
		if err := inspect.schemas.check(objects[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r.objects = append(r.objects, objects...)
	}
	pods := podsOf(t, r)
	for _, problem := range slices.Concat(inspect.restricted(pods), selections(t, r, pods), rights(pods)) {
		t.Error(problem)
	}
	for _, problem := range references(r, pods) {
		if !strings.Contains(problem, "Secret/holdfast-secret") { // deploy/README.md has the command that makes it
			t.Error(problem)
		}
	}
	expect(t, r, "StatefulSet/holdfast spec template spec containers holdfast env HOLDFAST_JOIN value = holdfast-headless:7946")
	expect(t, r, "StatefulSet/holdfast spec serviceName = holdfast-headless")
	expect(t, r, "Service/holdfast-headless spec publishNotReadyAddresses = true")
}
