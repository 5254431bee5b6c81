package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// kills is how often TestKill kills the node; `make kill` asks for more.
var kills = flag.Int("kills", 3, "how often TestKill kills the node")

// failovers is how often TestFailover kills a node; `make failover` asks for more.
var failovers = flag.Int("failovers", 3, "how often TestFailover kills a node; it freezes one a third as often")

// sockets is how many TestSocketsOutliveTheOwner opens; `make sockets` asks for more.
var sockets = flag.Int("sockets", 50, "how many sockets TestSocketsOutliveTheOwner opens")

// planned runs the tests in which nothing happens that a client may notice. They
// fail on a machine that is too busy for nodes to keep their leaderships.
var planned = flag.Bool("planned", false, "run TestRollingRestart and TestGrowAndShrink")

// testDir holds the binary for all tests; binary builds it when the first needs it.
var (
	testDir string
	binary  = sync.OnceValues(func() (string, error) {
		path := filepath.Join(testDir, "holdfast")
		out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if testDir, err = os.MkdirTemp("", "holdfast-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(testDir)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(libraryLeaks()...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
