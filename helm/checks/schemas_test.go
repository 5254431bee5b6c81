package checks

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/yannh/kubeconform/pkg/validator"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// Kubernetes' own source, for the description of its API in it. It is no
// requirement of this module, since it would replace half of what Helm needs, so
// its hash is here.
const (
	kubernetesModule = "k8s.io/kubernetes@v" + kubeMajor + "." + kubeMinor + "." + kubePatch
	kubernetesSum    = "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE="
)

// schemas say whether an object is one that Kubernetes, or the operator that it is
// for, would take.
type schemas struct {
	kubernetes validator.Validator
	// operators' kinds, each with a value of its published type
	operators map[string]func() any
}

func newSchemas(t testing.TB) schemas {
	t.Helper()
	dir := t.TempDir()
	writeSchemas(t, dir)
	kubernetes, err := validator.New(
		[]string{filepath.Join(dir, "{{.ResourceKind}}{{.KindSuffix}}.json")},
		validator.Opts{Strict: true, KubernetesVersion: strings.Join([]string{kubeMajor, kubeMinor, kubePatch}, ".")},
	)
	if err != nil {
		t.Fatal(err)
	}
	return schemas{kubernetes: kubernetes, operators: map[string]func() any{
		"monitoring.coreos.com/v1 ServiceMonitor": func() any { return new(monitoring.ServiceMonitor) },
		"monitoring.coreos.com/v1 PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
		"cert-manager.io/v1 Certificate":          func() any { return new(certmanager.Certificate) },
		"gateway.networking.k8s.io/v1 HTTPRoute":  func() any { return new(gateway.HTTPRoute) },
	}}
}

// check gives what is wrong with an object, nil if nothing is.
func (s schemas) check(o object) error {
	version, _ := o.body["apiVersion"].(string)
	if into, ok := s.operators[version+" "+o.kind]; ok {
		return yaml.UnmarshalStrict([]byte(o.text), into())
	}
	for _, result := range s.kubernetes.Validate(o.name, io.NopCloser(strings.NewReader(o.text))) {
		if result.Status != validator.Valid && result.Status != validator.Empty {
			return result.Err
		}
	}
	return nil
}

// writeSchemas makes a JSON schema of each kind that Kubernetes has, named as
// kubeconform looks for it. All refer to one file with all definitions.
func writeSchemas(t testing.TB, dir string) {
	t.Helper()
	const definitionsFile = "definitions.json"
	definitions := readDefinitions(t)
	write := func(name string, v any) {
		content, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, definition := range definitions {
		for _, kind := range kindsOf(definition) {
			write(kind+".json", map[string]any{
				"$schema": "http://json-schema.org/draft-07/schema#",
				"$ref":    definitionsFile + "#/definitions/" + name,
			})
		}
	}
	for name, definition := range definitions {
		definitions[name] = strict(definition)
	}
	// Two types whose text has a form that the description has no word for.
	definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = map[string]any{"type": []any{"string", "integer"}}
	definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = map[string]any{"type": []any{"string", "number"}}
	write(definitionsFile, map[string]any{"definitions": definitions})
}

// readDefinitions has Go download Kubernetes' source, once.
func readDefinitions(t testing.TB) map[string]any {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", kubernetesModule)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod download %s: %v\n%s%s", kubernetesModule, err, out, &stderr)
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	if module.Sum != kubernetesSum {
		t.Fatalf("%s has the hash %s, want %s", kubernetesModule, module.Sum, kubernetesSum)
	}
	content, err := os.ReadFile(filepath.Join(module.Dir, "api", "openapi-spec", "swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	var description struct{ Definitions map[string]any }
	if err := json.Unmarshal(content, &description); err != nil {
		t.Fatal(err)
	}
	return description.Definitions
}

// kindsOf gives the names under which kubeconform looks for a definition, as
// statefulset-apps-v1.
func kindsOf(definition any) (names []string) {
	if get(definition, "properties kind") == nil {
		return nil
	}
	kinds, _ := get(definition, "x-kubernetes-group-version-kind").([]any)
	for _, k := range kinds {
		group, _ := get(k, "group").(string)
		version, _ := get(k, "version").(string)
		kind, _ := get(k, "kind").(string)
		group, _, _ = strings.Cut(group, ".")
		parts := slices.DeleteFunc([]string{strings.ToLower(kind), group, version}, func(s string) bool { return s == "" })
		names = append(names, strings.Join(parts, "-"))
	}
	return names
}

// strict makes a schema that refuses what the definition does not name.
func strict(v any) any {
	switch v := v.(type) {
	case []any:
		all := make([]any, len(v))
		for i, e := range v {
			all[i] = strict(e)
		}
		return all
	case map[string]any:
		schema := make(map[string]any, len(v))
		for key, value := range v {
			switch {
			case key == "$ref":
				schema[key] = value // all are within the one file
			case key == "properties":
				properties := make(map[string]any)
				for name, property := range value.(map[string]any) {
					properties[name] = strict(property) // whatever a property is called
				}
				schema[key] = properties
			case key == "format", key == "description", strings.HasPrefix(key, "x-kubernetes-"):
			default:
				schema[key] = strict(value)
			}
		}
		if schema["properties"] != nil && schema["additionalProperties"] == nil {
			schema["additionalProperties"] = false
		}
		return schema
	default:
		return v
	}
}

// The schemas must refuse what they are there to refuse.
func TestSchemasCatch(t *testing.T) {
	s, r := newSchemas(t), mustRender(t, loadChart(t), parseValues(t, everything))
	for _, broken := range []struct{ object, old, new string }{
		{"StatefulSet/holdfast", "minReadySeconds:", "minReadySecond:"},
		{"StatefulSet/holdfast", "replicas: 3", "replicas: three"},
		{"StatefulSet/holdfast", "preStop:", "prestop:"},
		{"StatefulSet/holdfast", "seconds: 5", "seconds: 5s"},
		{"Service/holdfast", "port: 80", "port: http"},
		{"PodDisruptionBudget/holdfast", "unhealthyPodEvictionPolicy", "unhealthyEvictionPolicy"},
		{"NetworkPolicy/holdfast", "podSelector:", "selector:"},
		{"Role/holdfast-make-secret", "resourceNames", "names"},
		{"ServiceMonitor/holdfast", "jobLabel:", "joblabels:"},
		{"Certificate/holdfast-internal-tls", "dnsNames:", "hosts:"},
		{"HTTPRoute/holdfast", "backendRefs:", "backends:"},
	} {
		o := r.must(t, broken.object)
		if err := s.check(o); err != nil {
			t.Errorf("%s: %v", o, err)
		}
		if !strings.Contains(o.text, broken.old) {
			t.Errorf("%s has no %q to break", o, broken.old)
			continue
		}
		o.text = strings.Replace(o.text, broken.old, broken.new, 1)
		if s.check(o) == nil {
			t.Errorf("%s with %q in place of %q is accepted", o, broken.new, broken.old)
		}
	}
	if s.check(object{kind: "Sprocket", name: "x", text: "apiVersion: v1\nkind: Sprocket\nmetadata: {name: x}"}) == nil {
		t.Error("a kind that nobody knows is accepted")
	}
}
