package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// trio is one shard with three replicas on the library's memory transport. Nodes
// of more than one replica come later; the group, its fence and its outcomes have
// to hold there already.
type trio struct {
	t          *testing.T
	groups     []*group
	states     []*testState
	transports []*raft.InmemTransport
	dbs        []*logDB
	spaces     []*space
}

func newTrio(t *testing.T, f faults) *trio {
	t.Helper()
	tr := &trio{t: t}
	var all raft.Configuration
	var ids []replicaID
	for i := range 3 {
		id := replicaID{node: fmt.Sprint("n", i), number: uint64(i + 1)}
		ids = append(ids, id)
		all.Servers = append(all.Servers, id.configuration().Servers...)
		_, transport := raft.NewInmemTransportWithTimeout(id.address(), time.Second)
		tr.transports = append(tr.transports, transport)
	}
	for i := range 3 {
		tr.join(i)
		tr.open(ids[i], all, f)
	}
	return tr
}

// join connects replica i with the others, cut takes it away from them.
func (tr *trio) join(i int) {
	for j, other := range tr.transports {
		if i != j {
			tr.transports[i].Connect(other.LocalAddr(), other)
			other.Connect(tr.transports[i].LocalAddr(), tr.transports[i])
		}
	}
}

func (tr *trio) cut(i int) {
	tr.transports[i].DisconnectAll()
	for j, other := range tr.transports {
		if i != j {
			other.Disconnect(tr.transports[i].LocalAddr())
		}
	}
}

func (tr *trio) open(id replicaID, all raft.Configuration, f faults) {
	tr.t.Helper()
	fs, log := vfs.NewMem(), slog.New(slog.DiscardHandler)
	fatal := func(err error) { panic(err) }
	db, err := openLogDB(logDBConfig{fs: fs, path: "log", directory: id.directory, create: true, log: log, events: &Events{}, fatal: fatal})
	if err != nil {
		tr.t.Fatal(err)
	}
	space, err := newSpace(fs, "/", 0, log, &Events{})
	if err != nil {
		tr.t.Fatal(err)
	}
	state := openTestState(tr.t, fs, "state")
	g, err := openGroup(groupConfig{
		shard: 0, me: id, db: db, spool: &spool{files: fs, dir: "/"}, sm: state, trans: tr.transports[len(tr.groups)], timeout: DefaultHeartbeatTimeout,
		budget: &budget{limit: maxNodeBytes}, space: space, snapshot: func(*group) {}, opened: func(*group) {},
		snapshotEntries: snapshotEntries, log: log, events: &Events{}, faults: f,
	}, all)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.groups, tr.states = append(tr.groups, g), append(tr.states, state)
	tr.dbs, tr.spaces = append(tr.dbs, db), append(tr.spaces, space)
}

func (tr *trio) close() {
	for i := range tr.groups {
		if err := errors.Join(tr.groups[i].close(), tr.dbs[i].close()); err != nil {
			tr.t.Error(err)
		}
		tr.spaces[i].close()
		tr.states[i].close(tr.t)
	}
	for _, transport := range tr.transports {
		if err := transport.Close(); err != nil {
			tr.t.Error(err)
		}
	}
}

// owner waits until exactly one replica other than that one says that it owns
// the shard, and gives its place.
func (tr *trio) owner(except int) (int, uint64) {
	tr.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for i, g := range tr.groups {
			if number, err := g.ownership(); err == nil && i != except {
				return i, number
			}
		}
	}
	tr.t.Fatal("no owner after a minute")
	return 0, 0
}

// TestReplicatedFence cuts the owner off again and again while it has proposals
// in flight: what they come to is unknown, no old owner's entry takes effect
// after a new Open, and all replicas end with the same list.
func TestReplicatedFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrio(t, faults{})
		defer tr.close()
		h := newHistory()
		var pending sync.WaitGroup
		propose := func(g *group, number uint64, batch string) {
			pending.Add(1)
			note := h.note(number, batch)
			g.offer(number, []byte(batch), func(err error) { note(err); pending.Done() })
		}
		var unknown int
		except := -1
		for round := range 6 {
			at, number := tr.owner(except)
			g := tr.groups[at]
			for i := range 20 {
				propose(g, number, fmt.Sprintf("%d/%d", round, i))
			}
			pending.Wait()
			tr.cut(at)
			for i := range 5 {
				propose(g, number, fmt.Sprintf("%d/cut/%d", round, i))
			}
			if err := g.confirm(number); !errors.Is(err, ErrNotOwner) {
				t.Errorf("confirm of an owner among three voters = %v, want ErrNotOwner: it has no lease", err)
			}
			pending.Wait() // the library gives up when the leader's lease ends
			if _, err := g.ownership(); !errors.Is(err, ErrNotOwner) {
				t.Errorf("ownership of a replica that was cut off = %v, want ErrNotOwner", err)
			}
			tr.owner(at)
			tr.join(at)
			except = -1
		}
		time.Sleep(5 * time.Second)
		for _, answer := range h.answers {
			if errors.Is(answer, ErrUnknown) {
				unknown++
			}
		}
		if unknown == 0 {
			t.Error("no outcome was unknown, although owners were cut off with proposals in flight")
		}
		for i, state := range tr.states {
			list, err := state.list(0)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.check(list); err != nil {
				t.Errorf("replica %d: %v", i, err)
			}
		}
	})
}

// transferTries is how often a transfer is made to fail. Whether it refuses a
// proposal in its short time depends on which of the library's goroutines runs first.
const transferTries = 20

// TestFailedTransfer: a leadership transfer that fails leaves the library taking
// proposals of the same term. Whatever it refused meanwhile stays without
// successors, and the shard gets a new ownership in the same term.
func TestFailedTransfer(t *testing.T) {
	refused := 0
	for range transferTries {
		synctest.Test(t, func(t *testing.T) {
			h, err := failedTransfer(t, faults{})
			if err != nil {
				t.Error(err)
			}
			for _, answer := range h.answers {
				if errors.Is(answer, raft.ErrLeadershipTransferInProgress) && errors.Is(answer, ErrRefused) {
					refused++
				}
			}
			if len(h.answers) != len(h.proposed) {
				t.Errorf("%d of %d proposals have an answer", len(h.answers), len(h.proposed))
			}
		})
	}
	if refused == 0 {
		t.Error("no proposal was refused because of the transfer, so nothing was tested")
	}
}

// TestFailedTransferFindsFault: without the fence the same run must fail: here
// the term is the same before and after, so it cannot be what refuses.
func TestFailedTransferFindsFault(t *testing.T) {
	found := false
	for range transferTries {
		synctest.Test(t, func(t *testing.T) {
			_, err := failedTransfer(t, faults{noFence: true})
			found = found || err != nil
		})
		if found {
			return
		}
	}
	t.Error("check = nil for replicas that apply entries behind a lost one")
}

// failedTransfer has a client propose all the time while a leadership transfer
// fails, and gives what its history says about the state.
func failedTransfer(t *testing.T, f faults) (*history, error) {
	t.Helper()
	tr := newTrio(t, f)
	defer tr.close()
	at, number := tr.owner(-1)
	g := tr.groups[at]
	target := (at + 1) % 3
	tr.transports[at].Disconnect(tr.transports[target].LocalAddr())
	transfer := g.raft.LeadershipTransferToServer(tr.groups[target].me.serverID(), tr.groups[target].me.address())
	h := newHistory()
	for i := range 200 {
		if now, err := g.ownership(); err == nil {
			number = now
		}
		g.offer(number, []byte(fmt.Sprint(i)), h.note(number, fmt.Sprint(i)))
		time.Sleep(5 * time.Millisecond)
	}
	if err := transfer.Error(); err == nil {
		t.Fatal("the transfer to a replica that cannot be reached succeeded")
	}
	tr.join(at)
	time.Sleep(5 * time.Second)
	list, err := tr.states[at].list(0)
	if err != nil {
		t.Fatal(err)
	}
	return h, h.check(list)
}

// TestReplicatedOwnersDiffer: wherever the leadership goes, no number is given twice.
func TestReplicatedOwnersDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrio(t, faults{})
		defer tr.close()
		seen := map[uint64]bool{}
		except := -1
		for range 4 {
			at, number := tr.owner(except)
			if seen[number] {
				t.Errorf("ownership %d was given twice", number)
			}
			seen[number] = true
			if err := tr.groups[at].raft.LeadershipTransfer().Error(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			except = at
		}
	})
}
