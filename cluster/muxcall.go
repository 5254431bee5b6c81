package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// appendTimeout bounds an append. It is long on purpose: after a failure the
	// library waits up to ten seconds before it tries again, while an append that
	// waits here leaves as soon as the peer is back.
	appendTimeout = 30 * time.Second
	// maxQueuedCalls bounds what one group has in the queue of one lane.
	maxQueuedCalls = 16
)

// Why a call has no answer. The texts must not contain "unexpected command": the
// library would take that for a granted pre-vote.
var (
	errCallTimeout   = errors.New("cluster: raft call: no answer in time")
	errCallAbandoned = errors.New("cluster: raft call: nobody waits for it any more")
	errCallBroken    = errors.New("cluster: raft call: connection lost")
	errCallQueue     = errors.New("cluster: raft call: queue is full")
	errCallTooLarge  = fmt.Errorf("cluster: raft call: message of more than %d bytes", maxMessageBytes)
	errCallRefused   = errors.New("cluster: raft call: refused by the peer")
	errMuxClosed     = errors.New("cluster: raft transport is closed")
)

// call is one request of a group to a replica elsewhere. Whoever takes it out of
// the lists of its lane finishes it, so it is finished once.
type call struct {
	// Fixed before the lane has the call.
	port     *raftPort
	to       replicaID
	id       raft.ServerID // to, as the library writes it
	message  message
	deadline time.Time
	gone     <-chan struct{} // closed when nobody waits for the answer; may be nil
	finish   func(*call)

	sent time.Duration // by the clock of leases, before it was written; owned by the lane

	// Set before finish.
	answer muxAnswer
	err    error
}

func (c *call) address() muxAddress {
	return muxAddress{group: c.port.group, directory: c.to.directory, to: c.to.number, from: c.port.me.number}
}

// abandoned says whether the answer is of no use any more: the replica has left
// the state in which the library asked. This ends the calls of a replica that
// shuts down, for which the library waits before it closes the transport.
func (c *call) abandoned() bool {
	select {
	case <-c.port.closed:
		return true
	case <-c.gone:
		return true
	default:
	}
	hooks := c.port.hooks.Load()
	if hooks == nil {
		return false
	}
	switch c.message.kind {
	case messageVote, messagePreVote:
		return hooks.state() != raft.Candidate
	default:
		return hooks.state() != raft.Leader || hooks.term() != c.message.term
	}
}

// repeatable says whether the call may be sent again when its connection breaks
// before the answer. What a ticket allows is allowed once.
func (c *call) repeatable() bool {
	return c.message.kind != messageTicket && c.message.kind != messageTimeoutNow
}

// waits says whether a refused call is sent again a little later. That is for
// appends to a replica that starts or is busy.
func (c *call) waits() bool {
	return c.message.kind == messageAppend && (c.answer.refused == refusedReplica || c.answer.refused == refusedBusy)
}

// answered takes the answer in and gives the call to whoever waits.
func (c *call) answered() {
	switch c.message.kind {
	case messageHeartbeat, messageAppend:
		if c.answer.ok && c.answer.term == c.message.term {
			c.port.acknowledged(c)
		}
	default:
	}
	if c.answer.refused != refusedNot {
		c.err = fmt.Errorf("%w: %v", errCallRefused, c.answer.refused)
	}
	c.finish(c)
}

func (c *call) fail(err error) {
	c.err = err
	c.finish(c)
}

// overdue removes from calls what has no use or no time any more, and adds it
// to late with the reason.
func overdue(calls, late []*call, now time.Time) (rest, all []*call) {
	rest = slices.DeleteFunc(calls, func(c *call) bool {
		if c.isOverdue(now) {
			late = append(late, c)
			return true
		}
		return false
	})
	return rest, late
}

func (c *call) isOverdue(now time.Time) bool {
	if c.abandoned() {
		c.err = errCallAbandoned
	} else if !now.Before(c.deadline) {
		c.err = errCallTimeout
	}
	return c.err != nil
}
