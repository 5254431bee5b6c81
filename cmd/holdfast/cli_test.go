package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// command runs a command line in this process; it must not start a node.
func command(t *testing.T, environment map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, surroundings{
		lookupEnv: func(name string) (string, bool) { value, ok := environment[name]; return value, ok },
		stdout:    &out,
		stderr:    &errs,
		die:       func() { t.Error("the command ended the process") },
	})
	return code, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		args        []string
		want        []string // all of them are in stderr
	}{
		{"unknown flag", nil, []string{"--nonsense"}, []string{"unknown flag: --nonsense", "--help"}},
		{"unknown command", nil, []string{"dance"}, []string{`unknown command "dance"`}},
		{"argument of version", nil, []string{"version", "now"}, []string{"now"}},
		{"not a number", nil, []string{"--shards", "many"}, []string{"--shards", "many"}},
		{"shards", nil, []string{"--shards", "33"}, []string{"--shards", "power of two"}},
		{"in serve", nil, []string{"serve", "--shards", "0"}, []string{"--shards", "power of two"}},
		{
			"all at once", nil,
			[]string{"--http", "nowhere", "--admin", "1.2.3.4:http-ish", "--name", "a/b", "--log-level", "loud", "--log-format", "xml", "--idle-timeout", "0s", "--data", "", "--max-message-bytes", "100000000", "--origin", "example.com"},
			[]string{"--http is", "--admin is", "--name is", "--log-level is", "--log-format is", "--idle-timeout is", "--data is", "--max-message-bytes is", "example.com"},
		},
		{"same address", nil, []string{"--http", "127.0.0.1:9", "--admin", "127.0.0.1:9"}, []string{"--http and --admin are both"}},
		{
			"environment",
			map[string]string{"HOLDFAST_SHARDS": "x", "HOLDFAST_IDLE_TIMEOUT": "y"},
			nil,
			[]string{"HOLDFAST_SHARDS", "HOLDFAST_IDLE_TIMEOUT"},
		},
		{"environment in range", map[string]string{"HOLDFAST_MAX_OBJECTS": "-1"}, nil, []string{"--max-objects is -1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, _, stderr := command(t, test.environment, test.args...)
			if code != exitUsage {
				t.Errorf("exit code of %v = %d, want %d", test.args, code, exitUsage)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr of %v = %q, want %q in it", test.args, stderr, want)
				}
			}
		})
	}
}

func TestEnvironmentAndFlags(t *testing.T) {
	environment := map[string]string{
		"HOLDFAST_HTTP": "127.0.0.1:1", "HOLDFAST_NAME": "from-environment", "HOLDFAST_ORIGIN": "https://a.example,https://b.example",
		"HOLDFAST_HELP": "true", "HOLDFAST_JOIN": "x:1",
	}
	cmd := newServeCommand(surroundings{})
	if err := cmd.ParseFlags([]string{"--http", "127.0.0.1:2"}); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { value, ok := environment[name]; return value, ok }
	if err := setFromEnvironment(cmd.Flags(), lookup); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"http": "127.0.0.1:2", "name": "from-environment", "origin": "[https://a.example,https://b.example]", "help": "", "join": "[x:1]",
	} {
		got := ""
		if f := cmd.Flags().Lookup(flag); f != nil {
			got = f.Value.String()
		}
		if got != want {
			t.Errorf("--%s = %q, want %q", flag, got, want)
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	code, stdout, _ := command(t, nil, "--help")
	if code != 0 {
		t.Errorf("exit code of --help = %d, want 0", code)
	}
	for _, want := range []string{"curl -X POST", "HOLDFAST_MAX_BODY_BYTES", "--http", "--bootstrap-expect", "--cluster-key-file", "completion", "version", "SIGTERM"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("help does not mention %q:\n%s", want, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := command(t, nil, "version")
	if code != 0 || !strings.HasPrefix(stdout, "holdfast ") || stderr != "" {
		t.Errorf("version = %d, %q, %q, want 0 and a line that begins with holdfast", code, stdout, stderr)
	}
	var b build
	code, stdout, _ = command(t, nil, "version", "-o", "json")
	if err := json.Unmarshal([]byte(stdout), &b); code != 0 || err != nil || b != readBuild() || b.Version == "" || b.Arch == "" {
		t.Errorf("version -o json = %d, %q, want what is known", code, stdout)
	}
}

func TestHostNodeName(t *testing.T) {
	if name := hostNodeName(); name == "" || validateName(name) != nil {
		t.Errorf("hostNodeName() = %q, want a valid name", name)
	}
}

// Each of these is one clear line and exit code 1, and damages nothing.
func TestBinaryRefuses(t *testing.T) {
	client := newClient(t, nil)
	dir := filepath.Join(t.TempDir(), "data")
	running := startProcess(t, dir, "--name", "first")

	foreign := t.TempDir()
	precious := filepath.Join(foreign, "precious.txt")
	if err := os.WriteFile(precious, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()

	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"directory in use", []string{"--data", dir}, []string{"in use", dir}},
		{"foreign directory", []string{"--data", foreign}, []string{foreign, "precious.txt"}},
		{"a file", []string{"--data", file}, []string{file}},
		{"port in use", []string{"--data", filepath.Join(t.TempDir(), "a"), "--http", port}, []string{"--http", port, "in use"}},
		{"admin port in use", []string{"--data", filepath.Join(t.TempDir(), "b"), "--admin", port}, []string{"--admin", port, "in use"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := tryProcess(t, append([]string{"--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, test.args...)...)
			if err == nil {
				t.Fatalf("the binary started with %v, want it to refuse", test.args)
			}
			if code := p.cmd.ProcessState.ExitCode(); code != exitFailure {
				t.Errorf("exit code = %d, want %d", code, exitFailure)
			}
			if lines := strings.Count(err.Error(), "\n"); lines != 1 {
				t.Errorf("stderr has %d lines, want 1:\n%s", lines, err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("stderr = %q, want %q in it", err, want)
				}
			}
		})
	}
	if names, err := os.ReadDir(foreign); err != nil || len(names) != 1 {
		t.Errorf("foreign directory holds %v (%v), want what it held", names, err)
	}

	// The node that was there first has noticed nothing.
	if got := post(t, client, running.clients+"/objects/Counter/still/increment"); got != `{"value":1}` {
		t.Errorf("increment = %s, want 1", got)
	}
	if code := running.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0\n%s", code, running.stderr)
	}

	if _, err := tryProcess(t, "--data", dir, "--name", "second", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), `"first"`) {
		t.Errorf("start under another name = %v, want an error that gives the recorded name", err)
	}
	again := startProcess(t, dir)
	if got := post(t, client, again.clients+"/objects/Counter/still/increment"); got != `{"value":2}` {
		t.Errorf("increment after a restart = %s, want 2", got)
	}
	if code := again.stop(t, syscall.SIGINT); code != 0 {
		t.Errorf("exit code after SIGINT = %d, want 0\n%s", code, again.stderr)
	}
}

func TestBinaryAnswersOperators(t *testing.T) {
	client := newClient(t, nil)
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "--log-format", "json")
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		if got := get(t, client, p.operators+path); got != "ok\n" {
			t.Errorf("GET %s = %q, want ok", path, got)
		}
	}
	post(t, client, p.clients+"/objects/Counter/a/increment")
	metrics := get(t, client, p.operators+"/metrics")
	for _, want := range []string{
		"holdfast_build_info{", "holdfast_activations 1", `holdfast_commit_duration_seconds_count{outcome="committed"} 1`,
		`holdfast_requests_total{class="Counter",code="2xx"} 1`, "holdfast_shards_owned 32", "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0", code)
	}
	for line := range strings.Lines(p.stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("log line %q is not JSON", line)
		}
	}
}

// A second signal does not wait for what the first one waits for.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "--stop-timeout", "10m")
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.clients, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request whose body does not come keeps a graceful stop waiting.
	io.WriteString(conn, "POST /objects/Counter/a/increment HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.stderr.await(t, "a second signal ends the node at once")
	if code := p.stop(t, syscall.SIGTERM); code == 0 {
		t.Error("exit code after a second signal = 0, want it to be an end by signal")
	}
}
