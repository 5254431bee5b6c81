package cluster

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestMuxVoteRules: no vote right after the start, without a configuration, or
// while the disk is stalled.
func TestMuxVoteRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := &muxPair{t: t, net: newMuxNet()}
		var silent atomic.Bool
		pair.a = pair.node("a", 1, nil)
		pair.b = pair.node("b", 2, func(groupID) bool { return silent.Load() })
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Candidate, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		granted := make(chan struct{})
		defer close(granted)
		go func() {
			for {
				select {
				case rpc := <-b.consumer:
					switch rpc.Command.(type) {
					case *raft.RequestVoteRequest:
						rpc.Respond(&raft.RequestVoteResponse{Term: 6, Granted: true}, nil)
					default:
						rpc.Respond(&raft.RequestPreVoteResponse{Term: 6, Granted: true}, nil)
					}
				case <-granted:
					return
				}
			}
		}()
		ask := func(want bool, when string) {
			t.Helper()
			var vote raft.RequestVoteResponse
			var pre raft.RequestPreVoteResponse
			err := a.RequestVote(b.me.serverID(), "", &raft.RequestVoteRequest{Term: 6}, &vote)
			if (err == nil) != want || vote.Granted != want {
				t.Errorf("%s: RequestVote = %v, %v, want %v", when, vote.Granted, err, want)
			}
			err = a.RequestPreVote(b.me.serverID(), "", &raft.RequestPreVoteRequest{Term: 6}, &pre)
			if (err == nil) != want || pre.Granted != want {
				t.Errorf("%s: RequestPreVote = %v, %v, want %v", when, pre.Granted, err, want)
			}
		}
		ask(false, "after the start")
		time.Sleep(DefaultHeartbeatTimeout - 50*time.Millisecond)
		ask(false, "a little before the end of the first time-out")
		time.Sleep(50 * time.Millisecond)
		ask(true, "after the first time-out")
		b.empty.Store(true)
		ask(false, "without a configuration")
		b.empty.Store(false)
		silent.Store(true)
		ask(false, "while silent")
		silent.Store(false)
		ask(true, "after that")
	})
}

// TestMuxTicket: leadership is handed over with a fresh ticket for this term and
// leader, and with nothing else.
func TestMuxTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		to := b.me.serverID()
		timeoutNow := func() error {
			return a.TimeoutNow(to, "", &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{})
		}
		use := func(term, number uint64) error {
			_, err := a.do(to, message{kind: messageTimeoutNow, term: term, ticket: number}, time.Second)
			return err
		}

		if err := timeoutNow(); !errors.Is(err, errCallRefused) {
			t.Errorf("TimeoutNow to a replica that follows nobody = %v, want a refusal", err)
		}
		b.follow(a.me.serverID())
		b.inTerm.Store(6)
		if err := timeoutNow(); !errors.Is(err, errCallRefused) {
			t.Errorf("TimeoutNow to a replica in another term = %v, want a refusal", err)
		}
		b.inTerm.Store(5)
		if err := use(5, 1); !errors.Is(err, errCallRefused) {
			t.Errorf("TimeoutNow without a ticket = %v, want a refusal", err)
		}
		ticket := func() uint64 {
			t.Helper()
			answer, err := a.do(to, message{kind: messageTicket, term: 5}, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return answer.number
		}
		number := ticket()
		time.Sleep(ticketLife)
		if err := use(5, number); !errors.Is(err, errCallRefused) {
			t.Errorf("TimeoutNow with an old ticket = %v, want a refusal", err)
		}
		number = ticket()
		b.inTerm.Store(6)
		if err := use(5, number); !errors.Is(err, errCallRefused) {
			t.Errorf("TimeoutNow after another election = %v, want a refusal", err)
		}
		b.inTerm.Store(5)
		number = ticket()
		b.follow("c/00000000000000ff/1")
		if err := use(5, number); !errors.Is(err, errCallRefused) {
			t.Errorf("TimeoutNow after another leader = %v, want a refusal", err)
		}
		b.follow(a.me.serverID())
		number = ticket() // the main loop is stuck, so it does not get it in time
		if err := use(5, number); !errors.Is(err, errCallRefused) {
			t.Errorf("TimeoutNow to a replica that is stuck = %v, want a refusal", err)
		}
		b.none(t, "TimeoutNow without a good ticket")

		a.lease.record(to, 5, pair.a.cfg.clock())
		now := pair.a.cfg.clock()
		voters := []raft.ServerID{a.me.serverID(), to}
		if a.lease.holds(5, voters, a.me.serverID(), now) {
			t.Error("the lease holds after a transfer was tried")
		}
		done := make(chan error, 1)
		go func() { done <- timeoutNow() }()
		rpc := b.next(t)
		if _, ok := rpc.Command.(*raft.TimeoutNowRequest); !ok {
			t.Errorf("TimeoutNow arrived as %T", rpc.Command)
		}
		rpc.Respond(&raft.TimeoutNowResponse{}, nil)
		if err := <-done; err != nil {
			t.Errorf("TimeoutNow = %v", err)
		}
		checkConsent(t, a, b)
	})
}

// checkConsent: b, which got the leader's consent in term 5, tells others so in
// the election of term 6 and in no other.
func checkConsent(t *testing.T, a, b *played) {
	t.Helper()
	time.Sleep(DefaultHeartbeatTimeout)
	b.is.Store(int64(raft.Candidate))
	done := make(chan error, 1)
	for _, term := range []uint64{6, 7} {
		go func() {
			done <- b.RequestVote(a.me.serverID(), "", &raft.RequestVoteRequest{Term: term, LeadershipTransfer: true}, &raft.RequestVoteResponse{})
		}()
		rpc := a.next(t)
		if got, ok := rpc.Command.(*raft.RequestVoteRequest); !ok || got.LeadershipTransfer != (term == 6) {
			t.Errorf("vote request of term %d arrived as %+v", term, rpc.Command)
		}
		rpc.Respond(&raft.RequestVoteResponse{Term: term, Granted: true}, nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestMuxStuckGroup: a replica whose main loop is stuck holds up no other, and
// what waits for it is bounded.
func TestMuxStuckGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		stuck := play(t, pair.a, shardGroup(0), 1, raft.Candidate, 5)
		play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		a := play(t, pair.a, shardGroup(1), 1, raft.Candidate, 5)
		b := play(t, pair.b, shardGroup(1), 2, raft.Follower, 5)
		time.Sleep(time.Second)
		to := replicaID{node: "b", directory: b.me.directory, number: 2}.serverID()
		results := make(chan error, 3*maxInboxRequests)
		for range 3 * maxInboxRequests {
			go func() {
				results <- stuck.RequestVote(to, "", &raft.RequestVoteRequest{Term: 6}, &raft.RequestVoteResponse{})
			}()
			time.Sleep(time.Millisecond)
		}
		go func() {
			rpc := b.next(t)
			rpc.Respond(&raft.RequestVoteResponse{Term: 6, Granted: true}, nil)
		}()
		start := time.Now()
		if err := a.RequestVote(to, "", &raft.RequestVoteRequest{Term: 6}, &raft.RequestVoteResponse{}); err != nil {
			t.Errorf("RequestVote beside a stuck group = %v", err)
		}
		if took := time.Since(start); took > 10*time.Millisecond {
			t.Errorf("RequestVote beside a stuck group took %v", took)
		}
		counts := map[bool]int{}
		for range 3 * maxInboxRequests {
			err := <-results
			counts[errors.Is(err, errCallRefused)]++
			if !errors.Is(err, errCallRefused) && !errors.Is(err, errCallTimeout) {
				t.Errorf("RequestVote of a stuck group = %v", err)
			}
		}
		// One is with the worker.
		if want := maxInboxRequests + 1; counts[false] != want {
			t.Errorf("%d requests waited, want %d", counts[false], want)
		}
	})
}
