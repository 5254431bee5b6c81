package checks

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const composeFile = "../../deploy/compose.yaml"

// compose is what matters here of a compose file, and all that ours may say.
type compose struct {
	Name        string         `json:"name"`
	Node        any            `json:"x-node"`
	Environment any            `json:"x-environment"`
	Volumes     map[string]any `json:"volumes"`
	Secrets     map[string]struct {
		File string `json:"file"`
	} `json:"secrets"`
	Services map[string]composeService `json:"services"`
}

type composeService struct {
	Image string `json:"image"`
	Build struct {
		Context    string `json:"context"`
		Dockerfile string `json:"dockerfile"`
	} `json:"build"`
	User        string            `json:"user"`
	ReadOnly    bool              `json:"read_only"`
	CapDrop     []string          `json:"cap_drop"`
	SecurityOpt []string          `json:"security_opt"`
	Secrets     []string          `json:"secrets"`
	Restart     string            `json:"restart"`
	StopGrace   string            `json:"stop_grace_period"`
	Environment map[string]string `json:"environment"`
	Ports       []string          `json:"ports"`
	Volumes     []string          `json:"volumes"`
	Health      struct {
		Test        []string `json:"test"`
		Interval    string   `json:"interval"`
		Timeout     string   `json:"timeout"`
		Retries     int      `json:"retries"`
		StartPeriod string   `json:"start_period"`
	} `json:"healthcheck"`
}

func readCompose(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dockerfileEnv gives the variables that the image sets.
func dockerfileEnv(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	environment := make(map[string]string)
	for _, match := range regexp.MustCompile(`\b(HOLDFAST_\w+)=(\S+)`).FindAllStringSubmatch(string(text), -1) {
		environment[match[1]] = match[2]
	}
	if environment["HOLDFAST_DATA"] == "" {
		t.Fatal("deploy/Dockerfile cannot be read any more")
	}
	return environment
}

// composeProblems says what is wrong with a compose file.
func composeProblems(t testing.TB, text string, b binary, image string, imageEnv map[string]string) (problems []string) {
	t.Helper()
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	var c compose
	if err := yaml.UnmarshalStrict([]byte(text), &c); err != nil {
		return []string{err.Error()}
	}
	names := slices.Sorted(maps.Keys(c.Services))
	if len(names) != 3 {
		say("%d nodes, want 3", len(names))
	}
	taken := make(map[string]string)
	once := func(node, what string) {
		if taken[what] != "" {
			say("%s and %s both have %s", taken[what], node, what)
		}
		taken[what] = node
	}
	for _, name := range names {
		s := c.Services[name]
		say := func(format string, args ...any) { say(name+": "+format, args...) }
		if s.Image != "${HOLDFAST_IMAGE:-"+image+"}" {
			say("the image is %s, want %s", s.Image, image)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(composeFile), s.Build.Context, s.Build.Dockerfile)); err != nil {
			say("nothing to build: %v", err)
		}
		if s.User != "65532:65532" || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			say("it may do more than it needs: %+v", s)
		}
		if s.Restart != "unless-stopped" {
			say("restart is %q", s.Restart)
		}
		for _, port := range s.Ports {
			once(name, "port "+port)
			if !regexp.MustCompile(`^127\.0\.0\.1:\d+:8080$`).MatchString(port) {
				say("port %s is not the clients', on loopback", port)
			}
		}
		if len(s.Ports) != 1 || len(s.Volumes) != 1 {
			say("%d ports and %d volumes, want one of each", len(s.Ports), len(s.Volumes))
		}
		for _, volume := range s.Volumes {
			once(name, "volume "+volume)
			source, target, _ := strings.Cut(volume, ":")
			if _, ok := c.Volumes[source]; !ok || target != imageEnv["HOLDFAST_DATA"] {
				say("volume %s is not there, or not where the data is", volume)
			}
		}
		for _, secret := range s.Secrets {
			if file := c.Secrets[secret].File; file == "" || !strings.Contains(text, secret) {
				say("secret %s is nowhere", secret)
			}
		}
		if s.Environment["HOLDFAST_NAME"] != name {
			say("the node is called %q", s.Environment["HOLDFAST_NAME"])
		}
		var seeds []string
		for _, n := range names {
			seeds = append(seeds, n+":7946")
		}
		if s.Environment["HOLDFAST_JOIN"] != strings.Join(seeds, ",") || s.Environment["HOLDFAST_BOOTSTRAP_EXPECT"] != strconv.Itoa(len(names)) {
			say("it does not look for all nodes: %v", s.Environment)
		}
		problems = append(problems, b.refuses(t, name, s, imageEnv)...)
		problems = append(problems, b.outlives(t, name, s)...)
	}
	return problems
}

// refuses has the real binary read the service's variables and command of its health check.
func (b binary) refuses(t testing.TB, name string, s composeService, imageEnv map[string]string) (problems []string) {
	t.Helper()
	nowhere := filepath.Join(t.TempDir(), "secrets")
	environment := maps.Clone(imageEnv)
	for variable, value := range s.Environment {
		if _, ok := b.flags[variable]; !ok {
			problems = append(problems, fmt.Sprintf("%s: there is no %s", name, variable))
		}
		path, isSecret := strings.CutPrefix(value, "/run/secrets/")
		if isSecret && !slices.Contains(s.Secrets, path) {
			problems = append(problems, fmt.Sprintf("%s: %s is a secret that it does not get", name, value))
		}
		if isSecret {
			value = filepath.Join(nowhere, path)
		}
		environment[variable] = value
	}
	// Good as they are, the node gets as far as the token, which is not there.
	if said, code := b.run(t, environment, "serve"); code != 1 || !strings.Contains(said, filepath.Join(nowhere, "admin.token")) {
		problems = append(problems, fmt.Sprintf("%s: the node says %q and ends with %d, want it to look for its token", name, said, code))
	}
	if len(s.Health.Test) < 2 || s.Health.Test[0] != "CMD" || s.Health.Test[1] != "/holdfast" {
		return append(problems, fmt.Sprintf("%s: the health check is %v", name, s.Health.Test))
	}
	if said, code := b.run(t, map[string]string{"HOLDFAST_ADMIN": "127.0.0.1:1"}, s.Health.Test[2:]...); code != 1 {
		problems = append(problems, fmt.Sprintf("%s: the health check %v of nobody says %q and ends with %d, want 1", name, s.Health.Test, said, code))
	}
	return problems
}

// outlives checks times: nobody kills a node that stops gracefully, or ends a health
// check before the node has said why.
func (b binary) outlives(t testing.TB, name string, s composeService) (problems []string) {
	t.Helper()
	const handOver, rest, healthTimeout = 10 * time.Second, 10 * time.Second, 5 * time.Second // docs/operating.md, holdfast health
	stop := handOver + rest
	for _, variable := range []string{"HOLDFAST_STOP_TIMEOUT", "HOLDFAST_CLOSE_SPREAD"} {
		value, set := s.Environment[variable]
		if !set {
			value = b.flags[variable]
		}
		stop += duration(t, value)
	}
	if grace := duration(t, s.StopGrace); grace <= stop {
		problems = append(problems, fmt.Sprintf("%s: killed after %v, and a stop may take %v", name, grace, stop))
	}
	if timeout := duration(t, s.Health.Timeout); timeout <= healthTimeout || duration(t, s.Health.Interval) <= 0 || duration(t, s.Health.StartPeriod) <= 0 || s.Health.Retries < 1 {
		problems = append(problems, fmt.Sprintf("%s: the health check's times are %+v", name, s.Health))
	}
	return problems
}

func duration(t testing.TB, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return d
}

// imageOf gives the image of this version, as the chart has it.
func imageOf(t testing.TB) string {
	t.Helper()
	c := loadChart(t)
	repository, _ := get(c.Values, "image repository").(string)
	return repository + ":" + c.Metadata.AppVersion
}

func TestCompose(t *testing.T) {
	b, text, image, environment := buildBinary(t), readCompose(t), imageOf(t), dockerfileEnv(t)
	for _, problem := range composeProblems(t, text, b, image, environment) {
		t.Error(problem)
	}
	for name, edit := range map[string][2]string{
		"an unknown field":         {"read_only:", "readonly:"},
		"another image":            {"holdfast:0.1.0", "holdfast:latest"},
		"nothing to build":         {"deploy/Dockerfile", "Dockerfile"},
		"root":                     {`user: "65532:65532"`, `user: "0:0"`},
		"a file system to write":   {"read_only: true", "read_only: false"},
		"capabilities":             {"cap_drop: [ALL]", "cap_drop: []"},
		"no restart":               {"unless-stopped", "no-thanks"},
		"an unknown variable":      {"HOLDFAST_BOOTSTRAP_EXPECT", "HOLDFAST_BOOTSTRAP"},
		"a bad value":              {"HOLDFAST_JOIN:", "HOLDFAST_SHARDS: seven\n  HOLDFAST_JOIN:"},
		"a value out of bounds":    {"HOLDFAST_JOIN:", "HOLDFAST_SHARDS: \"7\"\n  HOLDFAST_JOIN:"},
		"a node that is not there": {"node-3:7946", "node-4:7946"},
		"two of a name":            {"HOLDFAST_NAME: node-2", "HOLDFAST_NAME: node-1"},
		"no secret":                {"secrets: [cluster.key, admin.token]", "secrets: [cluster.key]"},
		"a secret from nowhere":    {"file: secrets/cluster.key", "file: \"\""},
		"an open door":             {`"127.0.0.1:8180:8080"`, `"8180:8080"`},
		"a port twice":             {"127.0.0.1:8180", "127.0.0.1:8080"},
		"a volume twice":           {`"node-2:/data"`, `"node-1:/data"`},
		"data elsewhere":           {`"node-2:/data"`, `"node-2:/var"`},
		"too short a grace period": {"stop_grace_period: 45s", "stop_grace_period: 41s"},
		"a longer stop":            {"HOLDFAST_JOIN:", "HOLDFAST_STOP_TIMEOUT: 30s\n  HOLDFAST_JOIN:"},
		"an impatient check":       {"timeout: 6s", "timeout: 5s"},
		"an unknown question":      {"/holdfast, health]", "/holdfast, wealth]"},
	} {
		broken := strings.Replace(text, edit[0], edit[1], 1)
		if broken == text || len(composeProblems(t, broken, b, image, environment)) == 0 {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
