package cluster

import (
	"errors"
	"fmt"
	"io"
)

// install brings the received snapshot, whose content this is, into the state,
// and begins the log behind it. It is called on the goroutine that applies.
//
// Crash windows: until the last step the mark is there, and the next start comes
// here again before Raft starts. The last step is one synced write: mark gone, stub
// stored, log empty. So no start ever finds a log without the state before it.
func (s *snapshotStore) install(received stub, content io.Reader) error {
	if received.Index <= s.fsm.position.Load() {
		return errors.Join(errOldSnapshot, s.discard(received))
	}
	if err := s.fsm.restore(content, received); err != nil {
		return fmt.Errorf("cluster: shard %d: restore snapshot up to entry %d: %w", s.shard, received.Index, err)
	}
	s.mu.Lock()
	err := s.log.begin(received)
	s.mu.Unlock()
	return errors.Join(err, s.spool.remove(received.Received))
}

// finish does before Raft starts what a crash may have left of an install, and
// removes files that nobody needs any more.
func (s *snapshotStore) finish() error {
	received, err := s.log.loadStub(keyReceived)
	if err != nil {
		return err
	}
	if received.Index > 0 {
		if err := s.finishOne(received); err != nil {
			return err
		}
	}
	return s.spool.sweep(s.shard)
}

func (s *snapshotStore) finishOne(received stub) error {
	if received.Index <= s.fsm.position.Load() {
		// Either the state was restored and the last step is missing, or the snapshot
		// was refused, and then the log goes on behind it.
		stub, err := s.log.loadStub(keyStub)
		if err != nil {
			return err
		}
		if max(s.log.last, stub.Index) >= received.Index {
			return s.discard(received)
		}
		if err := s.fsm.sm.Sync(); err != nil {
			return fmt.Errorf("cluster: make state durable: %w", err)
		}
		return s.log.begin(received)
	}
	f, err := s.spool.open(received.Received, received.Size)
	if err != nil {
		return fmt.Errorf("%w: received snapshot of shard %d: %w", ErrDataLoss, s.shard, err)
	}
	return errors.Join(s.install(received, f), f.Close())
}

// discard forgets a received snapshot.
func (s *snapshotStore) discard(received stub) error {
	return errors.Join(s.log.dropReceived(), s.spool.remove(received.Received))
}
