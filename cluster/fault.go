package cluster

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

// Fault is a deliberate mistake. Tests of checkers build broken nodes with it,
// to show that the mistake would be noticed; nothing else does.
type Fault int

// What a broken node does wrong.
const (
	// FaultNoFence lets entries take effect whatever their ownership and n.
	FaultNoFence Fault = iota + 1
	// FaultOwnBeforeOpen begins an ownership before its Open entry is applied.
	FaultOwnBeforeOpen
	// FaultLeaseFromAnswer counts a lease from the receipt of the answer.
	FaultLeaseFromAnswer
	// FaultVoteAtOnce lets a replica vote as soon as it has started.
	FaultVoteAtOnce
	// FaultVoteEmpty lets a replica vote that has no configuration.
	FaultVoteEmpty
	// FaultUnprompted leaves it to the library when a follower looks for its leader.
	FaultUnprompted
	// FaultNeverSilent lets a node whose disk is stalled go on sending heartbeats.
	FaultNeverSilent
	// FaultLogBeforeState lets a received snapshot replace the log before the state has it.
	FaultLogBeforeState
	// FaultTurnDown is no mistake of the node: the library turns a proposal down now
	// and then, as it does after a leadership transfer that failed, and takes the next.
	FaultTurnDown
	// FaultShortLog is no mistake of the node either: little of a log stays, and
	// a replica that was away for a moment gets a snapshot.
	FaultShortLog
)

// WithFaults gives the configuration of a node that makes those mistakes.
func (c Config) WithFaults(all ...Fault) Config {
	for _, f := range all {
		switch f {
		case FaultNoFence:
			c.faults.noFence = true
		case FaultOwnBeforeOpen:
			c.faults.ownBeforeOpen = true
		case FaultLeaseFromAnswer:
			c.faults.leaseFromAnswer = true
		case FaultVoteAtOnce:
			c.faults.voteAtOnce = true
		case FaultVoteEmpty:
			c.faults.voteEmpty = true
		case FaultUnprompted:
			c.faults.unprompted = true
		case FaultNeverSilent:
			c.faults.neverSilent = true
		case FaultLogBeforeState:
			c.faults.logBeforeState = true
		case FaultShortLog:
			c.faults.shortLog, c.snapshotEntries = true, minTrail/2
		case FaultTurnDown:
			c.faults.wrap = func(_ placement.ShardID, p proposer) proposer { return &turningDown{proposer: p} }
		}
	}
	return c
}

// turnedDown is how many proposals there are for each one that turningDown loses.
const turnedDown = 16

// turningDown is a proposer that turns some proposals down.
type turningDown struct {
	proposer

	count atomic.Int64
}

// Apply implements proposer.
func (p *turningDown) Apply(entry []byte, timeout time.Duration) raft.ApplyFuture {
	if p.count.Add(1)%turnedDown == 0 {
		return turnedDownFuture{}
	}
	return p.proposer.Apply(entry, timeout)
}

type turnedDownFuture struct{}

func (turnedDownFuture) Error() error  { return raft.ErrLeadershipTransferInProgress }
func (turnedDownFuture) Response() any { return nil }
func (turnedDownFuture) Index() uint64 { return 0 }
