package checks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Whatever the values are, the chart calls the real binary by commands, flags and
// variables that it has.
func TestCommands(t *testing.T) {
	c, b := loadChart(t), buildBinary(t)
	known := make(map[string]string) // commands that were tried, with what is wrong with them
	for _, row := range rows() {
		r := mustRender(t, c, parseValues(t, row.values))
		for _, problem := range b.misunderstood(t, r, known) {
			t.Errorf("%s: %s", row.name, problem)
		}
	}
	if len(known) < 4 {
		t.Errorf("%d commands were tried, want those of nodes, of the jobs and of the test: %v", len(known), known)
	}
}

// TestCommandsCatch: a wrong flag, command or variable is noticed.
func TestCommandsCatch(t *testing.T) {
	b := buildBinary(t)
	sound := mustRender(t, loadChart(t), nil)
	for _, wrong := range []struct{ from, to string }{
		{"- serve", "- server"},
		{"- serve", "- serve\n            - --no-such-flag"},
		{"HOLDFAST_JOIN", "HOLDFAST_JOINS"},
	} {
		r := rendering{}
		for _, o := range sound.objects {
			if o.kind == "StatefulSet" {
				changed, err := parseObjects(strings.Replace(o.text, wrong.from, wrong.to, 1))
				if err != nil {
					t.Fatal(err)
				}
				o = changed[0]
			}
			r.objects = append(r.objects, o)
		}
		if problems := b.misunderstood(t, r, make(map[string]string)); len(problems) != 1 {
			t.Errorf("with %q in place of %q: problems = %q, want one", wrong.to, wrong.from, problems)
		}
	}
}

// misunderstood says what the binary does not know of what a release asks of it.
func (b binary) misunderstood(t testing.TB, r rendering, known map[string]string) (problems []string) {
	t.Helper()
	variable := func(where, name string) {
		if strings.HasPrefix(name, "HOLDFAST_") && !b.has(name) {
			problems = append(problems, fmt.Sprintf("%s sets %s, which no flag reads", where, name))
		}
	}
	for _, o := range r.ofKind("ConfigMap") {
		data, _ := o.get("data").(map[string]any)
		for name := range data {
			variable(o.String(), name)
		}
	}
	for _, p := range podsOf(t, r) {
		for _, container := range slices.Concat(p.spec.InitContainers, p.spec.Containers) {
			for _, e := range container.Env {
				variable(p.of.String(), e.Name)
			}
			for _, args := range commandsOf(container) {
				line := strings.Join(args, " ")
				if _, tried := known[line]; !tried {
					known[line] = b.refusal(t, args)
				}
				if known[line] != "" {
					problems = append(problems, fmt.Sprintf("%s calls holdfast %s: %s", p.of, line, known[line]))
				}
			}
		}
	}
	return problems
}

func (b binary) has(variable string) bool {
	_, ok := b.flags[variable]
	return ok
}

// commandsOf gives the arguments of all that a container runs: itself, its hooks and
// its probes.
func commandsOf(c corev1.Container) (all [][]string) {
	all = append(all, c.Args)
	exec := func(action *corev1.ExecAction) {
		if action != nil && len(action.Command) > 0 {
			all = append(all, action.Command[1:])
		}
	}
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		exec(c.Lifecycle.PreStop.Exec)
	}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe != nil {
			exec(probe.Exec)
		}
	}
	return all
}

// refusal says why the binary does not take a command line. With --help at its end it
// reads the line, and does nothing.
func (b binary) refusal(t testing.TB, args []string) string {
	t.Helper()
	said, code := b.run(t, nil, append(slices.Clone(args), "--help")...)
	usage := "holdfast " + args[0]
	if code != 0 || !strings.Contains(said, usage) {
		return fmt.Sprintf("ends with %d: %s", code, said)
	}
	return ""
}
