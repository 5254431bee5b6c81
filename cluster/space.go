package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// spaceCheckPeriod bounds how old the last look at the disk may be while
	// somebody writes. Nobody looks while nobody writes.
	spaceCheckPeriod = time.Second
	// spaceCost is how many bytes of disk one byte of a batch may take before
	// the next look: log, state, and both once more in a flush.
	spaceCost = 4
)

// space refuses writes before the disk is full, so that what is left is enough
// to open the databases again and to delete something.
type space struct {
	// Fixed after newSpace.
	fs      vfs.FS
	dir     string
	reserve uint64
	log     *slog.Logger
	events  *Events
	kick    chan struct{} // one slot: run should look now
	done    chan struct{} // closed when run should end
	running sync.WaitGroup

	left    atomic.Int64 // bytes above the reserve, as far as known
	half    atomic.Int64 // half of what the last look found: below it the next one is due
	checked atomic.Int64 // time of the last look, in ns since 1970
	full    atomic.Bool
	free    atomic.Uint64 // bytes that the last look found, and of how many; 0 of 0: the file system does not tell
	size    atomic.Uint64
}

// Disk is the file system of the data directory.
type Disk struct {
	FreeBytes    uint64 // 0 and 0: it does not tell
	SizeBytes    uint64
	ReserveBytes uint64 // with less than these free no writes are taken
}

// Disk gives what the last look at the disk found, and has it looked at again. It
// does not wait: a disk may hang.
func (n *Node) Disk() Disk {
	s := n.space
	if time.Now().UnixNano()-s.checked.Load() > int64(spaceCheckPeriod) {
		s.kickNow()
	}
	return Disk{FreeBytes: s.free.Load(), SizeBytes: s.size.Load(), ReserveBytes: s.reserve}
}

// newSpace looks at the disk once and starts the goroutine that looks again.
func newSpace(fsys vfs.FS, dir string, reserve uint64, log *slog.Logger, events *Events) (*space, error) {
	s := &space{
		fs: fsys, dir: dir, reserve: reserve, log: log, events: events,
		kick: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if err := s.look(); err != nil {
		return nil, err
	}
	s.running.Go(s.run)
	return s, nil
}

// admit says whether a batch of n bytes may be written.
func (s *space) admit(n int) bool { return s.take(int64(n) * spaceCost) }

// take says whether so many bytes of disk may be used. It does no I/O: it asks
// the goroutine to look again when the last look is old or used up.
func (s *space) take(bytes int64) bool {
	left := s.left.Add(-bytes)
	if left < s.half.Load() || s.full.Load() || time.Now().UnixNano()-s.checked.Load() > int64(spaceCheckPeriod) {
		s.kickNow()
	}
	return left >= 0 && !s.full.Load()
}

// kickNow has the disk looked at. It does not block.
func (s *space) kickNow() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *space) run() {
	for {
		select {
		case <-s.kick:
			if err := s.look(); err != nil {
				s.log.Error("free disk space is unknown", "error", err)
			}
		case <-s.done:
			return
		}
	}
}

// look asks the file system. One that cannot tell has room.
func (s *space) look() error {
	usage, err := s.fs.GetDiskUsage(s.dir)
	s.checked.Store(time.Now().UnixNano())
	if errors.Is(err, vfs.ErrUnsupported) {
		s.setLeft(1 << 62)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cluster: free disk space of %s: %w", s.dir, err)
	}
	s.free.Store(usage.AvailBytes)
	s.size.Store(usage.TotalBytes)
	full := usage.AvailBytes < s.reserve
	s.setLeft(int64(min(max(usage.AvailBytes, s.reserve)-s.reserve, 1<<62)))
	if s.full.Swap(full) != full {
		s.events.storageFull(full, usage.AvailBytes)
		if full {
			s.log.Error("disk is full, writes are refused", "free_bytes", usage.AvailBytes, "reserve_bytes", s.reserve)
		} else {
			s.log.Info("disk has room again, writes are accepted", "free_bytes", usage.AvailBytes)
		}
	}
	return nil
}

func (s *space) setLeft(left int64) {
	s.half.Store(left / 2)
	s.left.Store(left)
}

func (s *space) close() {
	close(s.done)
	s.running.Wait()
}
