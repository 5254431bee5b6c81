package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// handover asks the owner of a shard to give the leadership to another replica.
type handover struct {
	to        raft.ServerID // empty: the voter that has most
	ownership uint64        // that is to end
	answer    chan error    // one slot
}

// handOver makes another voter the leader, and by that the owner. What is under way
// may end before, and everything that was taken is proposed and answered; then the
// ownership ends, and the lease with it. If the transfer fails the shard gets a new
// ownership here, whose term has no lease any more: see prove. The error is
// ErrNotOwner if this replica does not own the shard, or not any more. One hand-over
// waits for another.
func (g *group) handOver(ctx context.Context, to raft.ServerID) error {
	select {
	case g.handing <- struct{}{}:
		defer func() { <-g.handing }()
	case <-ctx.Done():
		return fmt.Errorf("cluster: hand over shard %d: %w", g.shard, context.Cause(ctx))
	}
	ownership, err := g.ownership()
	if err != nil {
		return err
	}
	if to == g.me.serverID() {
		return nil
	}
	// Also when it comes to nothing because the ownership has changed meanwhile: the
	// calls that wait would wait for ever.
	defer g.events.leavingOver(g.shard)
	to, err = g.makeWay(ctx, to)
	if err != nil {
		return err
	}
	h := &handover{to: to, ownership: ownership, answer: make(chan error, 1)}
	select {
	case g.handovers <- h:
	case <-g.ended:
		return ErrNotOwner
	case <-ctx.Done():
		return fmt.Errorf("cluster: hand over shard %d: %w", g.shard, context.Cause(ctx))
	}
	select {
	case err := <-h.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cluster: hand over shard %d: %w", g.shard, context.Cause(ctx))
	}
}

// makeWay makes sure that a replica can take the shard, and lets what is under way end.
// If that took its time the replica has to answer again.
func (g *group) makeWay(ctx context.Context, to raft.ServerID) (raft.ServerID, error) {
	to, err := g.reach(ctx, to)
	if err != nil {
		return "", err
	}
	began := time.Now()
	g.events.leaving(ctx, g.shard)
	if ctx.Err() != nil {
		return "", fmt.Errorf("cluster: hand over shard %d: %w", g.shard, context.Cause(ctx))
	}
	if time.Since(began) > g.timeout/freshReach {
		return g.reach(ctx, to)
	}
	return to, nil
}

// freshReach is the part of a heartbeat time-out for which an answer of a replica
// is fresh.
const freshReach = 5

// reachLook is how often reach looks.
const reachLook = 5 * time.Millisecond

// reach waits, while the ownership goes on, until the replica, or any voter if none
// is named, has answered since the call and has all that the log had then. One that
// answered a moment ago may have been restarted meanwhile: the shard would wait in
// vain for its election, and take nothing for as long.
func (g *group) reach(ctx context.Context, to raft.ServerID) (raft.ServerID, error) {
	if g.port == nil {
		return to, nil
	}
	last, began := g.raft.LastIndex(), time.Now()
	limit := time.NewTimer(g.timeout)
	defer limit.Stop()
	ticker := time.NewTicker(reachLook)
	defer ticker.Stop()
	for {
		for _, server := range g.raft.GetConfiguration().Configuration().Servers {
			if server.Suffrage != raft.Voter || server.ID == g.me.serverID() || to != "" && server.ID != to {
				continue
			}
			if _, matched := g.port.follower(server.ID); g.port.heard(server.ID).After(began) && matched >= last {
				return server.ID, nil
			}
		}
		select {
		case <-ticker.C:
		case <-limit.C:
			return "", fmt.Errorf("cluster: hand over shard %d: %w", g.shard, errNotReached)
		case <-ctx.Done():
			return "", fmt.Errorf("cluster: hand over shard %d: %w", g.shard, context.Cause(ctx))
		}
	}
}

var errNotReached = errors.New("no replica that could take it has answered and has the whole log")

// handOverTo is handOver for who knows only the node.
func (g *group) handOverTo(ctx context.Context, node string) error {
	if node == "" {
		return g.handOver(ctx, "")
	}
	for _, server := range g.raft.GetConfiguration().Configuration().Servers {
		if id, err := parseReplicaID(server.ID); err == nil && id.node == node && server.Suffrage == raft.Voter {
			return g.handOver(ctx, server.ID)
		}
	}
	return fmt.Errorf("cluster: hand over shard %d: node %q has no voter of it", g.shard, node)
}

// giveAway hands over to whoever takes it: the first voter that is reached, or, if
// that one drains too, another. Not to own the shard is no error, unless this replica
// leads and is about to own it.
func (g *group) giveAway(ctx context.Context) error {
	for {
		err := g.handOver(ctx, "")
		for _, server := range g.raft.GetConfiguration().Configuration().Servers {
			if err == nil || errors.Is(err, ErrNotOwner) || ctx.Err() != nil {
				break
			}
			if server.Suffrage == raft.Voter && server.ID != g.me.serverID() {
				err = g.handOver(ctx, server.ID)
			}
		}
		if !errors.Is(err, ErrNotOwner) {
			return err
		}
		if g.raft.State() != raft.Leader {
			return nil
		}
		opened := time.NewTimer(openRetry)
		select {
		case <-opened.C:
		case <-g.ended:
			return nil
		case <-ctx.Done():
			opened.Stop()
			return fmt.Errorf("cluster: hand over shard %d: %w", g.shard, context.Cause(ctx))
		}
	}
}

// transfer does it, on run's goroutine, between two ownerships.
func (g *group) transfer(h *handover) {
	term := g.raft.CurrentTerm()
	if g.port != nil {
		// First: the transfer's election does not wait for anybody's time-out.
		g.port.endLease(term)
	}
	var err error
	if h.to == "" {
		err = g.await(g.raft.LeadershipTransfer())
	} else if to, parseErr := parseReplicaID(h.to); parseErr != nil {
		err = parseErr
	} else {
		err = g.await(g.raft.LeadershipTransferToServer(h.to, to.address()))
	}
	h.answer <- g.outcome(term, err)
}

// errTransferSilent ends the wait for a transfer that the library does not answer.
var errTransferSilent = errors.New("cluster: the transfer was not answered")

// await gives the answer of a transfer. A leader of raft v1.8.0 that is deposed
// while it hands over to a follower that is behind never answers, and run has to go
// on: the next ownership begins with it. Its own limit for a transfer is the
// election time-out. The waiting goroutine ends with the replica at the latest.
func (g *group) await(transfer raft.Future) error {
	answer := make(chan error, 1)
	go func() { answer <- transfer.Error() }()
	limit := time.NewTimer(transferTimeouts * g.timeout)
	defer limit.Stop()
	select {
	case err := <-answer:
		return err
	case <-limit.C:
		return errTransferSilent
	}
}

// transferTimeouts is for how many heartbeat time-outs a transfer is waited for.
const transferTimeouts = 4

// outcome is that of a transfer for which the library gives err. The new leader's
// election may come before its answer to this one: who leads no more in that term
// has handed over, whatever became of the answer.
func (g *group) outcome(term uint64, err error) error {
	if err == nil || g.raft.State() != raft.Leader || g.raft.CurrentTerm() != term {
		return nil
	}
	return fmt.Errorf("cluster: hand over shard %d: %w", g.shard, err)
}
