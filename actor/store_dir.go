package actor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Reasons why a directory is not opened. Each leaves the directory as it was.
var (
	// ErrForeignDirectory means that the directory holds something that is not a state database.
	ErrForeignDirectory = errors.New("actor: not a Holdfast state directory")
	// ErrDirectoryInUse means that another process, or another Store here, has it open.
	ErrDirectoryInUse = errors.New("actor: state directory is in use by another process")
	// ErrStoreVersion means that another version of Holdfast wrote it.
	ErrStoreVersion = errors.New("actor: state directory has an unknown format version")
)

// The marker is written before the first byte of the database, so a directory
// without one was not made here. It carries the format version of the database
// as a whole: layout of keys and kinds of records.
const (
	markerName    = "HOLDFAST-STATE"
	markerTemp    = markerName + ".tmp"
	markerPrefix  = "holdfast state "
	markerVersion = "1"
	lockName      = "LOCK" // Pebble's
)

// claimDirectory locks dir for this process and makes sure that it holds a state
// database of this version or nothing at all.
func claimDirectory(fs vfs.FS, dir string) (*pebble.Lock, error) {
	// Looked at before the lock: even a lock file would touch a foreign directory.
	if _, err := checkMarker(fs, dir); err != nil {
		return nil, err
	}
	if err := makeDirectory(fs, dir); err != nil {
		return nil, fmt.Errorf("actor: make state directory %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, lockError(dir, err)
	}
	marked, err := checkMarker(fs, dir)
	if err == nil && !marked {
		err = writeMarker(fs, dir)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// checkMarker says whether dir is marked as ours. A directory that is not there,
// or that has only what a crash before the marker leaves, is not marked and no error.
func checkMarker(fs vfs.FS, dir string) (bool, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("actor: list state directory %s: %w", dir, err)
	}
	if !slices.Contains(names, markerName) {
		for _, name := range names {
			if name != lockName && name != markerTemp {
				return false, fmt.Errorf("%w: %s holds %s but no %s", ErrForeignDirectory, dir, name, markerName)
			}
		}
		return false, nil
	}
	text, err := readMarker(fs, fs.PathJoin(dir, markerName))
	if err != nil {
		return false, fmt.Errorf("actor: read the marker of state directory %s: %w", dir, err)
	}
	version, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), markerPrefix)
	if !ok {
		return false, fmt.Errorf("%w: marker %s of %s is corrupt: %q", ErrCorruptState, markerName, dir, text)
	}
	if version != markerVersion {
		return false, fmt.Errorf("%w: %s has %q, want %q", ErrStoreVersion, dir, version, markerVersion)
	}
	return true, nil
}

func readMarker(fs vfs.FS, path string) (string, error) {
	file, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	const limit = 128
	data, err := io.ReadAll(io.LimitReader(file, limit))
	return string(data), errors.Join(err, file.Close())
}

// makeDirectory makes dir durable in its parent too.
func makeDirectory(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return syncDirectory(fs, fs.PathDir(dir))
}

// writeMarker leaves no marker or a whole one, whenever it is interrupted.
func writeMarker(fs vfs.FS, dir string) error {
	temp := fs.PathJoin(dir, markerTemp)
	file, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = io.WriteString(file, markerPrefix+markerVersion+"\n")
		if err == nil {
			err = file.Sync()
		}
		err = errors.Join(err, file.Close())
	}
	if err == nil {
		err = fs.Rename(temp, fs.PathJoin(dir, markerName))
	}
	if err == nil {
		err = syncDirectory(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("actor: mark state directory %s: %w", dir, err)
	}
	return nil
}

func syncDirectory(fs vfs.FS, dir string) error {
	file, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// lockError tells a directory that is locked from one that cannot be locked.
func lockError(dir string, err error) error {
	// Pebble has no error value for a lock that this process holds itself.
	if errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "held by current process") {
		return fmt.Errorf("%w: %s: %w", ErrDirectoryInUse, dir, err)
	}
	return fmt.Errorf("actor: lock state directory %s: %w", dir, err)
}
