package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// promiseFile is where a node that belongs to no cluster yet keeps whom it has
// promised to join.
const promiseFile = "promise.json"

// promiseVersion is the newest form of the file.
const promiseVersion = 1

// ErrPromiseLost means that this node has promised to join the cluster of a
// node that lost its data directory. The error names the file to delete.
var ErrPromiseLost = errors.New("cluster: promised to join the cluster of a node that has lost its data directory")

// promise says whose cluster a node will be in. A node promises once: two new
// clusters, each with all the promises that it needs, have no node in common.
type promise struct {
	Version   int    `json:"version"`
	Node      string `json:"node"`
	Directory string `json:"directory"`
	// Asked says that a promise to itself may have made others promise, too. Until
	// then a node may give up its own candidacy in favour of another's.
	Asked bool `json:"asked,omitempty"`
}

// promiseRequest asks a node to promise.
type promiseRequest struct {
	Node      string `json:"node"`
	Directory string `json:"directory"`
}

// promiseAnswer says whom the node has promised, which may be another than who
// asked, or to which cluster it belongs.
type promiseAnswer struct {
	ClusterID string `json:"cluster_id,omitempty"`
	Node      string `json:"node,omitempty"`
	Directory string `json:"directory,omitempty"`
}

// promises is this node's promise.
type promises struct {
	dir    *directory
	faults faults

	mu   sync.Mutex // guards the following field, and the file
	made promise    // Node "": none
}

// openPromises reads the promise of an earlier start.
func openPromises(dir *directory, f faults) (*promises, error) {
	p := &promises{dir: dir, faults: f}
	data, err := readFile(dir.fs, dir.join(promiseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		p.made, err = decodePromise(data)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: read promise %s: %w", dir.join(promiseFile), err)
	}
	return p, nil
}

func decodePromise(data []byte) (promise, error) {
	var made promise
	if err := json.Unmarshal(data, &made); err != nil {
		return promise{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if made.Version != promiseVersion {
		return promise{}, fmt.Errorf("version %d: %w", made.Version, ErrUnknownVersion)
	}
	if _, err := parseDirectoryID(made.Directory); err != nil {
		return promise{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := validateName(made.Node); err != nil {
		return promise{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return made, nil
}

// now gives the promise, if there is one.
func (p *promises) now() promise {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}

// give answers whoever asks for the promise: it is his if it is nobody else's, or
// was this node's own and nobody has been asked for the like. What is returned is
// durable.
func (p *promises) give(q promiseRequest) (promise, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.made.Node == "" || p.mineLocked() && !p.made.Asked
	if !free && !p.faults.promiseAll {
		return p.made, nil
	}
	next := promise{Version: promiseVersion, Node: q.Node, Directory: q.Directory}
	if _, err := parseDirectoryID(q.Directory); err != nil {
		return promise{}, err
	}
	if err := validateName(q.Node); err != nil {
		return promise{}, err
	}
	err := p.storeLocked(next)
	return p.made, err
}

// stand makes this node a candidate if it has promised nobody else, and says
// whether it is one. asked says whether others are about to be asked.
func (p *promises) stand(asked bool) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made.Node != "" && !p.mineLocked() {
		return false, nil
	}
	next := promise{Version: promiseVersion, Node: p.dir.identity.Name, Directory: p.dir.identity.DirectoryID, Asked: asked}
	if next == p.made {
		return true, nil
	}
	return true, p.storeLocked(next)
}

// keep forgets the promise once it is kept: the node belongs to a cluster.
func (p *promises) keep() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.dir.fs.Remove(p.dir.join(promiseFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster: remove promise: %w", err)
	}
	p.made = promise{}
	return nil
}

func (p *promises) mineLocked() bool {
	return p.made.Node == p.dir.identity.Name && p.made.Directory == p.dir.identity.DirectoryID
}

func (p *promises) storeLocked(next promise) error {
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("cluster: encode promise: %w", err)
	}
	path := p.dir.join(promiseFile)
	if err := writeFile(p.dir.fs, path+".tmp", append(data, '\n')); err != nil {
		return fmt.Errorf("cluster: store promise: %w", err)
	}
	if err := p.dir.fs.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("cluster: store promise: %w", err)
	}
	if err := syncDirectory(p.dir.fs, p.dir.path); err != nil {
		return err
	}
	p.made = next
	return nil
}
