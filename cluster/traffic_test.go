package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// traffic writes to all shards, one batch at a time for each, and remembers what
// was acknowledged.
type traffic struct {
	mesh    *mesh
	stop    chan struct{}
	stopped sync.Once
	running sync.WaitGroup

	mu       sync.Mutex // guards the following fields
	nodes    map[string]*testNode
	acked    map[placement.ShardID][]string
	unknown  []string
	failures []error
}

func (m *mesh) traffic(nodes ...*meshNode) *traffic {
	tr := &traffic{
		mesh: m, stop: make(chan struct{}), nodes: make(map[string]*testNode), acked: make(map[placement.ShardID][]string),
	}
	for _, n := range nodes {
		tr.add(n)
	}
	for shard := range placement.ShardID(m.shards) {
		tr.running.Go(func() { tr.write(shard) })
	}
	m.load = tr
	return tr
}

func (tr *traffic) add(n *meshNode) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.nodes[n.name] = n.testNode
}

// remove makes writers use the node no more, which may then be halted.
func (tr *traffic) remove(n *meshNode) {
	tr.mu.Lock()
	delete(tr.nodes, n.name)
	tr.mu.Unlock()
	time.Sleep(time.Second) // those who have it are through with it
}

func (tr *traffic) write(shard placement.ShardID) {
	for i := 0; ; i++ {
		if waitFor(tr.stop, 50*time.Millisecond) {
			return
		}
		batch := fmt.Sprintf("%d-%d", shard, i)
		err := tr.try(shard, batch)
		tr.mu.Lock()
		switch {
		case err == nil:
			tr.acked[shard] = append(tr.acked[shard], batch)
		case errors.Is(err, ErrUnknown):
			tr.unknown = append(tr.unknown, batch)
		default:
			tr.failures = append(tr.failures, err)
		}
		tr.mu.Unlock()
	}
}

// waitFor waits until c is closed, for that long at most, and says whether it is.
func waitFor(c <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}

// through gives a node to ask, and the one that it names.
func (tr *traffic) through(shard placement.ShardID, try int) (owner *testNode, changed <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var names []string
	for name := range tr.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	gateway := tr.nodes[names[(int(shard)+try)%len(names)]]
	node, _, _, ok, changed := gateway.Owner(shard)
	if !ok {
		return nil, changed
	}
	return tr.nodes[node], changed
}

// try goes where the owner is said to be, until the batch was not certainly refused.
func (tr *traffic) try(shard placement.ShardID, batch string) error {
	deadline := time.Now().Add(10 * time.Second)
	err := ErrNotOwner
	for i := 0; time.Now().Before(deadline); i++ {
		owner, changed := tr.through(shard, i/20)
		if owner != nil {
			if err = owner.write(shard, batch); !errors.Is(err, ErrRefused) {
				return err
			}
		}
		waitFor(changed, 25*time.Millisecond)
	}
	return fmt.Errorf("shard %d refuses %q for 10 s, at %v: %w", shard, batch, time.Since(tr.mesh.start), err)
}

func (tr *traffic) halt() {
	tr.stopped.Do(func() { close(tr.stop) })
	tr.running.Wait()
}

// end stops writing and compares what was acknowledged with the state of every
// replica. Writes may have an unknown outcome only where a test allows it.
func (tr *traffic) end(mayBeUnknown bool) {
	t, m := tr.mesh.t, tr.mesh
	t.Helper()
	tr.halt()
	for i, err := range tr.failures {
		if i < 5 {
			t.Error(err)
		}
	}
	if len(tr.unknown) > 0 && !mayBeUnknown {
		t.Errorf("%d writes have an unknown outcome, %v", len(tr.unknown), tr.unknown[0])
	}
	for shard := range placement.ShardID(m.shards) {
		if len(tr.acked[shard]) == 0 {
			t.Errorf("shard %d: nothing was written", shard)
		}
		m.eventually(fmt.Sprintf("equal replicas of shard %d", shard), time.Minute, func() error { return m.sameState(shard, tr.acked[shard], tr.unknown) })
	}
}

// sameState checks that all replicas of a shard hold those batches in order, and
// of others at most the unknown ones, and that nobody else has anything of it.
func (m *mesh) sameState(shard placement.ShardID, want, unknown []string) error {
	var first []string
	holders := 0
	for _, n := range m.up() {
		got, err := n.state.list(uint32(shard))
		if err != nil {
			return err
		}
		if n.group(shard) == nil {
			if len(got) > 0 {
				return fmt.Errorf("%s holds no replica of shard %d and has %d batches of it", n.name, shard, len(got))
			}
			continue
		}
		if holders++; holders == 1 {
			first = got
		}
		if !slices.Equal(got, first) {
			return fmt.Errorf("%s has %d batches of shard %d, another replica has %d", n.name, len(got), shard, len(first))
		}
		sure := slices.DeleteFunc(slices.Clone(got), func(b string) bool { return slices.Contains(unknown, b) })
		if !slices.Equal(sure, want) {
			return fmt.Errorf("%s has %d batches of shard %d, want %d", n.name, len(sure), shard, len(want))
		}
	}
	if holders == 0 {
		return fmt.Errorf("shard %d is nowhere", shard)
	}
	return nil
}
