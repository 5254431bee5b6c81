package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errStaleRead = errors.New("stale read")

// readers write one batch after the other wherever the owner is, and read
// wherever somebody says that it is the owner and can prove it.
type readers struct {
	q *quorum
	h *history

	mu    sync.Mutex // guards the following fields
	acked string     // the newest acknowledged batch
	reads int
	errs  []error
}

// write goes on until stop is closed.
func (r *readers) write(stop <-chan struct{}) {
	ticker := time.NewTicker(15 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		batch := fmt.Sprint("batch ", i)
		for at, n := range r.q.nodes {
			number, err := n.group.Load().ownership()
			if err != nil {
				continue
			}
			name := fmt.Sprint(batch, " at ", at)
			answer := make(chan error, 1)
			note := r.h.note(number, name)
			n.group.Load().offer(number, []byte(name), func(err error) { note(err); answer <- err })
			// Two may call themselves owners. The one that was cut off answers late.
			go func() {
				if <-answer == nil {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.acked = name
				}
			}()
		}
	}
}

// read reads at all nodes: what was acknowledged before the read began must be there.
func (r *readers) read() {
	for at, n := range r.q.nodes {
		r.mu.Lock()
		acked := r.acked
		r.mu.Unlock()
		number, err := n.group.Load().ownership()
		if err != nil || acked == "" {
			continue
		}
		list, err := n.state.list(0)
		proof := n.group.Load().confirm(number)
		r.mu.Lock()
		if proof == nil {
			r.reads++
			if err == nil && !slices.Contains(list, acked) {
				err = errStaleRead
			}
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("read at node %d has %d batches without %q: %w", at, len(list), acked, err))
			}
		}
		r.mu.Unlock()
	}
}

// watch reads every few milliseconds for that long.
func (r *readers) watch(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(11 * time.Millisecond) {
		r.read()
	}
}

// readsUnderFaults cuts owners off, with answers that are long on their way and
// states that are slow, and gives what the readers found.
func readsUnderFaults(t *testing.T, f faults) error {
	t.Helper()
	q := newQuorum(t, 3, 3, f)
	defer q.close()
	r := &readers{q: q, h: newHistory()}
	q.owner(-1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { defer close(stopped); r.write(stop) }()
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 6 {
		at, _ := q.owner(-1)
		victim := q.nodes[at].id.node
		q.net.setDelay(func(_, to string) time.Duration {
			if to == victim {
				return 440 * time.Millisecond
			}
			return time.Millisecond
		})
		r.watch(1500 * time.Millisecond)
		for _, n := range q.nodes {
			if round%2 == 1 {
				n.state.slowDown(100 * time.Millisecond)
			}
			q.net.cut(victim, n.id.node, true)
		}
		r.watch(1200*time.Millisecond + time.Duration(random.IntN(500))*time.Millisecond)
		for _, n := range q.nodes {
			n.state.slowDown(0)
			q.net.cut(victim, n.id.node, false)
		}
		q.net.setDelay(func(string, string) time.Duration { return time.Millisecond })
		r.watch(2 * time.Second)
	}
	close(stop)
	<-stopped
	time.Sleep(3 * time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reads < 500 {
		t.Errorf("%d reads were proven, so little was tested", r.reads)
	}
	list := q.settled()
	return errors.Join(append(r.errs, quorumHistory(r.h, list))...)
}

// quorumHistory is history.check without the order of proposals, which went to
// several nodes at once.
func quorumHistory(h *history, list []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for batch, answer := range h.answers {
		has := slices.Contains(list, batch)
		if answer == nil && !has {
			errs = append(errs, fmt.Errorf("%q was acknowledged and is missing", batch))
		}
		if errors.Is(answer, ErrRefused) && has {
			errs = append(errs, fmt.Errorf("%q was refused and is there", batch))
		}
	}
	return errors.Join(errs...)
}

// TestQuorumReads: what an owner with a lease releases is never stale.
func TestQuorumReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := readsUnderFaults(t, faults{}); err != nil {
			t.Error(err)
		}
	})
}

// TestQuorumReadsFindsFaults: broken variants are caught by the same readers.
func TestQuorumReadsFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for name, f := range map[string]faults{
		"a lease from the receipt of the answer":   {leaseFromAnswer: true},
		"an ownership before its entry is applied": {ownBeforeOpen: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := readsUnderFaults(t, f); err == nil {
					t.Error("no read was stale")
				}
			})
		})
	}
}
