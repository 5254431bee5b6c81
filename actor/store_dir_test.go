package actor

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func storeAt(dir string) (*Store, error) {
	return OpenStore(StoreConfig{Dir: dir, ShardOf: testShardOf})
}

// filesUnder gives name and content of all files of a real directory.
func filesUnder(tb testing.TB, dir string) []string {
	tb.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			files = append(files, path)
			return err
		}
		data, err := os.ReadFile(path)
		files = append(files, path+"="+string(data))
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func TestStoreOnARealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	store, err := storeAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	applyAll(t, store, [][]byte{counterBatch(ID{}).Append(nil)}, 1)
	if err := store.Sync(); err != nil {
		t.Fatal(err)
	}
	metrics, err := store.Metrics()
	if err != nil || metrics.DiskBytes == 0 || metrics.MemTableBytes == 0 {
		t.Errorf("Metrics = %+v, %v, want bytes on disk and in memory", metrics, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = storeAt(dir); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if value, ok, err := store.Get(ID{}, "count"); string(value) != "\x01123456" || !ok || err != nil {
		t.Errorf("Get = %q, %v, %v", value, ok, err)
	}
}

func TestOpenStoreWantsItsParts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for _, cfg := range []StoreConfig{{Dir: dir}, {ShardOf: testShardOf}} {
		if s, err := OpenStore(cfg); err == nil {
			t.Errorf("OpenStore(%+v) = %v, want an error", cfg, s)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestOpenStoreRefusesTwice(t *testing.T) {
	dir := t.TempDir()
	store, err := storeAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := storeAt(dir)
	if !errors.Is(err, ErrDirectoryInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("OpenStore of an open directory = %v, %v, want ErrDirectoryInUse with the directory", second, err)
	}
	applyAll(t, store, [][]byte{counterBatch(ID{}).Append(nil)}, 1)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = storeAt(dir); err != nil {
		t.Fatalf("OpenStore after Close: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenStoreRefusesAndTouchesNothing(t *testing.T) {
	for _, c := range []struct {
		file, content string
		want          error
	}{
		{"notes.txt", "mine", ErrForeignDirectory},
		{"000002.log", "another database", ErrForeignDirectory},
		{markerName, markerPrefix + "2\n", ErrStoreVersion},
		{markerName, markerPrefix + "\n", ErrStoreVersion},
		{markerName, "", ErrCorruptState},
		{markerName, strings.Repeat("x", 1000), ErrCorruptState},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		before := filesUnder(t, dir)
		if s, err := storeAt(dir); !errors.Is(err, c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("OpenStore with %s %.20q = %v, %v, want %v with the directory", c.file, c.content, s, err, c.want)
		}
		if after := filesUnder(t, dir); !slices.Equal(after, before) {
			t.Errorf("OpenStore with %s %.20q left %q, want %q", c.file, c.content, after, before)
		}
	}
}

func TestOpenStoreOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := storeAt(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenStore of a file = %v, %v, want an error with the path", s, err)
	}
}

// Each damaged file must be noticed when the database is opened or read.
func TestOpenStoreTellsOfCorruption(t *testing.T) {
	for _, kind := range []string{"MANIFEST-*", "*.sst", "OPTIONS-*"} {
		dir := t.TempDir()
		store, err := storeAt(dir)
		if err != nil {
			t.Fatal(err)
		}
		applyAll(t, store, [][]byte{counterBatch(ID{}).Append(nil)}, 1)
		if err := store.db.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		paths, err := filepath.Glob(filepath.Join(dir, kind))
		if err != nil || len(paths) == 0 {
			t.Fatalf("files %s: %v, %v", kind, paths, err)
		}
		for _, path := range paths {
			spoil(t, path)
		}
		store, err = storeAt(dir)
		if err == nil {
			_, err = rawRecords(store, nil, nil)
			if closeErr := store.Close(); closeErr != nil {
				t.Errorf("Close: %v", closeErr)
			}
		}
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("with a spoilt %s: %v, want an error with the directory", kind, err)
		}
		if kind != "OPTIONS-*" && !errors.Is(err, ErrCorruptState) {
			t.Errorf("with a spoilt %s: %v, want ErrCorruptState", kind, err)
		}
	}
}

func spoil(tb testing.TB, path string) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range data {
		data[i] ^= 0x55
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// A write that fails ends the process: Fatal is called, and the call that wrote
// does not come back as if nothing had happened. The test runs itself again,
// because a database in that state cannot even be closed.
func TestAFailedWriteIsFatal(t *testing.T) {
	const variable = "HOLDFAST_TEST_FAILED_WRITE"
	switch os.Getenv(variable) {
	case "default":
		syncOnFullDisk(t, nil)
		return
	case "own":
		syncOnFullDisk(t, func(msg string) { panic("Fatal was told: " + msg) })
		return
	}
	for mode, want := range map[string]string{"default": "panic: actor: state database", "own": "panic: Fatal was told: actor: state database"} {
		self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAFailedWriteIsFatal$")
		self.Env = append(os.Environ(), variable+"="+mode)
		output, err := self.CombinedOutput()
		for _, text := range []string{want, syscall.ENOSPC.Error()} {
			if err == nil || !strings.Contains(string(output), text) {
				t.Errorf("%s: %v, want an exit with %q in:\n%s", mode, err, text, output)
			}
		}
	}
}

func syncOnFullDisk(t *testing.T, fatal func(msg string)) {
	t.Helper()
	var full atomic.Bool
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	store, err := OpenStore(StoreConfig{Dir: "state", FS: errorfs.Wrap(vfs.NewMem(), inject), ShardOf: testShardOf, Fatal: fatal})
	if err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	t.Errorf("Sync on a full disk came back: %v", store.Sync())
}
