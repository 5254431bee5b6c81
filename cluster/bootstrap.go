package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// bootstrap begins the log of a group that has none with its first
// configuration, and leaves every other log as it is.
//
// It stands in for the library's BootstrapCluster, which stores the term before
// the entry and takes a stored term for a group that exists: after a crash
// between the two the group would have no configuration for ever. The term needs
// no write of its own: the first election stores it.
func bootstrap(logs raft.LogStore, snaps raft.SnapshotStore, configuration raft.Configuration) error {
	empty, err := isNew(logs, snaps)
	if err != nil {
		return fmt.Errorf("cluster: look for a log or a snapshot: %w", err)
	}
	if !empty {
		return nil
	}
	first := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(configuration)}
	if err := logs.StoreLog(first); err != nil {
		return fmt.Errorf("cluster: store first configuration: %w", err)
	}
	return nil
}

// isNew says whether a group has neither log nor snapshot.
func isNew(logs raft.LogStore, snaps raft.SnapshotStore) (bool, error) {
	last, err := logs.LastIndex()
	if err != nil || last > 0 {
		return false, err
	}
	snapshots, err := snaps.List()
	return len(snapshots) == 0, err
}
