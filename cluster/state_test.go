package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// testState is a StateMachine that keeps, for each shard, the list of all
// batches in the order of their execution. Like a real one it writes without
// sync: what Sync did not make durable is lost in a crash.
type testState struct {
	db *pebble.DB

	mu     sync.Mutex // guards the following fields
	counts map[uint32]uint64
	fail   error         // returned by Apply
	slow   time.Duration // before Apply

	restoreNoSync bool // a mistake: Restore returns before its state is durable
}

// openTestState opens the state in that directory, which need not exist.
func openTestState(tb testing.TB, fs vfs.FS, dir string) *testState {
	tb.Helper()
	opts := &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: quietPebble{}, MemTableSize: 4 << 20}
	if fs != vfs.Default {
		opts.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		tb.Fatalf("open test state: %v", err)
	}
	return &testState{db: db, counts: map[uint32]uint64{}}
}

type quietPebble struct{}

func (quietPebble) Infof(string, ...any)  {}
func (quietPebble) Errorf(string, ...any) {}
func (quietPebble) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func stateKey(shard uint32, kind byte, n uint64) []byte {
	key := binary.BigEndian.AppendUint32(nil, shard)
	return binary.BigEndian.AppendUint64(append(key, kind), n)
}

func (s *testState) Position(shard uint32) (uint64, []byte, error) {
	value, closer, err := s.db.Get(stateKey(shard, 'p', 0))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	defer closer.Close()
	index := binary.BigEndian.Uint64(value)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[shard] = binary.BigEndian.Uint64(value[8:])
	return index, append([]byte{}, value[16:]...), nil
}

func (s *testState) Apply(shard uint32, batches [][]byte, index uint64, header []byte) error {
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	time.Sleep(slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	b := s.db.NewBatch()
	defer b.Close()
	count := s.counts[shard]
	for _, batch := range batches {
		if err := b.Set(stateKey(shard, 'v', count), batch, nil); err != nil {
			return err
		}
		count++
	}
	position := binary.BigEndian.AppendUint64(nil, index)
	position = append(binary.BigEndian.AppendUint64(position, count), header...)
	if err := b.Set(stateKey(shard, 'p', 0), position, nil); err != nil {
		return err
	}
	s.counts[shard] = count
	return b.Commit(pebble.NoSync)
}

func (s *testState) Sync() error { return s.db.LogData(nil, pebble.Sync) }

func (s *testState) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// slowDown makes every Apply take that much longer.
func (s *testState) slowDown(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = d
}

// list gives all batches of a shard in the order of their execution.
func (s *testState) list(shard uint32) ([]string, error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: stateKey(shard, 'v', 0), UpperBound: stateKey(shard, 'w', 0)})
	if err != nil {
		return nil, err
	}
	var all []string
	for iter.First(); iter.Valid(); iter.Next() {
		all = append(all, string(iter.Value()))
	}
	return all, iter.Close()
}

func (s *testState) close(tb testing.TB) {
	tb.Helper()
	if err := s.db.Close(); err != nil {
		tb.Fatalf("close test state: %v", err)
	}
}
