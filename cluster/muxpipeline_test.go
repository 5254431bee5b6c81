package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestMuxPipeline: appends are in flight two at a time, large ones go in parts,
// and a failed one ends the pipeline.
func TestMuxPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		pipeline, err := a.AppendEntriesPipeline(b.me.serverID(), "")
		if err != nil {
			t.Fatal(err)
		}
		request := &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1, PrevLogTerm: 5}
		for i := range 5 {
			request.Entries = append(request.Entries, &raft.Log{Index: uint64(i + 2), Term: 5, Data: make([]byte, maxAppendBytes/2-100)})
		}
		sent := make(chan error, 1)
		go func() {
			_, err := pipeline.AppendEntries(request, &raft.AppendEntriesResponse{})
			sent <- err
		}()
		var previous, sizes []int
		for range 3 {
			rpc := b.next(t)
			got, ok := rpc.Command.(*raft.AppendEntriesRequest)
			if !ok {
				t.Fatalf("append arrived as %T", rpc.Command)
			}
			previous, sizes = append(previous, int(got.PrevLogEntry)), append(sizes, len(got.Entries))
			rpc.Respond(&raft.AppendEntriesResponse{Term: 5, LastLog: 9, Success: true}, nil)
		}
		if !slices.Equal(previous, []int{1, 3, 5}) || !slices.Equal(sizes, []int{2, 2, 1}) {
			t.Errorf("parts after %v with %v entries, want [1 3 5] with [2 2 1]", previous, sizes)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		for _, want := range []uint64{3, 5, 6} {
			future := <-pipeline.Consumer()
			entries := future.Request().Entries
			if got := entries[len(entries)-1].Index; got != want || future.Error() != nil || !future.Response().Success {
				t.Errorf("answer for entries up to %d, %v, %+v, want success up to %d", got, future.Error(), future.Response(), want)
			}
		}

		small := func() error {
			_, err := pipeline.AppendEntries(&raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 6}, &raft.AppendEntriesResponse{})
			return err
		}
		if err := errors.Join(small(), small()); err != nil {
			t.Error(err)
		}
		go func() { sent <- small() }()
		select {
		case <-sent:
			t.Errorf("a third append did not wait while %d were in flight", maxInFlight)
		case <-time.NewTimer(time.Second).C:
		}
		a.is.Store(int64(raft.Follower))
		for range maxInFlight {
			if future := <-pipeline.Consumer(); future.Error() == nil || future.Response().Success {
				t.Errorf("append of a replica that does not lead any more = %v, %+v", future.Error(), future.Response())
			}
		}
		<-sent
		if err := pipeline.Close(); err != nil {
			t.Error(err)
		}
		if err := small(); !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Errorf("append after Close = %v, want ErrPipelineShutdown", err)
		}
	})
}

// TestMuxAppendSurvives: an append waits for a replica that is not there yet, and
// for a connection, without the library noticing.
func TestMuxAppendSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		to := replicaID{node: "b", directory: directoryID{2}, number: 2}
		done := make(chan error, 1)
		request := func() {
			done <- a.AppendEntries(to.serverID(), "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1}, &raft.AppendEntriesResponse{})
		}
		go request()
		time.Sleep(5 * time.Second)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		rpc := b.next(t)
		pair.net.reset() // so the answer does not get through
		rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		rpc = b.next(t)
		rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		if err := <-done; err != nil {
			t.Errorf("AppendEntries = %v", err)
		}

		go request()
		b.next(t) // and never an answer
		time.Sleep(time.Second)
		a.inTerm.Store(6)
		if err := <-done; !errors.Is(err, errCallAbandoned) {
			t.Errorf("AppendEntries of a term that is over = %v, want errCallAbandoned", err)
		}
	})
}

// TestMuxLargeAppends: while a group sends a large append over a slow network,
// another group's appends and all heartbeats go through.
func TestMuxLargeAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		pair.net.change(func() { pair.net.bandwidth = 8 << 20 })
		large := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		large2 := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		small := play(t, pair.a, shardGroup(1), 1, raft.Leader, 5)
		small2 := play(t, pair.b, shardGroup(1), 2, raft.Follower, 5)
		small2.follow(small.me.serverID())
		small2.heard()
		done := make(chan error, 1)
		start := time.Now()
		go func() {
			done <- large.AppendEntries(large2.me.serverID(), "", &raft.AppendEntriesRequest{
				Term: 5, Entries: []*raft.Log{{Index: 1, Term: 5, Data: make([]byte, 16<<20)}},
			}, &raft.AppendEntriesResponse{})
		}()
		answers, stop := make(chan struct{}), context.Background()
		stop, cancel := context.WithCancel(stop)
		go func() {
			defer close(answers)
			for {
				select {
				case rpc := <-small2.consumer:
					rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
				case <-stop.Done():
					return
				}
			}
		}()
		time.Sleep(100 * time.Millisecond)
		// A frame of 256 KiB takes 31 ms; a few are ahead in the connection.
		for i := 0; time.Since(start) < 1500*time.Millisecond; i++ {
			began := time.Now()
			to := small2.me.serverID()
			if err := small.AppendEntries(to, "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1}, &raft.AppendEntriesResponse{}); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 250*time.Millisecond {
				t.Errorf("append %d beside a large one took %v", i, took)
			}
			began = time.Now()
			if err := small.AppendEntries(to, "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{}); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > DefaultHeartbeatTimeout/10+10*time.Millisecond {
				t.Errorf("heartbeat %d beside a large append took %v", i, took)
			}
			small2.heard()
		}
		cancel()
		<-answers
		rpc := large2.next(t)
		if took := time.Since(start); took < 2*time.Second {
			t.Errorf("16 MiB at 8 MiB/s took %v, want at least 2 s", took)
		}
		rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		if err := <-done; err != nil {
			t.Errorf("large append = %v", err)
		}
	})
}

// TestMuxFrozenPeer: a peer that accepts and never answers is found out, and the
// connections to it are given up.
func TestMuxFrozenPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		b.follow(a.me.serverID())
		b.heard()
		to := b.me.serverID()
		if err := a.AppendEntries(to, "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			done <- a.AppendEntries(to, "", &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 1}, &raft.AppendEntriesResponse{})
		}()
		first := b.next(t)
		pair.net.cut("b", "a", true)
		for range 4 {
			if err := a.AppendEntries(to, "", &raft.AppendEntriesRequest{Term: 5}, &raft.AppendEntriesResponse{}); err == nil {
				t.Error("heartbeat to a peer that is cut off = nil")
			}
		}
		first.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil) // over a dead connection
		pair.net.cut("b", "a", false)
		rpc := b.next(t) // the append comes again
		rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		if err := <-done; err != nil {
			t.Errorf("append over two connections = %v", err)
		}
	})
}
