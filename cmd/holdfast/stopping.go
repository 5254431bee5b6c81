package main

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-dev/holdfast/transport"
)

// A graceful stop has parts with bounds of their own, one after the other, so that
// an operator, or whoever sets a grace period, can reckon with it:
//
//	hand-over  drainWait         others take the node's shards
//	calls      --stop-timeout    those under way end
//	closes     --close-spread    clients' sockets are closed with 1012
//	rest       stopRest          the last of them answer; objects and peers hear of it
//
// docs/operating.md tells the sum.
const (
	// drainWait bounds how long a node that drains looks for others that take its
	// shards: whoever cannot by then has to notice when the node is gone.
	drainWait = 10 * time.Second
	// closeWait is what a client has to answer the close of its socket.
	closeWait = 5 * time.Second
	// lastWait is what calls and objects get after the sockets are closed, if the
	// calls before have used up all of their time.
	lastWait = 5 * time.Second

	stopRest = closeWait + lastWait
)

// stopBound gives the time within which a graceful stop is over, if the disk answers.
func (c Config) stopBound() time.Duration {
	return drainWait + c.StopTimeout + c.CloseSpread + stopRest
}

// Close stops the node gracefully: others get its shards, no new calls, those
// under way end, sockets are closed with 1012, what was written is committed. Each
// part has a bound, see above; what is still running at its end, or when ctx ends,
// is cut off. Operators are served until the end.
func (n *Node) Close(ctx context.Context) error {
	n.stopping.Store(true)
	if n.caught != nil {
		n.caught.close()
	}
	if n.memory != nil {
		n.memory.close()
	}
	n.ailing.close()
	if n.server != nil && n.peers != nil { // of a node by itself clients have nowhere to go
		n.server.SayFarewell()
	}
	if n.started.Load() {
		if err := n.Drain(ctx); err != nil {
			n.log.Warn("not every shard was handed over before the stop", "error", err)
		}
	}
	left, err := n.finishCalls(ctx)
	if n.gateway != nil {
		n.gateway.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, max(left, lastWait))
	defer cancel()
	return errors.Join(err, n.closeParts(ctx))
}

// finishCalls takes no more calls of clients, lets those under way end, and gives
// what they have left of their time.
func (n *Node) finishCalls(ctx context.Context) (left time.Duration, err error) {
	began := time.Now()
	if n.server != nil {
		ctx, cancel := context.WithTimeout(ctx, n.stopTimeout)
		defer cancel()
		err = n.server.FinishRequests(ctx)
	}
	return n.stopTimeout - time.Since(began), err
}

// closeParts ends everything in the reverse order of the start.
func (n *Node) closeParts(ctx context.Context) error {
	var errs []error
	if n.relay != nil {
		n.relay.Close(ctx)
	}
	if n.host != nil {
		errs = append(errs, n.host.Close(ctx))
	}
	if n.owner != nil {
		if n.started.Load() {
			n.linger(ctx)
		}
		n.link.Handle(transport.LinkHTTP, nil)
		errs = append(errs, n.owner.Shutdown(ctx), n.pardons.Shutdown(ctx))
		n.peers.Close()
	}
	if n.cluster != nil {
		errs = append(errs, n.cluster.Close())
	}
	if n.link != nil {
		errs = append(errs, n.link.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.admin != nil {
		errs = append(errs, n.admin.Shutdown(ctx))
	}
	n.liveness.close()
	n.servers.Wait()
	return errors.Join(errs...)
}

// lingerWait is how long a node that stops still tells its peers where its shards
// have gone, after it has left their gossip. A call that came later would end with
// the connection, and nobody would know its fate.
const lingerWait = 500 * time.Millisecond

// linger refuses the calls of those who have not heard yet.
func (n *Node) linger(ctx context.Context) {
	n.cluster.Leave()
	timer := time.NewTimer(lingerWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Drain hands the node's shards over while it still serves clients, whose calls
// follow the shards. From then on it is not ready and gets no shard back until it
// is started again.
func (n *Node) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	return n.cluster.Drain(ctx)
}
