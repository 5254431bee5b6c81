package cluster

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// stubVersion is the newest form of a stored snapshot stub.
const stubVersion = 1

// stub says what a snapshot contains, without the content: how far the state
// went, and the configuration there. It is stored as JSON: it is written rarely
// and read by people.
type stub struct {
	Version            int          `json:"version"`
	Index              uint64       `json:"index"`
	Term               uint64       `json:"term"`
	Servers            []stubServer `json:"servers"`
	ConfigurationIndex uint64       `json:"configuration_index"`
	// Received names the file with the content, of Size bytes, if this is the mark
	// of a snapshot that was received and has to be restored.
	Received string `json:"received,omitempty"`
	Size     int64  `json:"size,omitempty"`
}

type stubServer struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Suffrage int    `json:"suffrage"`
}

func newStub(index, term uint64, c raft.Configuration, configurationIndex uint64) stub {
	s := stub{Version: stubVersion, Index: index, Term: term, ConfigurationIndex: configurationIndex}
	s.Servers = storedServers(c)
	return s
}

func storedServers(c raft.Configuration) (servers []stubServer) {
	for _, server := range c.Servers {
		servers = append(servers, stubServer{ID: string(server.ID), Address: string(server.Address), Suffrage: int(server.Suffrage)})
	}
	return servers
}

func (s stub) id() string { return fmt.Sprintf("%d-%d", s.Term, s.Index) }

func (s stub) configuration() (c raft.Configuration) {
	for _, server := range s.Servers {
		c.Servers = append(c.Servers, raft.Server{
			ID: raft.ServerID(server.ID), Address: raft.ServerAddress(server.Address), Suffrage: raft.ServerSuffrage(server.Suffrage),
		})
	}
	return c
}

func (s stub) meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: s.id(), Index: s.Index, Term: s.Term,
		Configuration: s.configuration(), ConfigurationIndex: s.ConfigurationIndex, Size: s.Size,
	}
}

func (s stub) encode() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cluster: encode snapshot stub: %w", err)
	}
	return data, nil
}

func decodeStub(data []byte) (stub, error) {
	var s stub
	if err := json.Unmarshal(data, &s); err != nil {
		return stub{}, fmt.Errorf("cluster: decode snapshot stub: %w: %w", ErrCorrupt, err)
	}
	if s.Version != stubVersion {
		return stub{}, fmt.Errorf("cluster: decode snapshot stub of version %d: %w", s.Version, ErrUnknownVersion)
	}
	if s.Index == 0 || s.Term == 0 || len(s.Servers) == 0 || s.ConfigurationIndex > s.Index || s.Size < 0 || (s.Size > 0) != (s.Received != "") {
		return stub{}, fmt.Errorf("cluster: decode snapshot stub: %w", ErrCorrupt)
	}
	for _, server := range s.Servers {
		if server.Suffrage < int(raft.Voter) || server.Suffrage > int(raft.Staging) || server.ID == "" {
			return stub{}, fmt.Errorf("cluster: decode snapshot stub: server %q: %w", server.ID, ErrCorrupt)
		}
	}
	return s, nil
}

// loadStub gives the stub under that kind of key; Index is 0 if there is none.
func (g *groupLog) loadStub(kind byte) (stub, error) {
	data, err := g.db.get(g.key(kind))
	if errors.Is(err, pebble.ErrNotFound) {
		return stub{Version: stubVersion}, nil
	}
	if err != nil {
		return stub{}, fmt.Errorf("cluster: read snapshot stub: %w", err)
	}
	return decodeStub(data)
}

// storeStub stores a stub under that kind of key, durably.
func (g *groupLog) storeStub(kind byte, s stub) error {
	data, err := s.encode()
	if err != nil {
		return err
	}
	return g.db.set(g.key(kind), data)
}

// dropReceived removes the mark of a received snapshot, durably.
func (g *groupLog) dropReceived() error {
	return g.db.check(g.db.db.Delete(g.key(keyReceived), pebble.Sync))
}

// begin makes the log begin behind a snapshot that the state has restored, in one
// durable step: no entry is left, the stub is stored and the mark is gone. Entries
// behind the snapshot's index, if there are any, were never committed.
func (g *groupLog) begin(s stub) error {
	s.Received, s.Size = "", 0
	data, err := s.encode()
	if err != nil {
		return err
	}
	batch := g.db.db.NewBatch()
	err = errors.Join(
		batch.DeleteRange(g.key(keyLog), g.key(keyLog+1), nil),
		batch.Set(g.key(keyStub), data, nil),
		batch.Delete(g.key(keyReceived), nil),
	)
	if err == nil {
		err = batch.Commit(pebble.Sync)
	}
	if err := g.db.check(errors.Join(err, batch.Close())); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.first, g.last = 0, 0
	g.tail.clear()
	g.ahead.clear()
	g.cuts++
	return nil
}
