package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// errKeyNotFound has the text by which the library knows it.
var errKeyNotFound = errors.New("not found")

// groupLog is one replica's view of the log database: raft.LogStore and
// raft.StableStore. Every write of entries, term or vote is durable when the
// call returns; writes of different groups that wait share one sync.
type groupLog struct {
	// Fixed after openGroup.
	db     *logDB
	prefix []byte

	mu    sync.Mutex // guards the following fields
	first uint64     // 0: the log is empty
	last  uint64
	tail  logTail // the newest entries
	ahead logTail // entries read in advance, for whoever reads in order
	cuts  uint64  // deletions so far
}

// openGroup gives the log of one replica and finds its first and last entry.
func (d *logDB) openGroup(shard placement.ShardID, number uint64) (*groupLog, error) {
	g := &groupLog{db: d, prefix: replicaPrefix(shard, number)}
	iter, err := d.db.NewIter(&pebble.IterOptions{LowerBound: g.key(keyLog), UpperBound: g.key(keyLog + 1)})
	if err != nil {
		return nil, fmt.Errorf("cluster: open log of shard %d: %w", shard, err)
	}
	if iter.First() {
		g.first = g.index(iter.Key())
	}
	if iter.Last() {
		g.last = g.index(iter.Key())
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("cluster: open log of shard %d: %w: %w", shard, ErrCorrupt, err)
	}
	return g, nil
}

// FirstIndex implements raft.LogStore.
func (g *groupLog) FirstIndex() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first, nil
}

// LastIndex implements raft.LogStore.
func (g *groupLog) LastIndex() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last, nil
}

// IsMonotonic implements raft.MonotonicLogStore: after an installed snapshot the
// library deletes the whole log instead of leaving a gap in it.
func (g *groupLog) IsMonotonic() bool { return true }

// GetLog implements raft.LogStore. It gives raft.ErrLogNotFound itself: the
// library compares by identity, and would never send a snapshot otherwise.
func (g *groupLog) GetLog(index uint64, l *raft.Log) error {
	found, cuts := g.cached(index, l)
	if found {
		return nil
	}
	// The library's metrics goroutine, for which its Shutdown does not wait,
	// may come here after the database was closed.
	g.db.closing.RLock()
	defer g.db.closing.RUnlock()
	if g.db.closed {
		return ErrClosed
	}
	logs, err := g.read(index)
	if err != nil {
		return err
	}
	if len(logs) == 0 {
		return raft.ErrLogNotFound
	}
	*l = *logs[0]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cuts == cuts { // else some of it may be gone, or be other entries now
		g.ahead.clear()
		g.ahead.push(logs)
	}
	return nil
}

// cached looks for an entry in memory, and gives the number of cuts so far.
func (g *groupLog) cached(index uint64, l *raft.Log) (found bool, cuts uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cached, ok := g.tail.get(index)
	if !ok {
		cached, ok = g.ahead.get(index)
	}
	if ok {
		*l = cached
	}
	if index == g.last {
		g.ahead.clear() // a reader in order is at its end
	}
	return ok, g.cuts
}

// read gives the entry at index and some of those behind it, about as many as a
// tail holds, or none if there is no such entry. A start reads the whole log,
// twice; one by one that would take five times as long.
func (g *groupLog) read(index uint64) ([]*raft.Log, error) {
	iter, err := g.db.db.NewIter(&pebble.IterOptions{LowerBound: g.logKey(index), UpperBound: g.key(keyLog + 1)})
	if err != nil {
		return nil, fmt.Errorf("cluster: read log entry %d: %w", index, err)
	}
	var logs []*raft.Log
	bytes := 0
	next := index
	for ok := iter.First(); ok && g.index(iter.Key()) == next; ok = iter.Next() {
		bytes += len(iter.Value())
		if bytes > tailBytes && len(logs) > 0 {
			break
		}
		l := &raft.Log{}
		if err := decodeRecord(append([]byte{}, iter.Value()...), next, l); err != nil {
			return nil, errors.Join(err, iter.Close())
		}
		logs = append(logs, l)
		next++
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("cluster: read log entry %d: %w", index, err)
	}
	return logs, nil
}

// StoreLog implements raft.LogStore.
func (g *groupLog) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore: all entries, durable, or none.
func (g *groupLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := g.checkNext(logs); err != nil {
		return err
	}
	start := time.Now()
	bytes := 0
	batch := g.db.db.NewBatch()
	for _, l := range logs {
		if err := g.addRecord(batch, l); err != nil {
			return g.db.check(errors.Join(err, batch.Close()))
		}
		bytes += len(l.Data)
	}
	durable := pebble.Sync
	if g.db.faults.ackBeforeSync {
		durable = pebble.NoSync
	}
	write := g.db.writes.begin()
	err := batch.Commit(durable)
	g.db.writes.end(write)
	if err := g.db.check(err); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := batch.Close(); err != nil {
		return fmt.Errorf("cluster: store log entries: %w", err)
	}
	g.mu.Lock()
	if g.first == 0 {
		g.first = logs[0].Index
	}
	g.last = logs[len(logs)-1].Index
	g.tail.push(logs)
	g.mu.Unlock()
	g.db.events.logStored(len(logs), bytes, time.Since(start))
	return nil
}

// checkNext refuses entries that would leave a gap in the log or overwrite it.
func (g *groupLog) checkNext(logs []*raft.Log) error {
	g.mu.Lock()
	next := g.last + 1
	if g.last == 0 {
		next = logs[0].Index
	}
	g.mu.Unlock()
	for i, l := range logs {
		if l.Index != next+uint64(i) {
			return fmt.Errorf("cluster: store log entry %d where %d is next", l.Index, next+uint64(i))
		}
	}
	return nil
}

// addRecord writes a record straight into the batch's buffer.
func (g *groupLog) addRecord(batch *pebble.Batch, l *raft.Log) error {
	var head [recordOverhead]byte
	record := appendRecord(head[:0], &raft.Log{Type: l.Type, Term: l.Term, AppendedAt: l.AppendedAt, Extensions: l.Extensions})
	op := batch.SetDeferred(len(g.prefix)+9, len(record)+len(l.Data))
	n := copy(op.Key, g.prefix)
	op.Key[n] = keyLog
	binary.BigEndian.PutUint64(op.Key[n+1:], l.Index)
	copy(op.Value[copy(op.Value, record):], l.Data)
	return op.Finish()
}

// DeleteRange implements raft.LogStore: entries from first to last, both
// included, which must be all, the oldest or the newest of the log. It need not
// be durable at once: what comes back after a crash was not wrong to keep, and
// new entries, which are synced, are behind it in the same write-ahead log.
func (g *groupLog) DeleteRange(first, last uint64) error {
	if err := g.db.check(g.db.db.DeleteRange(g.logKey(first), g.logKey(last+1), pebble.NoSync)); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tail.cut(first, last)
	g.ahead.cut(first, last)
	g.cuts++
	switch {
	case first <= g.first && last >= g.last:
		g.first, g.last = 0, 0
	case first <= g.first:
		g.first = max(g.first, last+1)
	default:
		g.last = min(g.last, first-1)
	}
	return nil
}

// Set implements raft.StableStore.
func (g *groupLog) Set(key, value []byte) error {
	return g.db.set(g.stableKey(key), value)
}

// Get implements raft.StableStore.
func (g *groupLog) Get(key []byte) ([]byte, error) {
	value, err := g.db.get(g.stableKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errKeyNotFound
	}
	return value, err
}

// SetUint64 implements raft.StableStore.
func (g *groupLog) SetUint64(key []byte, value uint64) error {
	return g.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (g *groupLog) GetUint64(key []byte) (uint64, error) {
	value, err := g.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("cluster: read %q of a group: %w", key, ErrCorrupt)
	}
	return binary.BigEndian.Uint64(value), nil
}

func (g *groupLog) key(kind byte) []byte {
	return append(append(make([]byte, 0, len(g.prefix)+9), g.prefix...), kind)
}

func (g *groupLog) logKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64(g.key(keyLog), index)
}

func (g *groupLog) stableKey(name []byte) []byte { return append(g.key(keyStable), name...) }

// index reads the index out of the key of a log entry.
func (g *groupLog) index(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(g.prefix)+1:])
}
