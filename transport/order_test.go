package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// moving is three nodes: "a" has the object that calls, "b" and "c" have the one
// that is called in turn. Connections between them take a random time for each write.
type moving struct {
	t     *testing.T
	rand  *rand.Rand
	nodes map[string]*movingNode

	mu      sync.Mutex // guards the following fields
	owner   string     // of the called object; "" = none
	number  uint64     // of its ownership
	changed chan struct{}
	runs    []movingRun
}

// movingRun is one run of a call, which is known by its number.
type movingRun struct {
	ownership uint64
	call      int
}

type movingNode struct {
	*actortest.Node
	name   string
	server *PeerServer
	peers  *Peers
}

// resolved finds owners as a node of moving sees them.
type resolved struct {
	m    *moving
	name string
	fix  actor.ID // the calling object
}

func (resolved) Holders(actor.ID) []string { return nil }

func (r resolved) Owner(object actor.ID) (Owner, bool, <-chan struct{}) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	owner := r.m.owner
	if object == r.fix {
		owner = "a"
	}
	return Owner{Node: owner, Local: owner == r.name}, owner != "", r.m.changed
}

// slowConn delays each write.
type slowConn struct {
	net.Conn
	delay func() time.Duration
}

func (c *slowConn) Write(p []byte) (int, error) {
	time.Sleep(c.delay())
	return c.Conn.Write(p)
}

// placeless is a Router that forgets the places of calls: a broken variant.
type placeless struct{ *Router }

func (p placeless) Dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	return p.Router.Dispatch(w, r.WithContext(bare{r.Context()}), target, socket)
}

type bare struct{ context.Context }

func (bare) Value(any) any { return nil }

func newMoving(t *testing.T, seed uint64, broken bool) *moving {
	t.Helper()
	m := &moving{t: t, rand: rand.New(rand.NewPCG(seed, 1)), nodes: make(map[string]*movingNode), changed: make(chan struct{})}
	classes := map[string]actor.Class{
		"Asker":  {New: func(_ context.Context, s *actor.State) (http.Handler, error) { return m.asker(s), nil }},
		"Callee": {New: func(context.Context, *actor.State) (http.Handler, error) { return m.callee(), nil }},
	}
	for i, name := range []string{"a", "b", "c"} {
		n := &movingNode{name: name}
		n.Node = actortest.New(t, actor.Config{Classes: classes, Start: uint64(i * 100)})
		n.server = NewPeerServer(n.Host, slog.New(slog.DiscardHandler))
		n.peers = NewPeers(func(_ context.Context, node string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			m.nodes[node].server.Accept(&slowConn{theirs, m.delay})
			return &slowConn{mine, m.delay}, nil
		})
		asker := n.Target("Asker", "a").ID
		router := NewRouter(n.Host, resolved{m, name, asker}, n.peers)
		n.Host.Route(router)
		if broken {
			n.Host.Route(placeless{router})
		}
		n.Committer.Own(func(id actor.ID) bool { return name == "a" && id == asker })
		m.nodes[name] = n
		var wg sync.WaitGroup
		wg.Go(func() { _ = n.server.Serve() })
		t.Cleanup(func() {
			n.peers.Close()
			_ = n.server.Shutdown(context.Background())
			wg.Wait()
		})
	}
	return m
}

func (m *moving) delay() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.rand.IntN(3000)) * time.Microsecond
}

// move takes the called object from its owner and, after a while, gives it to the other.
func (m *moving) move(to string) {
	if from := m.nodes[m.setOwner("")]; from != nil {
		from.Committer.Own(func(actor.ID) bool { return false })
		for shard := range uint32(4) {
			from.Host.SetOwnership(shard, 0)
		}
	}
	time.Sleep(m.delay())
	n := m.nodes[to]
	callee := n.Target("Callee", "x").ID
	n.Committer.SetOwnership(m.number + 2)
	n.Committer.Own(func(id actor.ID) bool { return id == callee })
	m.setOwner(to)
}

func (m *moving) setOwner(name string) (old string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, m.owner = m.owner, name
	if name != "" {
		m.number += 2
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return old
}

func (m *moving) callee() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		call, _ := strconv.Atoi(r.URL.Query().Get("n"))
		m.mu.Lock()
		defer m.mu.Unlock()
		m.runs = append(m.runs, movingRun{m.number, call})
	})
}

// asker makes calls in groups, each group at once and the groups in a random time.
func (m *moving) asker(s *actor.State) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ns, _ := s.Namespace("Callee")
		stub, _ := ns.Named("x")
		var calls []*actor.Call
		for n := range 60 {
			inner, _ := http.NewRequest("POST", fmt.Sprintf("/?n=%d", n), nil)
			call, err := stub.Start(r.Context(), inner)
			if err != nil {
				m.t.Error(err)
				return
			}
			calls = append(calls, call)
			if n%6 == 5 {
				_ = s.Outside(r.Context(), func(context.Context) error { time.Sleep(4 * m.delay()); return nil })
			}
		}
		for n, call := range calls {
			_, err := call.Response(r.Context())
			fmt.Fprintf(w, "%d:%v\n", n, err == nil)
			if err != nil && !errors.Is(err, actor.ErrOutcomeUnknown) && !errors.Is(err, actor.ErrNotOwner) {
				m.t.Errorf("call %d = %v", n, err)
			}
		}
	})
}

var errOrder = errors.New("calls of a stub passed each other")

// check says whether the calls that were answered took effect in their order.
// One that was refused without an effect may have run before.
func (m *moving) check(answers string) error {
	last := make(map[int]int) // the last run of a call, in the list of runs
	for i, run := range m.runs {
		last[run.call] = i
	}
	before, answered := -1, 0
	for line := range strings.Lines(answers) {
		var n int
		var ok bool
		if _, err := fmt.Sscanf(line, "%d:%t", &n, &ok); err != nil {
			return err
		}
		if !ok {
			continue
		}
		at, ran := last[n]
		if !ran || at <= before {
			return fmt.Errorf("%w: call %d ran last at %d, one before it at %d: %v", errOrder, n, at, before, m.runs)
		}
		before = at
		answered++
	}
	if answered < 30 {
		return fmt.Errorf("only %d of 60 calls were answered", answered)
	}
	return nil
}

// Conformance case 25
func TestStubsKeepTheirOrderWhileTheObjectMoves(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "without numbers": true} {
		t.Run(name, func(t *testing.T) {
			caught := 0
			for seed := range uint64(20) {
				synctest.Test(t, func(t *testing.T) {
					m := newMoving(t, seed, broken)
					m.move("b")
					a := m.nodes["a"]
					call := a.Begin(a.Target("Asker", "a"), "GET", "/", "")
					for i := 0; !call.Over() && i < 20; i++ {
						time.Sleep(5 * m.delay())
						m.move([]string{"c", "b"}[i%2])
					}
					_, answers, err := call.Wait()
					if err != nil {
						t.Fatal(err)
					}
					err = m.check(answers)
					if errors.Is(err, errOrder) {
						caught++
					}
					if err != nil && !broken {
						t.Errorf("seed %d: %v", seed, err)
					}
				})
			}
			if broken && caught == 0 {
				t.Error("the checker did not catch the broken variant")
			}
		})
	}
}
