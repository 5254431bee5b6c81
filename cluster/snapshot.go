package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// stubVersion is the newest form of a stored snapshot stub.
const stubVersion = 1

// errNoStream is the answer to a request for a snapshot's content: a stub has
// none, and a shard with one replica has nobody to send it to.
var errNoStream = errors.New("cluster: a snapshot stub has no content")

// stubStore is the raft.SnapshotStore of a shard. The state database is durable
// on its own, so a snapshot is only a stub: how far the state was durable when
// it was taken, and the configuration there. The log is cut behind it.
type stubStore struct {
	log *groupLog
}

// stub is the stored form, as JSON: it is written rarely and read by people.
type stub struct {
	Version            int          `json:"version"`
	Index              uint64       `json:"index"`
	Term               uint64       `json:"term"`
	Servers            []stubServer `json:"servers"`
	ConfigurationIndex uint64       `json:"configuration_index"`
}

type stubServer struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Suffrage int    `json:"suffrage"`
}

// load gives the newest stub; Index is 0 if there is none.
func (s stubStore) load() (stub, error) {
	data, err := s.log.db.get(s.log.key(keyStub))
	if errors.Is(err, pebble.ErrNotFound) {
		return stub{Version: stubVersion}, nil
	}
	if err != nil {
		return stub{}, fmt.Errorf("cluster: read snapshot stub: %w", err)
	}
	return decodeStub(data)
}

func decodeStub(data []byte) (stub, error) {
	var s stub
	if err := json.Unmarshal(data, &s); err != nil {
		return stub{}, fmt.Errorf("cluster: decode snapshot stub: %w: %w", ErrCorrupt, err)
	}
	if s.Version != stubVersion {
		return stub{}, fmt.Errorf("cluster: decode snapshot stub of version %d: %w", s.Version, ErrUnknownVersion)
	}
	if s.Index == 0 || s.Term == 0 || len(s.Servers) == 0 || s.ConfigurationIndex > s.Index {
		return stub{}, fmt.Errorf("cluster: decode snapshot stub: %w", ErrCorrupt)
	}
	for _, server := range s.Servers {
		if server.Suffrage < int(raft.Voter) || server.Suffrage > int(raft.Staging) || server.ID == "" {
			return stub{}, fmt.Errorf("cluster: decode snapshot stub: server %q: %w", server.ID, ErrCorrupt)
		}
	}
	return s, nil
}

// Create implements raft.SnapshotStore.
func (s stubStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("cluster: create snapshot of version %d: %w", version, ErrUnknownVersion)
	}
	stub := stub{Version: stubVersion, Index: index, Term: term, ConfigurationIndex: configurationIndex}
	for _, server := range configuration.Servers {
		stub.Servers = append(stub.Servers, stubServer{ID: string(server.ID), Address: string(server.Address), Suffrage: int(server.Suffrage)})
	}
	return &stubSink{store: s, stub: stub}, nil
}

// List implements raft.SnapshotStore.
func (s stubStore) List() ([]*raft.SnapshotMeta, error) {
	stub, err := s.load()
	if err != nil || stub.Index == 0 {
		return nil, err
	}
	meta := &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: stub.id(), Index: stub.Index, Term: stub.Term,
		ConfigurationIndex: stub.ConfigurationIndex,
	}
	for _, server := range stub.Servers {
		meta.Configuration.Servers = append(meta.Configuration.Servers, raft.Server{
			ID: raft.ServerID(server.ID), Address: raft.ServerAddress(server.Address), Suffrage: raft.ServerSuffrage(server.Suffrage),
		})
	}
	return []*raft.SnapshotMeta{meta}, nil
}

// Open implements raft.SnapshotStore.
func (s stubStore) Open(string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	return nil, nil, errNoStream
}

func (s stub) id() string { return fmt.Sprintf("%d-%d", s.Term, s.Index) }

// stubSink stores its stub when it is closed. By then Persist has made the state
// durable; a stub that came first would, after a power loss, leave a log that
// starts behind what the state still has.
type stubSink struct {
	store stubStore
	stub  stub
}

// ID implements raft.SnapshotSink.
func (s *stubSink) ID() string { return s.stub.id() }

// Write implements raft.SnapshotSink. Nobody writes content into a stub.
func (s *stubSink) Write([]byte) (int, error) { return 0, errNoStream }

// Close implements raft.SnapshotSink: it returns when the stub is durable.
func (s *stubSink) Close() error {
	data, err := json.Marshal(s.stub)
	if err != nil {
		return fmt.Errorf("cluster: encode snapshot stub: %w", err)
	}
	return s.store.log.db.set(s.store.log.key(keyStub), data)
}

// Cancel implements raft.SnapshotSink. Nothing was stored yet.
func (s *stubSink) Cancel() error { return nil }
