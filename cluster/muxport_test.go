package cluster

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestMuxRequests: each request of the library arrives as it was sent, with the
// sender's own name, and so does the answer.
func TestMuxRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(7), 11, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(7), 12, raft.Follower, 5)
		time.Sleep(time.Second) // until b votes
		from, to := a.me.serverID(), b.me.serverID()
		header := raft.RPCHeader{ProtocolVersion: 3, ID: []byte(from), Addr: []byte(from)}
		entries := []*raft.Log{
			{Index: 8, Term: 4, Type: raft.LogCommand, Data: []byte("x"), AppendedAt: time.Unix(9, 9)},
			{Index: 9, Term: 5, Type: raft.LogConfiguration, Data: bytes.Repeat([]byte("y"), 1<<20), Extensions: []byte("e")},
		}

		done := make(chan error, 1)
		var appended raft.AppendEntriesResponse
		go func() {
			done <- a.AppendEntries(to, "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 7, PrevLogTerm: 4, Entries: entries, LeaderCommitIndex: 6}, &appended)
		}()
		rpc := b.next(t)
		want := &raft.AppendEntriesRequest{RPCHeader: header, Term: 5, PrevLogEntry: 7, PrevLogTerm: 4, Entries: entries, LeaderCommitIndex: 6}
		if !sameAppend(rpc.Command, want) {
			t.Errorf("append arrived as %+v, want %+v", rpc.Command, want)
		}
		rpc.Respond(&raft.AppendEntriesResponse{Term: 5, LastLog: 9, Success: true, NoRetryBackoff: true}, nil)
		if err := <-done; err != nil || appended.Term != 5 || appended.LastLog != 9 || !appended.Success || !appended.NoRetryBackoff {
			t.Errorf("AppendEntries = %+v, %v", appended, err)
		}

		a.is.Store(int64(raft.Candidate))
		var vote raft.RequestVoteResponse
		go func() {
			done <- a.RequestVote(to, "", &raft.RequestVoteRequest{Term: 6, LastLogIndex: 9, LastLogTerm: 5, LeadershipTransfer: true}, &vote)
		}()
		rpc = b.next(t)
		if got, ok := rpc.Command.(*raft.RequestVoteRequest); !ok || got.Term != 6 || got.LastLogIndex != 9 || got.LastLogTerm != 5 ||
			string(got.ID) != string(from) || string(got.Addr) != string(from) {
			t.Errorf("vote request arrived as %+v", rpc.Command)
		} else if got.LeadershipTransfer {
			t.Error("vote request has the leader's consent, which nobody gave")
		}
		rpc.Respond(&raft.RequestVoteResponse{Term: 6, Granted: true}, nil)
		if err := <-done; err != nil || vote.Term != 6 || !vote.Granted {
			t.Errorf("RequestVote = %+v, %v", vote, err)
		}

		var pre raft.RequestPreVoteResponse
		go func() {
			done <- a.RequestPreVote(to, "", &raft.RequestPreVoteRequest{Term: 6, LastLogIndex: 9, LastLogTerm: 5}, &pre)
		}()
		rpc = b.next(t)
		if got, ok := rpc.Command.(*raft.RequestPreVoteRequest); !ok || got.Term != 6 || got.LastLogIndex != 9 || got.LastLogTerm != 5 || string(got.ID) != string(from) {
			t.Errorf("pre-vote request arrived as %+v", rpc.Command)
		}
		rpc.Respond(nil, errors.New("unexpected command"))
		if err := <-done; !errors.Is(err, errCallRefused) || bytes.Contains([]byte(err.Error()), []byte("unexpected command")) {
			t.Errorf("RequestPreVote = %v, want a refusal that the library does not take for a vote", err)
		}
	})
}

func sameAppend(command any, want *raft.AppendEntriesRequest) bool {
	got, ok := command.(*raft.AppendEntriesRequest)
	if !ok || len(got.Entries) != len(want.Entries) {
		return false
	}
	for i, w := range want.Entries {
		g := got.Entries[i]
		if g.Index != w.Index || g.Term != w.Term || g.Type != w.Type || !bytes.Equal(g.Data, w.Data) ||
			!bytes.Equal(g.Extensions, w.Extensions) || !g.AppendedAt.Equal(w.AppendedAt) {
			return false
		}
	}
	return got.Term == want.Term && got.PrevLogEntry == want.PrevLogEntry && got.PrevLogTerm == want.PrevLogTerm &&
		got.LeaderCommitIndex == want.LeaderCommitIndex && bytes.Equal(got.ID, want.ID) && bytes.Equal(got.Addr, want.Addr)
}

// TestMuxWrongReplica: a request for another replica of the same group, or on the
// same node's earlier disk, reaches nobody, and its sender hears so.
func TestMuxWrongReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Candidate, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		time.Sleep(time.Second)
		for _, wrong := range []replicaID{
			{node: "b", directory: b.me.directory, number: 3},
			{node: "b", directory: directoryID{9}, number: 2},
		} {
			err := a.RequestPreVote(wrong.serverID(), "", &raft.RequestPreVoteRequest{Term: 6}, &raft.RequestPreVoteResponse{})
			if !errors.Is(err, errCallRefused) {
				t.Errorf("RequestPreVote of %s = %v, want a refusal", wrong.serverID(), err)
			}
			a.is.Store(int64(raft.Leader))
			err = a.AppendEntries(wrong.serverID(), "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{})
			if !errors.Is(err, errCallRefused) {
				t.Errorf("heartbeat to %s = %v, want a refusal", wrong.serverID(), err)
			}
			a.is.Store(int64(raft.Candidate))
		}
		b.none(t, "requests for others")
		if n := b.heartbeats.Load(); n > 0 {
			t.Errorf("%d heartbeats for others passed by", n)
		}
		nobody := replicaID{node: "c", number: 1}
		if err := a.RequestVote(nobody.serverID(), "", &raft.RequestVoteRequest{Term: 6}, &raft.RequestVoteResponse{}); !errors.Is(err, errCallTimeout) {
			t.Errorf("RequestVote of a node that is not there = %v, want errCallTimeout", err)
		}
		if err := a.RequestVote("nonsense", "", &raft.RequestVoteRequest{Term: 6}, &raft.RequestVoteResponse{}); err == nil {
			t.Error("RequestVote of an ID that is none = nil")
		}
		if _, err := pair.b.open(shardGroup(0), 7); err == nil {
			t.Error("open of a second replica of a group = nil")
		}
	})
}

// TestMuxWrongNode: who dials the wrong node gets no answer.
func TestMuxWrongNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		pair.net.change(func() { pair.net.nodes["c"] = pair.b }) // the address of b is taken for c's
		a := play(t, pair.a, shardGroup(0), 1, raft.Candidate, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		time.Sleep(time.Second)
		other := replicaID{node: "c", directory: b.me.directory, number: 2}
		if err := a.RequestVote(other.serverID(), "", &raft.RequestVoteRequest{Term: 6}, &raft.RequestVoteResponse{}); !errors.Is(err, errCallTimeout) {
			t.Errorf("RequestVote = %v, want errCallTimeout", err)
		}
		b.none(t, "a request for another node")
	})
}

// TestMuxQueueBound: beyond its bound the queue to a peer refuses.
func TestMuxQueueBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		pair.net.isolate("b", true)
		a := play(t, pair.a, shardGroup(0), 1, raft.Candidate, 5)
		to := replicaID{node: "b", directory: directoryID{2}, number: 2}.serverID()
		results := make(chan error, maxQueuedCalls+1)
		for range maxQueuedCalls + 1 {
			go func() {
				results <- a.RequestVote(to, "", &raft.RequestVoteRequest{Term: 6}, &raft.RequestVoteResponse{})
			}()
		}
		full := 0
		for range maxQueuedCalls + 1 {
			if errors.Is(<-results, errCallQueue) {
				full++
			}
		}
		if full != 1 {
			t.Errorf("%d of %d calls found the queue full, want 1", full, maxQueuedCalls+1)
		}
		big := &raft.AppendEntriesRequest{Term: 5, Entries: []*raft.Log{{Index: 1, Data: make([]byte, maxMessageBytes)}}}
		if err := a.AppendEntries(to, "", big, &raft.AppendEntriesResponse{}); !errors.Is(err, errCallTooLarge) {
			t.Errorf("append of more than a message may have = %v, want errCallTooLarge", err)
		}
	})
}

// TestMuxClose: whoever waits for an answer gets an error.
func TestMuxClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		results := make(chan error, 4)
		appended := func(to raft.ServerID) {
			results <- a.AppendEntries(to, "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1}, &raft.AppendEntriesResponse{})
		}
		go appended(b.me.serverID())
		go appended("c/0000000000000003/3")
		go func() {
			results <- a.AppendEntries("c/0000000000000003/3", "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{})
		}()
		go func() {
			results <- a.InstallSnapshot(b.me.serverID(), "", &raft.InstallSnapshotRequest{SnapshotVersion: 1, Term: 5, Size: 3}, &raft.InstallSnapshotResponse{}, bytes.NewReader([]byte("abc")))
		}()
		time.Sleep(time.Millisecond)
		pair.close()
		for range 4 {
			if err := <-results; err == nil {
				t.Error("a call that was under way at Close = nil")
			}
		}
		if err := a.AppendEntries(b.me.serverID(), "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{}); !errors.Is(err, errMuxClosed) {
			t.Errorf("AppendEntries after Close = %v, want errMuxClosed", err)
		}
		if _, err := pair.a.open(shardGroup(3), 1); !errors.Is(err, errMuxClosed) {
			t.Errorf("open after Close = %v, want errMuxClosed", err)
		}
	})
}
