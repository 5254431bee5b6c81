package cluster

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// watch looks at all groups every millisecond for that long.
func (c *muxCluster) watch(d time.Duration) error {
	var errs []error
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := c.oneLeader(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// lateAnswers cuts a leader of many groups off while answers are on their way to
// it for almost as long as a heartbeat may take, and gives what watch finds.
func lateAnswers(t *testing.T, f faults) error {
	t.Helper()
	c := newMuxCluster(t, 48, f)
	defer c.close()
	for g := range c.nodes[0].replicas {
		c.leader(g, -1)
	}
	var errs []error
	for round := range 3 {
		victim := c.nodes[round].name
		c.net.setDelay(func(_, to string) time.Duration {
			if to == victim {
				return 460 * time.Millisecond
			}
			return time.Millisecond
		})
		time.Sleep(3 * time.Second)
		for _, other := range c.nodes {
			c.net.cut(victim, other.name, true)
		}
		errs = append(errs, c.watch(2*time.Second))
		for _, other := range c.nodes {
			c.net.cut(victim, other.name, false)
		}
		c.net.setDelay(func(string, string) time.Duration { return time.Millisecond })
		time.Sleep(3 * time.Second)
	}
	return errors.Join(errs...)
}

// TestLeaseLateAnswers: no old leader has a lease after a new one was elected.
func TestLeaseLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := lateAnswers(t, faults{}); err != nil {
			t.Error(err)
		}
	})
}

// TestLeaseLateAnswersFindsFault: a lease from the receipt of the answer is caught.
func TestLeaseLateAnswersFindsFault(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	synctest.Test(t, func(t *testing.T) {
		if err := lateAnswers(t, faults{leaseFromAnswer: true}); err == nil {
			t.Error("watch = nil for leases that are counted from the answer")
		}
	})
}

// restarts has one follower of each leader restart again and again while the
// other does not hear of the leader, and gives what watch finds.
func restarts(t *testing.T, f faults) error {
	t.Helper()
	c := newMuxCluster(t, 24, f)
	defer c.close()
	var errs []error
	random := rand.New(rand.NewPCG(3, 4))
	for range 6 {
		for g := range c.nodes[0].replicas {
			c.leader(g, -1)
		}
		deaf, restarted := random.IntN(3), 0
		if deaf == restarted {
			restarted = 1
		}
		for _, other := range c.nodes {
			if other.name != c.nodes[restarted].name {
				c.net.cut(other.name, c.nodes[deaf].name, true)
				c.net.cut(c.nodes[deaf].name, other.name, true)
			}
		}
		for range 4 {
			errs = append(errs, c.watch(time.Duration(150+random.IntN(300))*time.Millisecond))
			c.stop(restarted)
			c.run(restarted)
		}
		errs = append(errs, c.watch(600*time.Millisecond))
		c.net.isolate(c.nodes[deaf].name, false)
	}
	return errors.Join(errs...)
}

// TestLeaseRestart: a replica that has forgotten its leader elects nobody before
// that one's lease is over.
func TestLeaseRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := restarts(t, faults{}); err != nil {
			t.Error(err)
		}
	})
}

// TestLeaseRestartFindsFault: a replica that votes as soon as it runs is caught.
func TestLeaseRestartFindsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := restarts(t, faults{voteAtOnce: true}); err == nil {
			t.Error("watch = nil for replicas that vote right after their start")
		}
	})
}

// TestLeaseEndsWithTransfer: hand over all the time, and no two leaders have a
// lease; the old one has none as soon as the transfer begins, even if it fails.
func TestLeaseEndsWithTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMuxCluster(t, 16, faults{})
		defer c.close()
		for round := range 5 {
			for g := range c.nodes[0].replicas {
				at := c.leader(g, -1)
				r := c.nodes[at].replicas[g]
				term := r.raft.CurrentTerm()
				to := c.nodes[(at+1)%3]
				if round == 4 {
					c.net.isolate(to.name, true)
					r.port.endLease(term)
				}
				err := r.raft.LeadershipTransferToServer(to.replicas[g].id, raft.ServerAddress(to.name)).Error()
				if round < 4 && err != nil {
					t.Errorf("round %d: transfer of group %d: %v", round, g, err)
				}
				if round == 4 && err == nil {
					t.Errorf("transfer of group %d to a node that cannot be reached succeeded", g)
				}
				c.net.isolate(to.name, false)
				if r.port.leads(term) {
					t.Errorf("group %d: old leader has a lease in term %d after the transfer", g, term)
				}
			}
			if err := c.watch(50 * time.Millisecond); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLeaseHolds is the rule itself.
func TestLeaseHolds(t *testing.T) {
	const ms = time.Millisecond
	a, b, d, e := raft.ServerID("a"), raft.ServerID("b"), raft.ServerID("d"), raft.ServerID("e")
	me := raft.ServerID("me")
	type record struct {
		id   raft.ServerID
		term uint64
		sent time.Duration
	}
	tests := []struct {
		name    string
		records []record
		ended   uint64
		term    uint64
		voters  []raft.ServerID
		now     time.Duration
		want    bool
	}{
		{"the only voter", nil, 0, 5, []raft.ServerID{me}, 9000 * ms, true},
		{"no voters", nil, 0, 5, nil, 0, false},
		{"nobody answered", nil, 0, 5, []raft.ServerID{me, a, b}, 0, false},
		{"one of two answered", []record{{a, 5, 1000 * ms}}, 0, 5, []raft.ServerID{me, a, b}, 1449 * ms, true},
		{"at its end", []record{{a, 5, 1000 * ms}}, 0, 5, []raft.ServerID{me, a, b}, 1450 * ms, false},
		{"the newest counts", []record{{a, 5, 1000 * ms}, {a, 5, 1400 * ms}, {a, 5, 1200 * ms}}, 0, 5, []raft.ServerID{me, a, b}, 1849 * ms, true},
		{"another term", []record{{a, 4, 1000 * ms}}, 0, 5, []raft.ServerID{me, a, b}, 1001 * ms, false},
		{"a later term", []record{{a, 5, 1000 * ms}, {b, 6, 1000 * ms}}, 0, 5, []raft.ServerID{me, a, b}, 1001 * ms, false},
		{"an older answer after a newer term", []record{{a, 6, 1000 * ms}, {a, 5, 1400 * ms}}, 0, 6, []raft.ServerID{me, a, b}, 1450 * ms, false},
		{"ended", []record{{a, 5, 1000 * ms}}, 5, 5, []raft.ServerID{me, a, b}, 1001 * ms, false},
		{"ended before", []record{{a, 5, 1000 * ms}}, 4, 5, []raft.ServerID{me, a, b}, 1001 * ms, true},
		{"a non-voter answered", []record{{d, 5, 1000 * ms}}, 0, 5, []raft.ServerID{me, a, b}, 1001 * ms, false},
		{"five voters, two answered", []record{{a, 5, 1000 * ms}, {b, 5, 1300 * ms}}, 0, 5, []raft.ServerID{me, a, b, d, e}, 1449 * ms, true},
		{"five voters, the older of two counts", []record{{a, 5, 1000 * ms}, {b, 5, 1300 * ms}}, 0, 5, []raft.ServerID{me, a, b, d, e}, 1450 * ms, false},
		{"five voters, the third newest counts", []record{{a, 5, 1000 * ms}, {b, 5, 1300 * ms}, {d, 5, 1400 * ms}}, 0, 5, []raft.ServerID{me, a, b, d, e}, 1749 * ms, true},
		{"two voters", []record{{a, 5, 1000 * ms}}, 0, 5, []raft.ServerID{me, a}, 1449 * ms, true},
		{"four voters need two others", []record{{a, 5, 1000 * ms}}, 0, 5, []raft.ServerID{me, a, b, d}, 1001 * ms, false},
		{"not a voter itself", []record{{a, 5, 1000 * ms}, {b, 5, 1000 * ms}}, 0, 5, []raft.ServerID{a, b, d}, 1449 * ms, true},
		{"not a voter itself, one answer", []record{{a, 5, 1000 * ms}}, 0, 5, []raft.ServerID{a, b, d}, 1001 * ms, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLease(500 * ms)
			for _, r := range tt.records {
				l.record(r.id, r.term, r.sent)
			}
			l.end(tt.ended)
			if got := l.holds(tt.term, tt.voters, me, tt.now); got != tt.want {
				t.Errorf("holds(%d, %v, %v) = %v, want %v", tt.term, tt.voters, tt.now, got, tt.want)
			}
		})
	}
}

func TestTickets(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name   string
		number uint64 // 0: the right one
		term   uint64
		leader raft.ServerID
		now    time.Duration
		want   time.Duration
	}{
		{"good", 0, 5, "l", 1040 * ms, 60 * ms},
		{"too old", 0, 5, "l", 1100 * ms, 0},
		{"another term", 0, 6, "l", 1000 * ms, 0},
		{"another leader", 0, 5, "m", 1000 * ms, 0},
		{"another number", 2, 5, "l", 1000 * ms, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var k tickets
			if got := k.take(0, 0, "", 0); got > 0 {
				t.Errorf("take without a ticket = %v, want none", got)
			}
			number := k.give(5, "l", 1000*ms)
			use := number
			if tt.number != 0 {
				use = tt.number
			}
			if got := max(0, k.take(use, tt.term, tt.leader, tt.now)); got != tt.want {
				t.Errorf("take = %v, want %v", got, tt.want)
			}
			if tt.want > 0 {
				if got := k.take(number, 5, "l", 1000*ms); got > 0 {
					t.Errorf("second take = %v, want none", got)
				}
			}
			again := k.give(5, "l", 1000*ms)
			if again == number {
				t.Errorf("two tickets have the number %d", number)
			}
			if got := k.take(number, 5, "l", 1000*ms); got > 0 {
				t.Errorf("take of a ticket after the next was given = %v, want none", got)
			}
		})
	}
}

// TestLeaseClock: the clock moves on, and never back.
func TestLeaseClock(t *testing.T) {
	last := leaseClock()
	for range 1000 {
		now := leaseClock()
		if now < last {
			t.Fatalf("leaseClock = %v after %v", now, last)
		}
		last = now
	}
	if last <= 0 {
		t.Errorf("leaseClock = %v, want more than 0", last)
	}
}
