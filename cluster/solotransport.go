package cluster

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"
)

var errNoPeers = errors.New("cluster: this node has no peers")

// soloTransport is the raft.Transport of a group with a single replica: nothing
// comes in, and whatever should go out is refused.
type soloTransport struct {
	address raft.ServerAddress
}

// Consumer gives a channel on which nothing ever comes.
func (t soloTransport) Consumer() <-chan raft.RPC { return nil }

// LocalAddr gives the replica's own address.
func (t soloTransport) LocalAddr() raft.ServerAddress { return t.address }

// AppendEntriesPipeline refuses.
func (t soloTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, errNoPeers
}

// AppendEntries refuses.
func (t soloTransport) AppendEntries(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error {
	return errNoPeers
}

// RequestVote refuses.
func (t soloTransport) RequestVote(raft.ServerID, raft.ServerAddress, *raft.RequestVoteRequest, *raft.RequestVoteResponse) error {
	return errNoPeers
}

// RequestPreVote refuses. It is there so that the library keeps pre-votes on.
func (t soloTransport) RequestPreVote(raft.ServerID, raft.ServerAddress, *raft.RequestPreVoteRequest, *raft.RequestPreVoteResponse) error {
	return errNoPeers
}

// InstallSnapshot refuses.
func (t soloTransport) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader) error {
	return errNoPeers
}

// EncodePeer gives the address as bytes.
func (t soloTransport) EncodePeer(_ raft.ServerID, address raft.ServerAddress) []byte {
	return []byte(address)
}

// DecodePeer is the reverse of EncodePeer.
func (t soloTransport) DecodePeer(data []byte) raft.ServerAddress { return raft.ServerAddress(data) }

// SetHeartbeatHandler ignores the handler: no heartbeat ever comes.
func (t soloTransport) SetHeartbeatHandler(func(raft.RPC)) {}

// TimeoutNow refuses.
func (t soloTransport) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	return errNoPeers
}
