package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

var _ raft.ConfigurationStore = (*controlFSM)(nil)

// controlFSM is the raft.FSM of the control group: a thin shell around the table,
// in which it also notes the group's own configuration.
type controlFSM struct {
	// fatal does not return. A node that does not understand the table cannot
	// say which replicas it should hold, so it ends.
	fatal func(error)
	// opened makes failures fatal; until then openControl asks for them.
	opened  atomic.Bool
	changed func() // called after each change of the table; must not block

	mu     sync.Mutex // guards the following fields
	table  *table
	reason error // why an entry before opened could not be applied
}

// failed gives the reason why the table is not known.
func (f *controlFSM) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

func (f *controlFSM) fail(err error) {
	if f.opened.Load() {
		f.fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reason = errors.Join(f.reason, err)
}

// Apply implements raft.FSM. It answers why the command changed nothing.
func (f *controlFSM) Apply(l *raft.Log) any {
	f.mu.Lock()
	next := *f.table
	f.mu.Unlock()
	next.Index = l.Index
	reason, err := next.apply(l.Data)
	if err != nil {
		err = fmt.Errorf("cluster: apply control entry %d: %w", l.Index, err)
		f.fail(err)
		return err.Error()
	}
	f.mu.Lock()
	f.table = &next
	f.mu.Unlock()
	f.changed()
	return reason
}

// StoreConfiguration implements raft.ConfigurationStore: the configuration is
// committed.
func (f *controlFSM) StoreConfiguration(index uint64, c raft.Configuration) {
	f.mu.Lock()
	next := *f.table
	f.mu.Unlock()
	next.Index = index
	next.Configuration = tableConfiguration{Index: index, Servers: storedServers(c)}
	f.mu.Lock()
	f.table = &next
	f.mu.Unlock()
}

// current gives the table, which nobody changes any more.
func (f *controlFSM) current() *table {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table
}

// Snapshot implements raft.FSM.
func (f *controlFSM) Snapshot() (raft.FSMSnapshot, error) {
	data, err := f.current().encode()
	if err != nil {
		return nil, err
	}
	return tableSnapshot{data: data}, nil
}

// Restore implements raft.FSM.
func (f *controlFSM) Restore(snapshot io.ReadCloser) error {
	data, err := io.ReadAll(snapshot)
	if err := errors.Join(err, snapshot.Close()); err != nil {
		return fmt.Errorf("cluster: read control snapshot: %w", err)
	}
	t, err := decodeTable(data)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.table = t
	f.mu.Unlock()
	f.changed()
	return nil
}

type tableSnapshot struct{ data []byte }

// Persist implements raft.FSMSnapshot.
func (s tableSnapshot) Persist(sink raft.SnapshotSink) error {
	_, err := sink.Write(s.data)
	return err
}

// Release implements raft.FSMSnapshot.
func (s tableSnapshot) Release() {}
