package cluster

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestMuxSnapshot: a snapshot arrives whole, the sender waits for a restore that
// takes long, and errors of all three parties come back.
func TestMuxSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newMuxPair(t)
		defer pair.close()
		a := play(t, pair.a, shardGroup(0), 1, raft.Leader, 5)
		b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
		data := make([]byte, 3<<20+17)
		for i := range data {
			data[i] = byte(i * i >> 8)
		}
		done := make(chan error, 1)
		var response raft.InstallSnapshotResponse
		install := func(content []byte) {
			done <- a.InstallSnapshot(b.me.serverID(), "", &raft.InstallSnapshotRequest{
				SnapshotVersion: 1, Term: 5, LastLogIndex: 100, LastLogTerm: 4, Configuration: []byte("conf"), ConfigurationIndex: 3, Size: int64(len(data)),
			}, &response, bytes.NewReader(content))
		}
		go install(data)
		rpc := b.next(t)
		got, ok := rpc.Command.(*raft.InstallSnapshotRequest)
		if !ok || got.Term != 5 || got.LastLogIndex != 100 || got.LastLogTerm != 4 || string(got.Configuration) != "conf" ||
			got.ConfigurationIndex != 3 || got.Size != int64(len(data)) || string(got.ID) != string(a.me.serverID()) {
			t.Errorf("snapshot arrived as %+v", rpc.Command)
		}
		body, err := io.ReadAll(rpc.Reader)
		if err != nil || !bytes.Equal(body, data) {
			t.Errorf("snapshot has %d bytes, %v, want the %d that were sent", len(body), err, len(data))
		}
		time.Sleep(5 * time.Minute) // it is restored
		rpc.Respond(&raft.InstallSnapshotResponse{Term: 5, Success: true}, nil)
		if err := <-done; err != nil || !response.Success {
			t.Errorf("InstallSnapshot = %+v, %v", response, err)
		}

		go install(data[:1000])
		rpc = b.next(t)
		if body, err := io.ReadAll(rpc.Reader); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("reading a snapshot that is too short = %d bytes, %v, want io.ErrUnexpectedEOF", len(body), err)
		}
		rpc.Respond(nil, errors.New("short read"))
		if err := <-done; err == nil {
			t.Error("InstallSnapshot of too few bytes = nil")
		}

		go install(data)
		rpc = b.next(t)
		io.Copy(io.Discard, rpc.Reader)
		rpc.Respond(nil, errors.New("disk full"))
		if err := <-done; !errors.Is(err, errCallRefused) {
			t.Errorf("InstallSnapshot that the replica could not store = %v, want a refusal", err)
		}

		go install(data)
		rpc = b.next(t)
		a.is.Store(int64(raft.Follower))
		if err := <-done; err == nil {
			t.Error("InstallSnapshot of a replica that does not lead any more = nil")
		}
		if _, err := io.Copy(io.Discard, rpc.Reader); err == nil {
			t.Error("reading a snapshot whose sender has given up = nil")
		}
		rpc.Respond(nil, errors.New("read"))
	})
}
