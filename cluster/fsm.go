package cluster

import (
	"errors"
	"fmt"
	"io"
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
	shard   placement.ShardID
	sm      StateMachine
	faults  faults
	applied func(e entry, o outcome)      // called for each batches entry, after it took effect
	logged  func(entries, logBytes int)   // called for all that was applied or skipped
	stopped func(index uint64, err error) // called once, when the replica stops

	// Owned by the library's goroutine that applies.
	fence   fence
	batches [][]byte
	results []any
	entries []entry
	broken  error

	position atomic.Uint64 // index of the last entry that the state contains
}

func newShardFSM(shard placement.ShardID, sm StateMachine, position uint64, f fence) *shardFSM {
	fsm := &shardFSM{shard: shard, sm: sm, fence: f}
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
	if last > position {
		if err := f.commit(fence, last); err != nil {
			f.stop(last, err)
			return f.answerAll(logs, outcomeStopped)
		}
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

func (f *shardFSM) add(e entry, o outcome) {
	f.entries = append(f.entries, e)
	f.results = append(f.results, o)
}

// commit hands the gathered batches to the state machine, with the new position
// and fence, as one atomic step.
func (f *shardFSM) commit(next fence, index uint64) error {
	if err := f.sm.Apply(uint32(f.shard), f.batches, index, next.append(nil)); err != nil {
		return fmt.Errorf("cluster: shard %d: apply entries up to %d: %w", f.shard, index, err)
	}
	f.fence = next
	f.position.Store(index)
	return nil
}

// stop makes the replica answer everything from here on with outcomeStopped: an
// entry that cannot be applied must not be skipped.
func (f *shardFSM) stop(index uint64, err error) {
	f.broken = err
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

// Restore implements raft.FSM.
func (f *shardFSM) Restore(snapshot io.ReadCloser) error {
	return errors.Join(errNoStream, snapshot.Close())
}

// shardSnapshot makes durable what the state holds; the stub itself is stored by
// the sink when the library closes it, after Persist.
type shardSnapshot struct {
	sm     StateMachine
	noSync bool
}

// Persist implements raft.FSMSnapshot.
func (s shardSnapshot) Persist(raft.SnapshotSink) error {
	if s.noSync {
		return nil
	}
	if err := s.sm.Sync(); err != nil {
		return fmt.Errorf("cluster: make state durable: %w", err)
	}
	return nil
}

// Release implements raft.FSMSnapshot.
func (s shardSnapshot) Release() {}
