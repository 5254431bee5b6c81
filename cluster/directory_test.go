package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// holdEnv makes the test binary hold a data directory instead of testing.
const holdEnv = "HOLDFAST_TEST_HOLD_DIRECTORY"

// TestHoldDirectory is no test of its own: TestSecondProcess runs it in a second process.
func TestHoldDirectory(t *testing.T) {
	path := os.Getenv(holdEnv)
	if path == "" {
		t.Skip("runs only as the second process of TestSecondProcess")
	}
	d, err := openDirectory(vfs.Default, path, "a", "")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stdout, "held")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent closes it
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcess(t *testing.T) {
	path := t.TempDir() + "/data"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldDirectory$")
	cmd.Env = append(os.Environ(), holdEnv+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the second process said %q, %v", line, err)
	}
	_, err = Open(t.Context(), Config{Dir: path, Name: "a"})
	if !errors.Is(err, ErrDirectoryInUse) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("Open of a held directory = %v, want ErrDirectoryInUse with the path and process %d", err, cmd.Process.Pid)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the second process: %v", err)
	}
	n, err := Open(t.Context(), Config{Dir: path})
	if err != nil {
		t.Fatalf("Open after the other process has gone: %v", err)
	}
	if _, err := Open(t.Context(), Config{Dir: path}); !errors.Is(err, ErrDirectoryInUse) {
		t.Errorf("second Open in the same process = %v, want ErrDirectoryInUse", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// tree lists all files below a directory with their contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			files[path] = "directory"
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDirectoryRefused: what is not a data directory of this node and version
// gives a clear error, and nothing in it is touched.
func TestDirectoryRefused(t *testing.T) {
	const id = `"name":"a","directory_id":"0011223344556677"`
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  error
	}{
		{"foreign", map[string]string{"letter.txt": "dear"}, ErrForeignDirectory},
		{"foreign with our names", map[string]string{"log/x": "", "LOCK": ""}, ErrForeignDirectory},
		{"later version", map[string]string{identityFile: `{"version":2,` + id + `}`}, ErrUnknownVersion},
		{"no version", map[string]string{identityFile: `{` + id + `}`}, ErrUnknownVersion},
		{"other name", map[string]string{identityFile: `{"version":1,"name":"b","directory_id":"0011223344556677"}`}, ErrWrongName},
		{"torn identity", map[string]string{identityFile: `{"version":1,"na`}, ErrCorrupt},
		{"empty identity", map[string]string{identityFile: ``}, ErrCorrupt},
		{"bad name", map[string]string{identityFile: `{"version":1,"name":"/","directory_id":"0011223344556677"}`}, ErrCorrupt},
		{"bad directory ID", map[string]string{identityFile: `{"version":1,"name":"a","directory_id":"00"}`}, ErrCorrupt},
		{"cluster without control group", map[string]string{identityFile: `{"version":1,` + id + `,"cluster_id":"c"}`}, ErrDataLoss},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range tt.files {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, dir)
			_, err := Open(t.Context(), Config{Dir: dir, Name: "a"})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Open = %v, want %v with the path %s", err, tt.want, dir)
			}
			after := tree(t, dir)
			for path, data := range before {
				if after[path] != data {
					t.Errorf("%s was changed from %q to %q", path, data, after[path])
				}
			}
			if errors.Is(tt.want, ErrForeignDirectory) && len(after) != len(before) {
				t.Errorf("a foreign directory has %d files, had %d", len(after), len(before))
			}
		})
	}
}

func TestDirectoryNeedsName(t *testing.T) {
	if _, err := Open(t.Context(), Config{Dir: t.TempDir() + "/new"}); err == nil || !strings.Contains(err.Error(), "name") {
		t.Errorf("Open of a new directory without a name = %v, want an error that says so", err)
	}
}

func TestDirectoryInFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: path, Name: "a"}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open of a file = %v, want an error with the path", err)
	}
}

// TestDamagedFiles spoils one file after the other of a stopped node: the start
// fails with a clear error or succeeds with everything, and never with less.
func TestDamagedFiles(t *testing.T) {
	flip := func(path string, data []byte) error {
		data = bytes.Clone(data)
		for i := range 64 {
			data[len(data)/3+i*len(data)/100] ^= 0x5a
		}
		return os.WriteFile(path, data, 0o600)
	}
	for name, spoil := range map[string]func(path string, data []byte) error{
		"flip":     flip,
		"truncate": func(path string, data []byte) error { return os.Truncate(path, int64(len(data)/2)) },
		"remove":   func(path string, _ []byte) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			cfg := Config{Dir: dir, Name: "a", Shards: 2, FS: vfs.Default}
			n := startNode(t, cfg)
			for i := range 50 {
				if err := n.write(0, fmt.Sprint(i, strings.Repeat("y", 500))); err != nil {
					t.Fatal(err)
				}
			}
			n.stop(t)
			before := tree(t, dir)
			refused := map[string]error{}
			for path, data := range before {
				if data == "directory" || len(data) == 0 || strings.HasPrefix(path, filepath.Join(dir, stateDir)) {
					continue
				}
				if err := spoil(path, []byte(data)); err != nil {
					t.Fatal(err)
				}
				refused[path] = startDamaged(t, cfg, path)
				restoreTree(t, dir, before)
			}
			for _, path := range []string{"holdfast.json", "control/raft.db"} {
				if refused[filepath.Join(dir, path)] == nil {
					t.Errorf("a node with a spoiled %s started", path)
				}
			}
		})
	}
}

// startDamaged starts a node with a damaged file and gives the error; a node that
// starts must have everything.
func startDamaged(t *testing.T, cfg Config, path string) error {
	t.Helper()
	n, err := tryStart(t, cfg)
	if err != nil {
		told := errors.Is(err, ErrCorrupt) || errors.Is(err, ErrDataLoss) || errors.Is(err, ErrForeignDirectory) || errors.Is(err, ErrUnknownVersion)
		if !told || !strings.Contains(err.Error(), cfg.Dir) {
			t.Errorf("with %s spoiled: %v, want an error that says what it is and where", path, err)
		}
		return err
	}
	defer n.stop(t)
	if got, err := n.state.list(0); err != nil || len(got) != 50 {
		t.Errorf("with %s spoiled the node started with %d of 50 batches, %v", path, len(got), err)
	}
	return nil
}

// restoreTree brings a directory back to what it was.
func restoreTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for path, data := range files {
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if data == "directory" {
			err = os.MkdirAll(path, 0o700)
		} else if err == nil {
			err = os.WriteFile(path, []byte(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	_, err := Open(context.Background(), Config{Name: "a/b", Shards: 3, HeartbeatTimeout: 1})
	for _, part := range []string{"data directory", "a/b", "shards 3", "heartbeat"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("Open = %v, want an error that also mentions %q", err, part)
		}
	}
}
