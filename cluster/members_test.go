package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

const (
	oneCluster     = "0123456789abcdef0123456789abcdef"
	anotherCluster = "fedcba9876543210fedcba9876543210"
)

// gossiper is a member under test.
type gossiper struct {
	*members
	end   *gossipEnd
	hints *hints
}

func gossip(t *testing.T, n *gossipNet, name string, start uint64, cluster string, key []byte) *gossiper {
	t.Helper()
	g := &gossiper{end: n.open()}
	g.hints = newHints(func() int { return 3 }, func(placement.ShardID) {})
	var err error
	g.members, err = newMembers(membersConfig{
		node: placement.NodeID(name), start: start, key: key, transport: g.end, hints: g.hints,
		meta:    memberMeta{cluster: cluster, directory: directoryID{byte(start)}, zone: "z", internal: name + ":7000"},
		changed: func() {}, log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gossiper) sees(name string) (start uint64, alive bool) {
	for _, m := range g.all() {
		if string(m.Node) == name {
			return m.Start, m.Alive
		}
	}
	return 0, false
}

func stopAll(t *testing.T, all ...*gossiper) {
	t.Helper()
	for _, g := range all {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(time.Minute) // the library does not wait for its timers
}

func TestMembersSeeEachOtherComeDieAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		key := bytes.Repeat([]byte{1}, 32)
		a, b, c := gossip(t, n, "a", 1, oneCluster, key), gossip(t, n, "b", 1, oneCluster, key), gossip(t, n, "c", 1, oneCluster, key)
		for _, g := range []*gossiper{b, c} {
			if _, err := g.join([]string{a.end.address.String()}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		for _, g := range []*gossiper{a, b, c} {
			for _, name := range []string{"a", "b", "c"} {
				if start, alive := g.sees(name); start != 1 || !alive {
					t.Errorf("%s sees %s with start %d alive %v, want 1, true", g.cfg.node, name, start, alive)
				}
			}
		}
		if address, ok := a.address("b"); !ok || address != "b:7000" {
			t.Errorf("address of b = %q, %v, want b:7000", address, ok)
		}

		if err := b.close(); err != nil { // dies without a word
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if _, alive := a.sees("b"); alive {
			t.Error("a dead node is still taken for alive")
		}

		again := gossip(t, n, "b", 2, oneCluster, key) // at another address
		if _, err := again.join([]string{c.end.address.String()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if start, alive := a.sees("b"); start != 2 || !alive {
			t.Errorf("after its restart b is seen with start %d alive %v, want 2, true", start, alive)
		}
		stopAll(t, a, c, again)
	})
}

func TestMembersOfTwoClustersDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		a, x, newcomer := gossip(t, n, "a", 1, oneCluster, nil), gossip(t, n, "x", 1, anotherCluster, nil), gossip(t, n, "n", 1, "", nil)
		if _, err := x.join([]string{a.end.address.String()}); err == nil {
			t.Error("join of another cluster = nil, want an error")
		}
		if _, err := newcomer.join([]string{a.end.address.String()}); err != nil {
			t.Errorf("join of a node without a cluster = %v, want nil", err)
		}
		time.Sleep(5 * time.Second)
		if _, alive := a.sees("x"); alive {
			t.Error("a sees a member of another cluster")
		}
		if err := newcomer.setCluster(oneCluster); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		for _, m := range a.all() {
			if m.Node == "n" && m.cluster != oneCluster {
				t.Errorf("the newcomer's cluster is %q, want %q", m.cluster, oneCluster)
			}
		}
		stopAll(t, a, x, newcomer)
	})
}

func TestGossipRefusesAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		a, b := gossip(t, n, "a", 1, oneCluster, bytes.Repeat([]byte{1}, 32)), gossip(t, n, "b", 1, oneCluster, bytes.Repeat([]byte{2}, 32))
		if _, err := b.join([]string{a.end.address.String()}); err == nil {
			t.Error("join under another key = nil, want an error")
		}
		stopAll(t, a, b)
	})
}

func TestHintsSpreadAndTheNewestStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		a, b := gossip(t, n, "a", 1, oneCluster, nil), gossip(t, n, "b", 1, oneCluster, nil)
		if _, err := b.join([]string{a.end.address.String()}); err != nil {
			t.Fatal(err)
		}
		a.hints.announce(Hint{Shard: 7, Node: "a", Ownership: 12})
		b.hints.learn(Hint{Shard: 7, Node: "b", Ownership: 11})
		time.Sleep(5 * time.Second)
		if hint, ok := b.hints.owner(7); !ok || hint.Node != "a" || hint.Ownership != 12 {
			t.Errorf("owner(7) = %v, %v, want a under 12", hint, ok)
		}
		if a.hints.learn(Hint{Shard: 7, Node: "b", Ownership: 12}) {
			t.Error("a hint that is not newer was taken")
		}
		stopAll(t, a, b)
	})
}

// records is a resolver with fixed answers.
type records struct {
	mu    sync.Mutex // guards hosts
	hosts map[string][]string
	srv   map[string][]*net.SRV
}

func (r *records) LookupHost(_ context.Context, host string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found := r.hosts[host]; found != nil {
		return slices.Clone(found), nil
	}
	return nil, errors.New("no such host")
}

func (r *records) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	if found := r.srv[name]; found != nil {
		return name, found, nil
	}
	return "", nil, errors.New("no such host")
}

func TestSeedsGiveAllRecords(t *testing.T) {
	r := &records{
		hosts: map[string][]string{"pods": {"10.0.0.1", "fd00::1"}, "one": {"10.0.0.9"}},
		srv:   map[string][]*net.SRV{"_gossip._tcp.x": {{Target: "one.", Port: 99}, {Target: "pods.", Port: 98}}},
	}
	s := &seeds{port: 7946, resolver: r}
	for target, want := range map[string][]string{
		"pods":           {"10.0.0.1:7946", "[fd00::1]:7946"},
		"pods:1":         {"10.0.0.1:1", "[fd00::1]:1"},
		"10.1.2.3":       {"10.1.2.3:7946"},
		"10.1.2.3:5":     {"10.1.2.3:5"},
		"[fd00::2]:5":    {"[fd00::2]:5"},
		"fd00::2":        {"[fd00::2]:7946"},
		"_gossip._tcp.x": {"10.0.0.9:99", "10.0.0.1:98", "[fd00::1]:98"},
	} {
		if got, err := s.resolve(t.Context(), target); err != nil || !slices.Equal(got, want) {
			t.Errorf("resolve(%s) = %v, %v, want %v", target, got, err, want)
		}
	}
	if got, err := s.resolve(t.Context(), "nobody"); err == nil {
		t.Errorf("resolve(nobody) = %v, want an error", got)
	}
}

func TestJoiningGoesOnUntilDNSAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		a, b := gossip(t, n, "a", 1, oneCluster, nil), gossip(t, n, "b", 1, "", nil)
		r := &records{hosts: make(map[string][]string)}
		s := &seeds{targets: []string{"peers"}, port: 7946, resolver: r, log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.keepJoining(ctx, b.members) })
		time.Sleep(time.Hour)
		r.mu.Lock()
		r.hosts["peers"] = []string{a.end.address.IP.String(), b.end.address.IP.String()}
		r.mu.Unlock()
		time.Sleep(time.Minute)
		if _, alive := b.sees("a"); !alive {
			t.Error("a minute after DNS answered, b does not see a")
		}
		cancel()
		wg.Wait()
		stopAll(t, a, b)
	})
}

func TestTwoHalvesMeetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		a, b := gossip(t, n, "a", 1, oneCluster, nil), gossip(t, n, "b", 1, oneCluster, nil)
		s := &seeds{targets: []string{a.end.address.String()}, port: 7946, resolver: &records{}, log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.keepJoining(ctx, b.members) })
		time.Sleep(10 * time.Second)
		n.cut(a.end, b.end, true)
		time.Sleep(10 * time.Minute)
		if _, alive := b.sees("a"); alive {
			t.Error("b takes a for alive over a cut")
		}
		n.cut(a.end, b.end, false)
		time.Sleep(2 * time.Minute)
		if _, alive := b.sees("a"); !alive {
			t.Error("two minutes after the cut is mended, b does not see a")
		}
		cancel()
		wg.Wait()
		stopAll(t, a, b)
	})
}

func FuzzDecodeMemberMeta(f *testing.F) {
	f.Add(memberMeta{cluster: oneCluster, directory: directoryID{1}, zone: "z", internal: "h:1"}.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMemberMeta(data)
		if err == nil && !bytes.Equal(m.append(nil), data) && len(data) <= maxMemberMetaBytes {
			again, err := decodeMemberMeta(m.append(nil))
			if err != nil || again != m {
				t.Errorf("decode(encode(%+v)) = %+v, %v", m, again, err)
			}
		}
	})
}

func FuzzDecodeHints(f *testing.F) {
	f.Add(appendHints(nil, []Hint{{Shard: 3, Node: "a", Ownership: 9}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decodeHints(data)
		if err != nil {
			return
		}
		again, err := decodeHints(appendHints(nil, list))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("decode(encode(%v)) = %v, %v", list, again, err)
		}
	})
}

func TestGossipNames(t *testing.T) {
	for _, name := range []string{"a", "a/", "/1", "a/0", "a/01", "a/x", "a/1/2", "a/-1"} {
		if node, start, err := parseGossipName(name); err == nil {
			t.Errorf("parseGossipName(%q) = %s, %d, want an error", name, node, start)
		}
	}
	if node, start, err := parseGossipName(gossipName("node-1", 12)); err != nil || node != "node-1" || start != 12 {
		t.Errorf("parseGossipName(gossipName(node-1, 12)) = %s, %d, %v", node, start, err)
	}
}
