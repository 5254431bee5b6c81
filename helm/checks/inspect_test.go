package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// inspector looks for what is wrong with a release, whatever its values are.
type inspector struct {
	schemas  schemas
	security policy.Evaluator
}

func newInspector(t testing.TB) inspector {
	t.Helper()
	security, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return inspector{schemas: newSchemas(t), security: security}
}

func (i inspector) all(t *testing.T, r rendering) {
	t.Helper()
	for _, problem := range i.problems(t, r) {
		t.Error(problem)
	}
}

func (i inspector) problems(t testing.TB, r rendering) (problems []string) {
	t.Helper()
	for _, o := range r.objects {
		if err := i.schemas.check(o); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", o, err))
		}
	}
	pods := podsOf(t, r)
	return slices.Concat(problems, identity(r), i.restricted(pods), selections(t, r, pods), references(r, pods), rights(pods))
}

// pod is what a StatefulSet, a Job or a test would start.
type pod struct {
	of   object
	meta metav1.ObjectMeta
	spec corev1.PodSpec
}

func podsOf(t testing.TB, r rendering) (pods []pod) {
	t.Helper()
	for _, o := range r.ofKind("StatefulSet", "Job") {
		template := into[corev1.PodTemplateSpec](t, o.get("spec template"))
		pods = append(pods, pod{o, template.ObjectMeta, template.Spec})
	}
	for _, o := range r.ofKind("Pod") {
		p := into[corev1.Pod](t, o.body)
		pods = append(pods, pod{o, p.ObjectMeta, p.Spec})
	}
	return pods
}

// identity: nothing is there twice, all is in the release's namespace, and labelled.
func identity(r rendering) (problems []string) {
	seen := make(map[string]bool)
	for _, o := range r.objects {
		if seen[o.String()] {
			problems = append(problems, fmt.Sprintf("%s is there twice", o))
		}
		seen[o.String()] = true
		if o.get("metadata namespace") != namespace {
			problems = append(problems, fmt.Sprintf("%s is in the namespace %v, want %s", o, o.get("metadata namespace"), namespace))
		}
		for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} {
			if o.get("metadata labels "+label) == nil {
				problems = append(problems, fmt.Sprintf("%s has no label %s", o, label))
			}
		}
	}
	return problems
}

// restricted: every pod may run where the pod security level "restricted" is enforced.
func (i inspector) restricted(pods []pod) (problems []string) {
	for _, p := range pods {
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		for _, result := range i.security.EvaluatePod(level, &p.meta, &p.spec) {
			if !result.Allowed {
				problems = append(problems, fmt.Sprintf("the pod of %s is not restricted: %s: %s", p.of, result.ForbiddenReason, result.ForbiddenDetail))
			}
		}
		for _, c := range p.spec.Containers {
			if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
				problems = append(problems, fmt.Sprintf("the root file system of %s in %s is not read-only", c.Name, p.of))
			}
		}
	}
	return problems
}

// selections: what selects pods selects the nodes, and no job's.
func selections(t testing.TB, r rendering, pods []pod) (problems []string) {
	selectors := make(map[string]map[string]string)
	for _, o := range r.ofKind("Service") {
		selectors[o.String()] = into[map[string]string](t, o.get("spec selector"))
	}
	for _, o := range r.ofKind("PodDisruptionBudget", "StatefulSet") {
		selectors[o.String()] = into[map[string]string](t, o.get("spec selector matchLabels"))
	}
	for _, o := range r.ofKind("NetworkPolicy") {
		selectors[o.String()] = into[map[string]string](t, o.get("spec podSelector matchLabels"))
	}
	set := into[appsv1.StatefulSet](t, r.must(t, r.ofKind("StatefulSet")[0].String()).body)
	for n, c := range set.Spec.Template.Spec.TopologySpreadConstraints {
		selectors[fmt.Sprintf("spread constraint %d", n)] = c.LabelSelector.MatchLabels
	}
	for who, selector := range selectors {
		for _, p := range pods {
			selected := len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(p.meta.Labels))
			if want := p.of.kind == "StatefulSet"; selected != want {
				problems = append(problems, fmt.Sprintf("%s selects the pod of %s: %v, want %v", who, p.of, selected, want))
			}
		}
	}
	for _, p := range pods {
		if p.of.kind == "StatefulSet" && set.Spec.ServiceName != "" {
			if _, ok := r.find("Service/" + set.Spec.ServiceName); !ok {
				problems = append(problems, fmt.Sprintf("no service %s, which names the nodes", set.Spec.ServiceName))
			}
		}
	}
	return problems
}

// references: what pods name is in the release, or comes from outside by intention.
func references(r rendering, pods []pod) (problems []string) {
	outside := []string{"ServiceAccount/"} // "default"
	for _, o := range r.ofKind("Certificate") {
		name, _ := o.get("spec secretName").(string)
		outside = append(outside, "Secret/"+name)
	}
	for _, o := range r.ofKind("Job") {
		for _, arg := range o.get("spec template spec containers holdfast args").([]any) {
			if name, ok := strings.CutPrefix(arg.(string), "--name="); ok {
				outside = append(outside, "Secret/"+name)
			}
		}
	}
	for _, p := range pods {
		for _, id := range named(p.spec) {
			_, inside := r.find(id)
			yours := strings.HasPrefix(id, "Secret/my-") || strings.HasPrefix(id, "ConfigMap/my-")
			if !inside && !yours && !slices.Contains(outside, id) {
				problems = append(problems, fmt.Sprintf("%s refers to %s, which is not there", p.of, id))
			}
		}
		volumes := make(map[string]bool)
		for _, v := range p.spec.Volumes {
			volumes[v.Name] = true
		}
		if p.of.kind == "StatefulSet" {
			volumes["data"] = p.of.get("spec volumeClaimTemplates 0 metadata name") == "data"
		}
		for _, m := range p.spec.Containers[0].VolumeMounts {
			if !volumes[m.Name] {
				problems = append(problems, fmt.Sprintf("%s mounts %s, which is no volume", p.of, m.Name))
			}
		}
	}
	return problems
}

// named gives the objects that a pod refers to.
func named(spec corev1.PodSpec) (ids []string) {
	ids = append(ids, "ServiceAccount/"+spec.ServiceAccountName)
	for _, v := range spec.Volumes {
		if v.Secret != nil {
			ids = append(ids, "Secret/"+v.Secret.SecretName)
		}
	}
	for _, c := range spec.Containers {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
				ids = append(ids, "ConfigMap/"+e.ValueFrom.ConfigMapKeyRef.Name)
			}
		}
	}
	return ids
}

// rights: no pod has a token of Kubernetes but the one that makes the secret.
func rights(pods []pod) (problems []string) {
	for _, p := range pods {
		want := strings.HasSuffix(p.of.name, "-make-secret")
		if got := p.spec.AutomountServiceAccountToken; got == nil || *got != want {
			problems = append(problems, fmt.Sprintf("%s mounts a token: %v, want %v", p.of, got, want))
		}
		if links := p.spec.EnableServiceLinks; links == nil || *links {
			problems = append(problems, fmt.Sprintf("%s gets variables of services, which begin like the nodes' own", p.of))
		}
	}
	return problems
}

// The inspector must find what it looks for.
func TestInspectorCatches(t *testing.T) {
	c, i := loadChart(t), newInspector(t)
	for _, broken := range []struct {
		values, object, path string
		value                any
		problem              string
	}{
		{"", "StatefulSet/holdfast", "spec template spec containers holdfast securityContext allowPrivilegeEscalation", true, "not restricted"},
		{"", "StatefulSet/holdfast", "spec template spec containers holdfast securityContext readOnlyRootFilesystem", false, "not read-only"},
		{"", "StatefulSet/holdfast", "spec template spec automountServiceAccountToken", true, "mounts a token"},
		{"", "StatefulSet/holdfast", "spec template spec serviceAccountName", "else", "not there"},
		{"", "StatefulSet/holdfast", "spec template spec volumes 0 secret secretName", "else", "not there"},
		{"", "StatefulSet/holdfast", "spec template spec volumes 0 name", "else", "no volume"},
		{"", "StatefulSet/holdfast", "spec serviceName", "else", "which names the nodes"},
		{"", "StatefulSet/holdfast", "metadata namespace", "else", "is in the namespace"},
		{"", "Service/holdfast", "spec selector app.kubernetes.io/instance", "else", "selects the pod"},
		{"", "Service/holdfast", "spec selector", map[string]any{"app.kubernetes.io/name": "holdfast"}, "selects the pod of Job"},
		{"", "Service/holdfast", "metadata name", "holdfast-admin", ""},
	} {
		r := mustRender(t, c, parseValues(t, broken.values))
		o := r.must(t, broken.object)
		set(t, o.body, broken.path, broken.value)
		if broken.path == "metadata name" {
			r.objects = append(r.objects, r.must(t, "Service/holdfast-admin"))
			broken.problem = "there twice"
		}
		problems := i.problems(t, r)
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, broken.problem) }) {
			t.Errorf("%s with %s = %v: problems %q, want one with %q", o, broken.path, broken.value, problems, broken.problem)
		}
	}
}

// set changes what is at a path.
func set(t *testing.T, body map[string]any, path string, value any) {
	t.Helper()
	keys := strings.Fields(path)
	last := len(keys) - 1
	parent, ok := get(body, strings.Join(keys[:last], " ")).(map[string]any)
	if !ok {
		t.Fatalf("nothing is at %q", path)
	}
	parent[keys[last]] = value
}

// What Kubernetes refuses to change stays as it is, whatever an upgrade brings; and
// neither another version of the chart nor another number of replicas restarts nodes.
func TestUpgradesChangeWhatMayChange(t *testing.T) {
	before := mustRender(t, loadChart(t), nil).must(t, "StatefulSet/holdfast")
	c := loadChart(t)
	c.Metadata.Version, c.Metadata.AppVersion = "9.9.9", "9.9.9"
	after := mustRender(t, c, parseValues(t, `{replicas: 5, image: {tag: 0.1.0}, commonLabels: {team: blue}}`)).must(t, "StatefulSet/holdfast")
	if same := fmt.Sprint(before.get("spec template")) == fmt.Sprint(after.get("spec template")); !same {
		t.Errorf("the pods change:\n%v\n%v", before.get("spec template"), after.get("spec template"))
	}
	if same := fmt.Sprint(immutable(before)) == fmt.Sprint(immutable(after)); !same {
		t.Errorf("the StatefulSet cannot be upgraded:\n%v\n%v", immutable(before), immutable(after))
	}
	changed := mustRender(t, c, parseValues(t, `{persistence: {size: 20Gi}}`)).must(t, "StatefulSet/holdfast")
	if fmt.Sprint(immutable(before)) == fmt.Sprint(immutable(changed)) {
		t.Error("immutable does not see another size of the volumes")
	}
}

// immutable gives what Kubernetes does not let a StatefulSet change.
func immutable(o object) map[string]any {
	spec := maps.Clone(o.get("spec").(map[string]any))
	for _, key := range []string{"replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "revisionHistoryLimit"} {
		delete(spec, key)
	}
	return spec
}
