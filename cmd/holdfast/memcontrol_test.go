package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// memControl is a control group's store in memory of which a crash leaves a copy.
// Whatever a call has stored is in all later copies.
type memControl struct {
	mu        sync.Mutex // guards the following fields
	logs      map[uint64]*raft.Log
	first     uint64
	last      uint64
	values    map[string][]byte
	numbers   map[string]uint64
	snapshots []*memSnapshot // oldest first
}

func newMemControl() *memControl {
	return &memControl{logs: make(map[uint64]*raft.Log), values: make(map[string][]byte), numbers: make(map[string]uint64)}
}

// clone gives what a crash now leaves.
func (c *memControl) clone() *memControl {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &memControl{
		logs: maps.Clone(c.logs), first: c.first, last: c.last,
		values: maps.Clone(c.values), numbers: maps.Clone(c.numbers), snapshots: slices.Clone(c.snapshots),
	}
}

func (c *memControl) FirstIndex() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first, nil
}

func (c *memControl) LastIndex() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, nil
}

func (c *memControl) GetLog(index uint64, log *raft.Log) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logs[index]
	if l == nil {
		return raft.ErrLogNotFound
	}
	*log = *l
	return nil
}

func (c *memControl) StoreLog(log *raft.Log) error { return c.StoreLogs([]*raft.Log{log}) }

func (c *memControl) StoreLogs(logs []*raft.Log) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range logs {
		if c.last != 0 && l.Index != c.last+1 {
			return fmt.Errorf("memcontrol: entry %d after %d", l.Index, c.last)
		}
		own := *l
		c.logs[l.Index], c.last = &own, l.Index
		if c.first == 0 {
			c.first = l.Index
		}
	}
	return nil
}

func (c *memControl) DeleteRange(from, to uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := from; i <= to; i++ {
		delete(c.logs, i)
	}
	if from <= c.first {
		c.first = to + 1
	}
	if to >= c.last {
		c.last = from - 1
	}
	if c.first > c.last {
		c.first, c.last = 0, 0
	}
	return nil
}

func (c *memControl) Set(key, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[string(key)] = bytes.Clone(value)
	return nil
}

func (c *memControl) Get(key []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.values[string(key)]
	if !ok {
		return nil, errors.New("not found") // the very text is the library's protocol
	}
	return bytes.Clone(value), nil
}

func (c *memControl) SetUint64(key []byte, value uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers[string(key)] = value
	return nil
}

func (c *memControl) GetUint64(key []byte) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.numbers[string(key)], nil
}

// memSnapshot is there once it was closed.
type memSnapshot struct {
	store   *memControl
	meta    raft.SnapshotMeta
	content bytes.Buffer
}

func (c *memControl) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &memSnapshot{store: c, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}, nil
}

func (c *memControl) List() ([]*raft.SnapshotMeta, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*raft.SnapshotMeta
	for _, s := range slices.Backward(c.snapshots) {
		meta := s.meta
		all = append(all, &meta)
	}
	return all, nil
}

func (c *memControl) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.snapshots {
		if s.meta.ID == id {
			meta := s.meta
			return &meta, io.NopCloser(bytes.NewReader(s.content.Bytes())), nil
		}
	}
	return nil, nil, fmt.Errorf("memcontrol: no snapshot %s", id)
}

func (s *memSnapshot) Write(p []byte) (int, error) { return s.content.Write(p) }
func (s *memSnapshot) ID() string                  { return s.meta.ID }
func (s *memSnapshot) Cancel() error               { return nil }

func (s *memSnapshot) Close() error {
	const kept = 2
	s.meta.Size = int64(s.content.Len())
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.snapshots = append(s.store.snapshots, s)
	s.store.snapshots = s.store.snapshots[max(0, len(s.store.snapshots)-kept):]
	return nil
}
