package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error
	}{
		{raft.ErrNotLeader, ErrRefused},
		{raft.ErrLeadershipTransferInProgress, ErrRefused},
		{raft.ErrEnqueueTimeout, ErrRefused},
		{raft.ErrLeadershipLost, ErrUnknown},
		{raft.ErrRaftShutdown, ErrUnknown},
		{raft.ErrAbortedByRestore, ErrUnknown},
		{errStopped, ErrUnknown},
		{errors.New("disk on fire"), ErrUnknown},
	} {
		got := classify(tt.err)
		if !errors.Is(got, tt.want) || errors.Is(got, ErrRefused) == errors.Is(got, ErrUnknown) {
			t.Errorf("classify(%v) = %v, want only %v", tt.err, got, tt.want)
		}
		if !errors.Is(got, tt.err) {
			t.Errorf("classify(%v) = %v, which hides the cause", tt.err, got)
		}
	}
}

// lossy is a proposer that loses chosen entries, as a library does that refuses
// one proposal of a term and takes the next.
type lossy struct {
	proposer

	err error

	mu    sync.Mutex // guards the following fields
	count int
	lose  func(count int, e entry) bool
}

func (l *lossy) Apply(data []byte, timeout time.Duration) raft.ApplyFuture {
	e, err := decodeEntry(data)
	if err != nil {
		panic(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.kind == entryBatches {
		l.count++
	}
	if l.lose(l.count, e) {
		return lostFuture{l.err}
	}
	return l.proposer.Apply(data, timeout)
}

type lostFuture struct{ err error }

func (f lostFuture) Error() error  { return f.err }
func (f lostFuture) Response() any { return nil }
func (f lostFuture) Index() uint64 { return 0 }

// losing wraps the groups of a node so that the batches entries whose count is in
// lost get that error and are not proposed.
func losing(err error, lost ...int) func(placement.ShardID, proposer) proposer {
	return func(_ placement.ShardID, p proposer) proposer {
		return &lossy{proposer: p, err: err, lose: func(count int, e entry) bool {
			return e.kind == entryBatches && slices.Contains(lost, count)
		}}
	}
}

// lostRun has a client with several batches in flight propose to a node that
// loses entries, and gives what its history says about the state.
func lostRun(t *testing.T, err error) (*history, error) {
	t.Helper()
	cfg := testConfig(vfs.NewMem(), NewMemoryControl())
	cfg.faults.wrap = losing(err, 3, 4, 9, 15)
	n := startNode(t, cfg)
	defer n.stop(t)
	h := newHistory()
	slots := make(chan struct{}, 6)
	for i := 0; i < 100; {
		slots <- struct{}{}
		number, err := n.Ownership(0)
		if err != nil {
			<-slots
			time.Sleep(time.Millisecond) // until the next ownership
			continue
		}
		batch := fmt.Sprint(i)
		note := h.note(number, batch)
		n.Propose(0, number, []byte(batch), func(err error) { note(err); <-slots })
		i++
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	state, listErr := n.state.list(0)
	if listErr != nil {
		t.Fatal(listErr)
	}
	return h, h.check(state)
}

// TestLostProposal: after a proposal that was not applied nothing of the same
// ownership is, although the library goes on taking proposals of the same term;
// the shard gets a new owner, and every proposal has a true answer.
func TestLostProposal(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error
	}{
		{raft.ErrLeadershipTransferInProgress, ErrRefused},
		{raft.ErrNotLeader, ErrRefused},
		{raft.ErrLeadershipLost, ErrUnknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, err := lostRun(t, tt.err)
			if err != nil {
				t.Error(err)
			}
			lost := 0
			for _, answer := range h.answers {
				if errors.Is(answer, tt.want) && errors.Is(answer, tt.err) {
					lost++
				}
				if answer != nil && !errors.Is(answer, ErrRefused) && !errors.Is(answer, ErrUnknown) {
					t.Errorf("answer %v is neither refused nor unknown", answer)
				}
			}
			if lost == 0 {
				t.Errorf("no answer is a %v because of %v", tt.want, tt.err)
			}
			owners := map[uint64]bool{}
			for _, p := range h.proposed {
				owners[p.ownership] = true
			}
			if len(owners) < 3 {
				t.Errorf("%d ownerships after several losses, want at least 3", len(owners))
			}
		})
	}
}

// TestLostAlone: a single lost proposal, with nothing after it that the fence
// could refuse, has its answer within about two watch periods.
func TestLostAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(vfs.NewMem(), NewMemoryControl())
		cfg.faults.wrap = losing(raft.ErrLeadershipTransferInProgress, 1)
		n := startNode(t, cfg)
		defer n.stop(t)
		before, err := n.Ownership(0)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := n.writeAs(0, before, "lost"); !errors.Is(err, ErrRefused) {
			t.Errorf("write = %v, want ErrRefused", err)
		}
		if took := time.Since(start); took > 2*watchPeriod {
			t.Errorf("the answer took %v, want at most %v", took, 2*watchPeriod)
		}
		synctest.Wait()
		after, err := n.Ownership(0)
		if err != nil || after <= before {
			t.Errorf("Ownership = %d, %v, want a later one than %d", after, err, before)
		}
		if err := n.writeAs(0, before, "old"); !errors.Is(err, ErrNotOwner) {
			t.Errorf("write under the old ownership = %v, want ErrNotOwner", err)
		}
		if err := n.writeAs(0, after, "new"); err != nil {
			t.Errorf("write under the new ownership = %v", err)
		}
		if got, err := n.state.list(0); err != nil || !slices.Equal(got, []string{"new"}) {
			t.Errorf("list = %q, %v, want only the new one", got, err)
		}
	})
}

// TestOpenIsTriedAgain: a leader whose Open entries are lost becomes owner in the end.
func TestOpenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(vfs.NewMem(), NewMemoryControl())
		var mu sync.Mutex
		opens := 0
		cfg.faults.wrap = func(_ placement.ShardID, p proposer) proposer {
			return &lossy{proposer: p, err: raft.ErrLeadershipTransferInProgress, lose: func(_ int, e entry) bool {
				mu.Lock()
				defer mu.Unlock()
				opens++
				return e.kind == entryOpen && opens < 20
			}}
		}
		n := startNode(t, cfg)
		defer n.stop(t)
		if err := n.write(0, "x"); err != nil {
			t.Errorf("write = %v", err)
		}
	})
}

// TestStateMachineFails: a shard whose state machine fails stops, loudly, with
// unknown outcomes; the others go on; nothing is skipped after a restart.
func TestStateMachineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(vfs.NewMem(), NewMemoryControl())
		var mu sync.Mutex
		var stopped []placement.ShardID
		cfg.Events.ReplicaStopped = func(shard placement.ShardID, _ error) {
			mu.Lock()
			defer mu.Unlock()
			stopped = append(stopped, shard)
		}
		n := startNode(t, cfg)
		if err := n.write(1, "before"); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("state is broken")
		n.state.failWith(broken)
		if err := n.write(1, "during"); !errors.Is(err, ErrUnknown) || !errors.Is(err, broken) {
			t.Errorf("write to a failing state = %v, want ErrUnknown with the cause", err)
		}
		n.state.failWith(nil)
		synctest.Wait()
		if _, err := n.Ownership(1); !errors.Is(err, ErrNotOwner) {
			t.Errorf("Ownership of a stopped shard = %v, want ErrNotOwner", err)
		}
		if err := n.Status().Shards[1].Stopped; !errors.Is(err, broken) {
			t.Errorf("Status: Stopped = %v, want the cause", err)
		}
		if err := n.write(2, "other"); err != nil {
			t.Errorf("write to another shard = %v", err)
		}
		mu.Lock()
		if !slices.Equal(stopped, []placement.ShardID{1}) {
			t.Errorf("ReplicaStopped for %v, want shard 1 once", stopped)
		}
		mu.Unlock()
		n.stop(t)

		n = startNode(t, cfg)
		defer n.stop(t)
		if got, err := n.state.list(1); err != nil || !slices.Equal(got, []string{"before", "during"}) {
			t.Errorf("list after a restart = %q, %v: the entry was in the log", got, err)
		}
	})
}

// TestUnknownEntry: a replica that meets an entry of a later version stops there.
func TestUnknownEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(vfs.NewMem(), NewMemoryControl())
		n := startNode(t, cfg)
		if err := n.write(3, "before"); err != nil {
			t.Fatal(err)
		}
		g := n.group(3)
		future := g.raft.Apply([]byte{entryVersion + 1, byte(entryBatches)}, 0)
		if err := future.Error(); err != nil || future.Response() != any(outcomeStopped) {
			t.Errorf("entry of a later version: %v, %v, want outcomeStopped", future.Response(), err)
		}
		if err := n.write(3, "after"); !errors.Is(err, ErrNotOwner) && !errors.Is(err, ErrUnknown) {
			t.Errorf("write behind it = %v, want ErrNotOwner or ErrUnknown", err)
		}
		if err := g.raft.Snapshot().Error(); err == nil {
			t.Error("a stopped replica took a snapshot, behind which the log is cut")
		}
		n.stop(t)

		// The entry is still there, so the node cannot start: no entry is skipped.
		if _, err := tryStart(t, cfg); !errors.Is(err, ErrUnknownVersion) {
			t.Errorf("start = %v, want ErrUnknownVersion", err)
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(vfs.NewMem(), NewMemoryControl())
		hold := make(chan struct{})
		cfg.Events.LogStored = func(_, bytes int, _ time.Duration) {
			if bytes > 1<<20 {
				<-hold // the disk stands still
			}
		}
		n := startNode(t, cfg)
		defer n.stop(t)
		number, err := n.Ownership(0)
		if err != nil {
			t.Fatal(err)
		}
		big := make([]byte, 5<<20)
		answers := make(chan error, 10)
		for range 3 {
			n.Propose(0, number, big, func(err error) { answers <- err })
		}
		if err := n.writeAs(0, number, string(big)); !errors.Is(err, ErrOverloaded) || !errors.Is(err, ErrRefused) {
			t.Errorf("write beyond %d bytes in flight = %v, want ErrOverloaded", maxShardBytes, err)
		}
		if got := n.Status().Shards[0].InFlightBytes; got != 15<<20 {
			t.Errorf("InFlightBytes = %d, want %d", got, 15<<20)
		}
		if err := n.write(1, "other shard"); err != nil {
			t.Errorf("write to another shard = %v", err)
		}
		n.budget.limit = 16 << 20
		if err := n.write(1, string(make([]byte, 2<<20))); !errors.Is(err, ErrOverloaded) {
			t.Errorf("write beyond the node's bytes = %v, want ErrOverloaded", err)
		}
		close(hold)
		for range 3 {
			if err := <-answers; err != nil {
				t.Errorf("held write = %v", err)
			}
		}
		if err := n.writeAs(0, number, string(big)); err != nil {
			t.Errorf("write after the disk goes on = %v", err)
		}
		if used := n.Status().InFlightBytes; used != 0 {
			t.Errorf("InFlightBytes = %d at the end", used)
		}
	})
}
