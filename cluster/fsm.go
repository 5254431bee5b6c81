package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// outcome is what the state machine of a shard answers to an entry.
type outcome byte

const (
	outcomeApplied outcome = iota + 1
	// outcomeRefused: the fence did not admit the entry; no replica executes it.
	outcomeRefused
	// outcomeStopped: this replica stopped before the entry. Others may execute
	// it, and so may this one after a restart.
	outcomeStopped
)

// shardFSM is the raft.BatchingFSM of a shard: a thin shell that checks the
// fence and hands the batches of many entries to the StateMachine in one step.
type shardFSM struct {
	// Fixed after newShardFSM.
	shard      placement.ShardID
	sm         StateMachine
	faults     faults
	applied    func(e entry, o outcome)         // called for each batches entry, after it took effect
	logged     func(entries, logBytes int)      // called for all that was applied or skipped
	configured func(raft.Configuration, uint64) // called for each configuration that was committed
	install    func(content io.Reader) error    // brings the received snapshot into the state
	stopped    func(index uint64, err error)    // called once, when the replica stops

	// Owned by the library's goroutine that applies.
	fence   fence
	batches [][]byte
	results []any
	entries []entry
	broken  error

	position atomic.Uint64 // index of the last entry that the state contains
	busy     busySince     // entries are being applied, or a snapshot restored

	// mu is held while the state changes, so that a picture of it and at agree.
	mu sync.Mutex
	at stub // where in the log the state is; behind position until that was replayed
}

// newShardFSM makes the state machine of a replica whose newest snapshot is from.
func newShardFSM(shard placement.ShardID, sm StateMachine, position uint64, f fence, from stub) *shardFSM {
	fsm := &shardFSM{shard: shard, sm: sm, fence: f, at: from}
	fsm.position.Store(position)
	return fsm
}

// Apply implements raft.FSM. The library calls ApplyBatch instead.
func (f *shardFSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. The library calls it from one
// goroutine, in the order of the log, without holes. Entries that the state has
// already, which the library replays after a start, are skipped.
func (f *shardFSM) ApplyBatch(logs []*raft.Log) []any {
	if f.broken != nil {
		return f.answerAll(logs, outcomeStopped)
	}
	f.busy.begin()
	defer f.busy.end()
	f.batches, f.results, f.entries = f.batches[:0], f.results[:0], f.entries[:0]
	fence, position := f.fence, f.position.Load()
	last, logBytes := position, 0
	var failure error
	for _, l := range logs {
		logBytes += len(l.Data)
		if l.Index <= position {
			f.add(entry{}, outcomeApplied)
			continue
		}
		e, next, o, err := f.decide(fence, l)
		if err != nil {
			failure = fmt.Errorf("cluster: shard %d: entry %d: %w", f.shard, l.Index, err)
			break
		}
		fence, last = next, l.Index
		if o == outcomeApplied {
			f.batches = append(f.batches, e.batches...)
		}
		f.add(e, o)
	}
	if err := f.commit(fence, last, logs[:len(f.results)]); err != nil {
		f.stop(last, err)
		return f.answerAll(logs, outcomeStopped)
	}
	for i, e := range f.entries {
		if e.kind == entryBatches {
			f.applied(e, f.results[i].(outcome)) //nolint:errcheck,forcetypeassert // add puts nothing else in
		}
	}
	f.logged(len(f.results), logBytes)
	if failure != nil {
		f.stop(logs[len(f.results)].Index, failure)
		for range len(logs) - len(f.results) {
			f.results = append(f.results, outcomeStopped)
		}
	}
	clear(f.batches) // they alias entries, which may go
	clear(f.entries)
	return f.results
}

// decide reads a log entry and checks it against the fence.
func (f *shardFSM) decide(now fence, l *raft.Log) (entry, fence, outcome, error) {
	if l.Type != raft.LogCommand {
		return entry{}, now, outcomeApplied, nil // a configuration only moves the position on
	}
	e, err := decodeEntry(l.Data)
	if err != nil {
		return entry{}, now, 0, err
	}
	next, ok := now.admit(e, l.Index, l.Term)
	if !ok && f.faults.noFence {
		next, ok = now, true
	}
	if !ok {
		return e, now, outcomeRefused, nil
	}
	return e, next, outcomeApplied, nil
}

// opened gives the fence that the state has now, unless the state is changing.
func (f *shardFSM) opened() fence {
	if !f.mu.TryLock() {
		return fence{} // a received snapshot may take long
	}
	defer f.mu.Unlock()
	return f.fence
}

func (f *shardFSM) add(e entry, o outcome) {
	f.entries = append(f.entries, e)
	f.results = append(f.results, o)
}

// commit hands the gathered batches to the state machine, with the new position
// and fence, as one atomic step, and follows where in the log that is.
func (f *shardFSM) commit(next fence, index uint64, logs []*raft.Log) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if index > f.position.Load() {
		err := f.sm.Apply(uint32(f.shard), f.batches, index, next.append(nil))
		if err != nil {
			return fmt.Errorf("cluster: shard %d: apply entries up to %d: %w", f.shard, index, err)
		}
		f.fence = next
		f.position.Store(index)
	}
	for _, l := range logs {
		if l.Index <= f.at.Index {
			continue
		}
		if l.Type == raft.LogConfiguration {
			c := raft.DecodeConfiguration(l.Data)
			f.at = newStub(l.Index, l.Term, c, l.Index)
			f.configured(c, l.Index)
		}
		f.at.Index, f.at.Term = l.Index, l.Term
	}
	return nil
}

// picture gives the state as it is now, and where in the log that is.
func (f *shardFSM) picture() (ShardPicture, stub, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.Index == 0 || f.at.Index < f.position.Load() || len(f.at.Servers) == 0 {
		return nil, stub{}, errNoPicture
	}
	picture, err := f.sm.Snapshot(uint32(f.shard))
	if err != nil {
		return nil, stub{}, fmt.Errorf("cluster: shard %d: take a picture: %w", f.shard, err)
	}
	return picture, f.at, nil
}

// restore replaces the state by the content of a snapshot. The replica stops if
// that fails: what the state holds then is nothing at all.
func (f *shardFSM) restore(content io.Reader, from stub) error {
	f.busy.begin()
	defer f.busy.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.sm.Restore(uint32(f.shard), content)
	var header []byte
	var position uint64
	if err == nil {
		position, header, err = f.sm.Position(uint32(f.shard))
	}
	if err == nil && position != from.Index {
		err = fmt.Errorf("its state is at entry %d: %w", position, ErrCorrupt)
	}
	if err == nil {
		f.fence, err = decodeFence(header)
	}
	if err != nil {
		return err
	}
	f.position.Store(position)
	from.Received, from.Size = "", 0
	f.at = from
	return nil
}

// stop makes the replica answer everything from here on with outcomeStopped: an
// entry that cannot be applied must not be skipped.
func (f *shardFSM) stop(index uint64, err error) {
	f.broken = err
	f.mu.Lock()
	f.at = stub{} // nobody gets a picture of it
	f.mu.Unlock()
	f.stopped(index, err)
}

func (f *shardFSM) answerAll(logs []*raft.Log, o outcome) []any {
	results := make([]any, len(logs))
	for i := range results {
		results[i] = o
	}
	return results
}

// errStopped keeps the library from cutting the log of a stopped replica.
var errStopped = errors.New("cluster: the replica has stopped")

// Snapshot implements raft.FSM. The library calls it from the goroutine that applies.
func (f *shardFSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.broken != nil {
		return nil, errStopped
	}
	return shardSnapshot{sm: f.sm, noSync: f.faults.stubNoSync}, nil
}

// Restore implements raft.FSM: it brings the received snapshot into the state. The
// library closes it.
func (f *shardFSM) Restore(snapshot io.ReadCloser) error {
	err := f.broken
	if err == nil {
		err = f.install(snapshot)
	}
	if err != nil && f.broken == nil && !errors.Is(err, errOldSnapshot) {
		f.stop(f.position.Load(), err)
	}
	return err
}

// shardSnapshot makes durable what the state holds; the stub itself is stored by
// the sink when the library closes it, after Persist.
type shardSnapshot struct {
	sm     StateMachine
	noSync bool
}

// Persist implements raft.FSMSnapshot.
func (s shardSnapshot) Persist(sink raft.SnapshotSink) error {
	if !s.noSync {
		if err := s.sm.Sync(); err != nil {
			return fmt.Errorf("cluster: make state durable: %w", err)
		}
	}
	if own, ok := sink.(*snapshotSink); ok {
		own.declared = true
	}
	return nil
}

// Release implements raft.FSMSnapshot.
func (s shardSnapshot) Release() {}
