package cluster

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestMuxHeartbeatPassesBy: a heartbeat passes the main loop by only if that
// cannot be about to do something else.
func TestMuxHeartbeatPassesBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		heartbeat := func() error {
			return a.AppendEntries(b.me.serverID(), "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{})
		}
		// beat says whether the heartbeat passed by.
		beat := func() bool {
			t.Helper()
			before := b.heartbeats.Load()
			done := make(chan error, 1)
			go func() { done <- heartbeat() }()
			select {
			case rpc := <-b.consumer:
				rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
			case <-time.NewTimer(time.Second).C:
			}
			if err := <-done; err != nil {
				t.Errorf("heartbeat = %v", err)
			}
			return b.heartbeats.Load() > before
		}
		for _, tt := range []struct {
			name   string
			change func()
			want   bool
		}{
			{"no leader yet", func() {}, false},
			{"a follower that has just heard", func() { b.follow(a.me.serverID()); b.heard() }, true},
			{"silence for half of the time-out", func() { time.Sleep(DefaultHeartbeatTimeout / 2) }, false},
			{"heard again", b.heard, true},
			{"a candidate", func() { b.heard(); b.is.Store(int64(raft.Candidate)) }, false},
			{"another leader", func() { b.is.Store(int64(raft.Follower)); b.heard(); b.follow("c/00000000000000ff/1") }, false},
			{"another term", func() { b.follow(a.me.serverID()); b.heard(); b.inTerm.Store(4) }, false},
		} {
			tt.change()
			if got := beat(); got != tt.want {
				t.Errorf("%s: the heartbeat passed by: %v, want %v", tt.name, got, tt.want)
			}
		}

		b.inTerm.Store(5)
		b.heard()
		b.onHeartbeat = func() { time.Sleep(DefaultHeartbeatTimeout / 2) }
		if err := heartbeat(); !errors.Is(err, errCallRefused) {
			t.Errorf("heartbeat whose processing was held up = %v, want a refusal", err)
		}
		b.onHeartbeat = nil

		// Busy with an append of the same leader, however long.
		done := make(chan error, 1)
		go func() {
			done <- a.AppendEntries(b.me.serverID(), "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1, PrevLogTerm: 1}, &raft.AppendEntriesResponse{})
		}()
		rpc := b.next(t)
		for range 5 {
			time.Sleep(time.Second)
			if !beat() {
				t.Error("a heartbeat did not pass by an append that takes long")
			}
		}
		b.onHeartbeat = func() { rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil) }
		if err := heartbeat(); !errors.Is(err, errCallRefused) {
			t.Errorf("heartbeat during which the append ended = %v, want a refusal", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.onHeartbeat = nil
		if beat() {
			t.Error("a heartbeat passed by after a long append")
		}
	})
}

// TestMuxHeartbeatsOneFrame: the heartbeats of all groups go in one write.
func TestMuxHeartbeatsOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups = 64
		pair := newMuxPair(t)
		defer pair.close()
		var writes atomic.Int64
		pair.net.setDelay(func(from, _ string) time.Duration {
			if from == "a" {
				writes.Add(1)
			}
			return 0
		})
		done := make(chan error, groups)
		for g := range groups {
			a := play(t, pair.a, groupID(g), 1, raft.Leader, 5)
			b := play(t, pair.b, groupID(g), 2, raft.Follower, 5)
			b.follow(a.me.serverID())
			b.heard()
			go func() {
				done <- a.AppendEntries(b.me.serverID(), "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{})
			}()
		}
		start := time.Now()
		for range groups {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if held := time.Since(start); held > DefaultHeartbeatTimeout/10 {
			t.Errorf("heartbeats took %v, want at most a tenth of the time-out", held)
		}
		if n := writes.Load(); n != 2 {
			t.Errorf("%d heartbeats went in %d writes, want 2: hello and heartbeats", groups, n)
		}
	})
}

// TestMuxSilent: a silent group sends neither heartbeat nor append; others do.
func TestMuxSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := &muxPair{t: t, net: newMuxNet()}
		var silent atomic.Bool
		silent.Store(true)
		pair.a = pair.node("a", 1, func(group groupID) bool { return silent.Load() && group == shardGroup(0) })
		pair.b = pair.node("b", 2, nil)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		other := play(t, pair.a, shardGroup(1), 1, raft.Leader, 5)
		theirs := play(t, pair.b, shardGroup(1), 2, raft.Follower, 5)
		beat, appended := make(chan error, 1), make(chan error, 1)
		go func() {
			beat <- a.AppendEntries(b.me.serverID(), "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{})
		}()
		go func() {
			appended <- a.AppendEntries(b.me.serverID(), "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1}, &raft.AppendEntriesResponse{})
		}()
		go func() {
			rpc := theirs.next(t)
			rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		}()
		if err := other.AppendEntries(theirs.me.serverID(), "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1}, &raft.AppendEntriesResponse{}); err != nil {
			t.Errorf("append of another group = %v", err)
		}
		b.none(t, "silence")
		if err := <-beat; !errors.Is(err, errCallTimeout) {
			t.Errorf("heartbeat of a silent group = %v, want errCallTimeout", err)
		}
		silent.Store(false)
		rpc := b.next(t)
		rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		if err := <-appended; err != nil {
			t.Errorf("append after the silence = %v", err)
		}
	})
}
