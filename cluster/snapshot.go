package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

var (
	// errNoContent is the answer to a snapshot that neither declares the state nor
	// brings one.
	errNoContent = errors.New("cluster: a snapshot without content")
	// errOldSnapshot refuses a snapshot that would set the state back.
	errOldSnapshot = errors.New("cluster: the state has more than the snapshot")
	// errNoPicture means that nobody can say yet in which term and configuration
	// the state is: the replica has not replayed its log since its start.
	errNoPicture = errors.New("cluster: the state is not replayed yet")
)

// snapshotStore is the raft.SnapshotStore of a replica. The state database is
// durable on its own, so a snapshot of one's own is only a stub, behind which the
// log is cut; the content is read from the state when a follower asks for it, and
// is then as new as the state. A received snapshot is a file, until it is restored.
type snapshotStore struct {
	// Fixed when the replica starts.
	shard  placement.ShardID
	log    *groupLog
	spool  *spool
	fsm    *shardFSM
	faults faults

	mu sync.Mutex // one stub or mark is written at a time
}

// Create implements raft.SnapshotStore. Whether the snapshot is the replica's own
// or is being received shows only in what happens to the sink.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("cluster: create snapshot of version %d: %w", version, ErrUnknownVersion)
	}
	return &snapshotSink{store: s, stub: newStub(index, term, configuration, configurationIndex)}, nil
}

// List implements raft.SnapshotStore.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	stub, err := s.log.loadStub(keyStub)
	if err != nil || stub.Index == 0 {
		return nil, err
	}
	return []*raft.SnapshotMeta{stub.meta()}, nil
}

// Open implements raft.SnapshotStore: a received snapshot, if that is meant, else
// the state as it is now, which has all that the stub promises and more.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	received, err := s.log.loadStub(keyReceived)
	if err != nil {
		return nil, nil, err
	}
	if received.Index > 0 && received.id() == id {
		f, err := s.spool.open(received.Received, received.Size)
		if err != nil {
			return nil, nil, err
		}
		return received.meta(), f, nil
	}
	picture, stub, err := s.fsm.picture()
	if err != nil {
		return nil, nil, err
	}
	content, size, err := s.spool.fill(s.spool.name(s.shard), picture)
	if err := errors.Join(err, picture.Close()); err != nil {
		return nil, nil, fmt.Errorf("cluster: shard %d: write snapshot up to entry %d: %w", s.shard, stub.Index, err)
	}
	stub.Size = size
	return stub.meta(), content, nil
}

// declare stores the stub of a state that is durable up to there.
func (s *snapshotStore) declare(stub stub) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.log.loadStub(keyStub)
	if err != nil {
		return err
	}
	if stub.Index < now.Index { // a snapshot was installed meanwhile
		return errOldSnapshot
	}
	return s.log.storeStub(keyStub, stub)
}

// snapshotSink takes one snapshot.
type snapshotSink struct {
	store *snapshotStore
	stub  stub

	declared bool     // Persist has made the state durable: it is the replica's own
	file     vfs.File // nil until content comes
	ended    bool
}

// ID implements raft.SnapshotSink.
func (s *snapshotSink) ID() string { return s.stub.id() }

// Write implements raft.SnapshotSink. Content comes only with a received snapshot.
func (s *snapshotSink) Write(data []byte) (int, error) {
	if s.declared || s.ended {
		return 0, errNoContent
	}
	if s.file == nil {
		if s.stub.Index <= s.store.fsm.position.Load() {
			return 0, errOldSnapshot
		}
		s.stub.Received = s.store.spool.name(s.store.shard)
		file, err := s.store.spool.create(s.stub.Received)
		if err != nil {
			return 0, err
		}
		s.file = file
	}
	n, err := spoolWriter{file: s.file, space: s.store.spool.space, cost: receivedCost}.Write(data)
	s.stub.Size += int64(n)
	return n, err
}

// Close implements raft.SnapshotSink: it returns when the stub is durable, or the
// content with the mark that it has to be restored. By then Persist has made the
// state durable; a stub that came first would, after a power loss, leave a log
// that starts behind what the state still has.
func (s *snapshotSink) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	switch {
	case s.declared:
		return s.store.declare(s.stub)
	case s.file == nil:
		return errNoContent
	}
	if err := s.store.spool.settle(s.file); err != nil {
		return errors.Join(fmt.Errorf("cluster: store received snapshot: %w", err), s.store.spool.remove(s.stub.Received))
	}
	if s.store.faults.logBeforeState {
		if err := s.store.log.begin(s.stub); err != nil {
			return err
		}
	}
	return s.store.log.storeStub(keyReceived, s.stub)
}

// Cancel implements raft.SnapshotSink.
func (s *snapshotSink) Cancel() error {
	if s.ended || s.file == nil {
		s.ended = true
		return nil
	}
	s.ended = true
	return errors.Join(s.file.Close(), s.store.spool.remove(s.stub.Received))
}
