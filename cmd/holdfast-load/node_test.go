package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A real node takes all that is asked of it, so the fake answers as nodes do.
func TestRunOfANode(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts a real node")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "holdfast")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../holdfast").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	node := exec.CommandContext(t.Context(), binary, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	node.Stderr = os.Stderr
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	for lines := bufio.NewScanner(stdout); f.url == "" && lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == "clients" {
			f.url = fields[1]
		}
	}
	r, err := runFake(t, f, "--sockets", "12")
	if err != nil {
		t.Errorf("run = %v, want no error", err)
	}
	if d, s := r.Total.Doors[0], r.Total.Talk; d.Done != d.Requests || d.Done == 0 || s.Heard != s.Said || s.Heard == 0 {
		t.Errorf("the report says %+v and %+v, want that all was done and heard", d, s)
	}
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := node.Wait(); err != nil {
		t.Errorf("the node ends with %v", err)
	}
}
