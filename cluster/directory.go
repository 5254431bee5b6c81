package cluster

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// directoryVersion is the newest form of a data directory as a whole.
const directoryVersion = 1

// Names in a data directory.
const (
	identityFile = "holdfast.json"
	lockFile     = "LOCK" // locked for as long as a process has the directory open
	pidFile      = "PID"  // of that process, for the error that the next one gives
	controlDir   = "control"
	logDir       = "log"
	snapshotDir  = "snapshots"
	stateDir     = "state"
)

// identity is what the directory's identity file records.
type identity struct {
	Version     int    `json:"version"`
	Name        string `json:"name"`
	DirectoryID string `json:"directory_id"`
	// ClusterID is set once the node belongs to a cluster. From then on an empty
	// control group or log is a loss, never a reason to begin anew.
	ClusterID string `json:"cluster_id,omitempty"`
	// HeartbeatMS of the cluster, with ClusterID.
	HeartbeatMS int64 `json:"heartbeat_ms,omitempty"`
	// Control is the number of this node's replica of the control group. 0: the first.
	Control uint64 `json:"control,omitempty"`
	// Joining is the cluster that has accepted this node, until ClusterID is set: what
	// is in the directory by then is that cluster's and must get into no other.
	Joining string `json:"joining,omitempty"`
}

// directory is an open, locked data directory.
type directory struct {
	fs   vfs.FS
	path string
	lock io.Closer

	identity identity
	id       directoryID
}

// openDirectory opens the data directory for this process alone, and makes it if
// there is none. A directory of something else, of another version or of another
// node's name is left as it is.
func openDirectory(fsys vfs.FS, path, name, defaultName string) (*directory, error) {
	if err := makeDirectory(fsys, path); err != nil {
		return nil, err
	}
	if err := checkForeign(fsys, path); err != nil {
		return nil, err
	}
	d := &directory{fs: fsys, path: path}
	lock, err := fsys.Lock(d.join(lockFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %s%s: %w", ErrDirectoryInUse, path, holder(fsys, d.join(pidFile)), err)
	}
	d.lock = lock
	if err := d.load(name, defaultName); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

func (d *directory) load(name, defaultName string) error {
	// The number only makes an error message better: it need not be durable.
	if err := writeFile(d.fs, d.join(pidFile), []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return fmt.Errorf("cluster: open data directory %s: %w", d.path, err)
	}
	data, err := readFile(d.fs, d.join(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d.create(cmp.Or(name, defaultName))
	}
	if err != nil {
		return fmt.Errorf("cluster: open data directory %s: %w", d.path, err)
	}
	d.identity, d.id, err = decodeIdentity(data)
	if err != nil {
		return fmt.Errorf("cluster: open data directory %s: %w", d.path, err)
	}
	if name != "" && name != d.identity.Name {
		return fmt.Errorf("%w: %s belongs to %q, not to %q", ErrWrongName, d.path, d.identity.Name, name)
	}
	return d.makeParts()
}

// create writes the identity of a new directory.
func (d *directory) create(name string) error {
	if name == "" {
		return fmt.Errorf("cluster: create data directory %s: a new node needs a name", d.path)
	}
	if _, err := rand.Read(d.id[:]); err != nil {
		return fmt.Errorf("cluster: create data directory %s: %w", d.path, err)
	}
	d.identity = identity{Version: directoryVersion, Name: name, DirectoryID: d.id.String()}
	if err := d.store(); err != nil {
		return err
	}
	return d.makeParts()
}

// makeParts makes the directories of the parts, so that their entries are
// durable before anything durable is written in them.
func (d *directory) makeParts() error {
	for _, part := range []string{controlDir, logDir, stateDir, snapshotDir} {
		if err := d.fs.MkdirAll(d.join(part), 0o700); err != nil {
			return fmt.Errorf("cluster: open data directory %s: %w", d.path, err)
		}
	}
	return syncDirectory(d.fs, d.path)
}

// setClusterID records that the node belongs to that cluster, durably.
func (d *directory) setClusterID(id string, heartbeatMS int64) error {
	d.identity.ClusterID, d.identity.HeartbeatMS, d.identity.Joining = id, heartbeatMS, ""
	return d.store()
}

// setJoining records that the cluster has accepted the node, durably.
func (d *directory) setJoining(id string, control uint64) error {
	if d.identity.Joining == id && d.identity.Control == control {
		return nil
	}
	d.identity.Joining, d.identity.Control = id, control
	return d.store()
}

// controlReplica is this node's replica of the control group.
func (d *directory) controlReplica() replicaID {
	return replicaID{node: d.identity.Name, directory: d.id, number: cmp.Or(d.identity.Control, firstControlReplica)}
}

// store replaces the identity file in one step: a crash leaves the old or the new.
func (d *directory) store() error {
	data, err := json.MarshalIndent(d.identity, "", "\t")
	if err != nil {
		return fmt.Errorf("cluster: encode identity: %w", err)
	}
	path, next := d.join(identityFile), d.join(identityFile+".tmp")
	if err := writeFile(d.fs, next, append(data, '\n')); err != nil {
		return fmt.Errorf("cluster: store identity in %s: %w", d.path, err)
	}
	if err := d.fs.Rename(next, path); err != nil {
		return fmt.Errorf("cluster: store identity in %s: %w", d.path, err)
	}
	return syncDirectory(d.fs, d.path)
}

func (d *directory) close() error {
	err := d.fs.Remove(d.join(pidFile))
	if err := errors.Join(err, d.lock.Close()); err != nil {
		return fmt.Errorf("cluster: close data directory %s: %w", d.path, err)
	}
	return nil
}

func (d *directory) join(name string) string { return d.fs.PathJoin(d.path, name) }

// decodeIdentity reads the identity file.
func decodeIdentity(data []byte) (identity, directoryID, error) {
	var i identity
	if err := json.Unmarshal(data, &i); err != nil {
		return identity{}, directoryID{}, fmt.Errorf("cluster: decode %s: %w: %w", identityFile, ErrCorrupt, err)
	}
	if i.Version != directoryVersion {
		return identity{}, directoryID{}, fmt.Errorf("cluster: data directory of version %d, this program knows %d: %w", i.Version, directoryVersion, ErrUnknownVersion)
	}
	if err := validateName(i.Name); err != nil {
		return identity{}, directoryID{}, fmt.Errorf("cluster: decode %s: %w: %w", identityFile, ErrCorrupt, err)
	}
	id, err := parseDirectoryID(i.DirectoryID)
	if err != nil {
		return identity{}, directoryID{}, fmt.Errorf("cluster: decode %s: %w: %w", identityFile, ErrCorrupt, err)
	}
	return i, id, nil
}

// checkForeign refuses a directory that has files but no identity, unless they
// can be what a crash left while the identity was being made.
func checkForeign(fsys vfs.FS, path string) error {
	names, err := fsys.List(path)
	if err != nil {
		return fmt.Errorf("cluster: open data directory %s: %w", path, err)
	}
	slices.Sort(names)
	if slices.Contains(names, identityFile) {
		return nil
	}
	for _, name := range names {
		switch name {
		case lockFile, pidFile, identityFile + ".tmp", "lost+found":
		default:
			return fmt.Errorf("%w: %s holds %q and no %s: give an empty directory", ErrForeignDirectory, path, name, identityFile)
		}
	}
	return nil
}

// holder says who has the directory, as far as that can be known.
func holder(fsys vfs.FS, path string) string {
	data, err := readFile(fsys, path)
	pid := strings.TrimSpace(string(data))
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		return ""
	}
	return " (by process " + pid + ")"
}

// makeDirectory makes the directory and those above it, and makes their entries
// durable, so that a power loss does not take the whole tree away.
func makeDirectory(fsys vfs.FS, path string) error {
	var made []string
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := fsys.Stat(dir); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cluster: make data directory %s: %w", path, err)
		}
		made = append(made, dir)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if err := fsys.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("cluster: make data directory %s: %w", path, err)
	}
	for _, dir := range made {
		if err := syncDirectory(fsys, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

func syncDirectory(fsys vfs.FS, path string) error {
	dir, err := fsys.OpenDir(path)
	if err != nil {
		return fmt.Errorf("cluster: sync directory %s: %w", path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("cluster: sync directory %s: %w", path, err)
	}
	return nil
}

// writeFile writes a file anew and makes its content durable; its entry in the
// directory is not.
func writeFile(fsys vfs.FS, path string, data []byte) error {
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// maxSmallFile bounds what readFile takes, in bytes.
const maxSmallFile = 1 << 20

func readFile(fsys vfs.FS, path string) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSmallFile))
	return data, errors.Join(err, f.Close())
}
