package cluster

import (
	"errors"
	"fmt"
	"io/fs"
)

// appliedFile, in the control group's directory, has the newest table by which
// this node has acted.
//
// After a start the library applies nothing before a leader says how much is
// committed, and then everything since the last snapshot once more. Acting on what
// there is by then could found a shard's group a second time, whose first replica
// this node has long thrown away. So a table is written down before the node acts on
// it, and the node never acts on an older one; and it can start while the
// control group has no leader at all.
const appliedFile = "table.json"

func (d *directory) appliedPath() string { return d.join(d.fs.PathJoin(controlDir, appliedFile)) }

// recallTable gives the table by which an earlier start has acted, or nil.
func (d *directory) recallTable() (*table, error) {
	data, err := readFile(d.fs, d.appliedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: read %s: %w", d.appliedPath(), err)
	}
	t, err := decodeTable(data)
	if err == nil && !t.formed() {
		err = ErrCorrupt
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: read %s: %w", d.appliedPath(), err)
	}
	return t, nil
}

// storeTable writes down, durably, by which table this node is about to act. A
// crash leaves the one before or this one.
func (d *directory) storeTable(t *table) error {
	data, err := t.encode()
	if err != nil {
		return err
	}
	path := d.appliedPath()
	if err := writeFile(d.fs, path+".tmp", data); err != nil {
		return fmt.Errorf("cluster: store the table: %w", err)
	}
	if err := d.fs.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("cluster: store the table: %w", err)
	}
	return syncDirectory(d.fs, d.join(controlDir))
}
