package checks

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// binary is the real holdfast, by which the files of deploy/ call it.
type binary struct {
	path  string
	flags map[string]string // of serve, by the names of their variables, with their defaults
}

var helpFlag = regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+) .*?(?:\(default "?([^")]*)"?\))?$`)

func buildBinary(t testing.TB) binary {
	t.Helper()
	b := binary{path: filepath.Join(t.TempDir(), "holdfast"), flags: make(map[string]string)}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", b.path, "./cmd/holdfast")
	build.Dir = repoDir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	help, _ := b.run(t, nil, "serve", "--help")
	for _, flag := range helpFlag.FindAllStringSubmatch(help, -1) {
		b.flags["HOLDFAST_"+strings.ToUpper(strings.ReplaceAll(flag[1], "-", "_"))] = flag[2]
	}
	if b.flags["HOLDFAST_STOP_TIMEOUT"] != "20s" || len(b.flags) < 20 {
		t.Fatalf("flags = %v: the help cannot be read any more:\n%s", b.flags, help)
	}
	return b
}

// run gives what a command says, and its exit code.
func (b binary) run(t testing.TB, environment map[string]string, args ...string) (said string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.path, args...)
	cmd.Env = []string{"HOME=" + os.Getenv("HOME")}
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}
