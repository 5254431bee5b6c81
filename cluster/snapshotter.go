package cluster

import (
	"sync"
	"sync/atomic"
)

// A snapshot is due when a shard's log has grown by either of these. They bound
// the log on disk and the entries that a start reads and replays.
const (
	snapshotBytes   = 16 << 20
	snapshotEntries = 8192
)

// snapshotTrigger counts what was applied since the last snapshot and asks for
// the next one when it is due.
type snapshotTrigger struct {
	// Fixed before the replica starts.
	ask   func()
	limit int64 // of entries

	armed   atomic.Bool // the group can take a snapshot
	entries atomic.Int64
	bytes   atomic.Int64
	asked   atomic.Bool
}

// add counts applied entries.
func (t *snapshotTrigger) add(entries, logBytes int) {
	due := t.entries.Add(int64(entries)) >= t.limit
	due = t.bytes.Add(int64(logBytes)) >= snapshotBytes || due
	if due && t.armed.Load() && t.asked.CompareAndSwap(false, true) {
		t.ask()
	}
}

// begin starts the count anew for a snapshot that is being taken.
func (t *snapshotTrigger) begin() (entries, logBytes int64) {
	entries, logBytes = t.entries.Swap(0), t.bytes.Swap(0)
	t.asked.Store(false)
	return entries, logBytes
}

// restore undoes begin for a snapshot that could not be taken, so that the next
// entry asks again.
func (t *snapshotTrigger) restore(entries, logBytes int64) {
	t.entries.Add(entries)
	t.bytes.Add(logBytes)
}

// snapshotter takes the snapshots of a node's shards, one after the other: each
// syncs the whole state database, so several at once would gain nothing.
type snapshotter struct {
	due     chan *group // has room for every group once
	done    chan struct{}
	running sync.WaitGroup
}

func newSnapshotter(shards int) *snapshotter {
	s := &snapshotter{due: make(chan *group, shards), done: make(chan struct{})}
	s.running.Go(s.run)
	return s
}

// ask queues a group. It never blocks: a group asks again only after its turn.
func (s *snapshotter) ask(g *group) {
	select {
	case s.due <- g:
	case <-s.done:
	}
}

func (s *snapshotter) run() {
	for {
		select {
		case g := <-s.due:
			g.snapshotNow()
		case <-s.done:
			return
		}
	}
}

// close returns when no snapshot is being taken any more.
func (s *snapshotter) close() {
	close(s.done)
	s.running.Wait()
}
