package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// onlooker watches a cluster from outside, by way of an address at which now this
// node answers and now that one, and now and then none.
type onlooker struct {
	overview func(context.Context) (cluster.Overview, error)
	pause    time.Duration // between two questions
	patience time.Duration // for an address at which nobody answers, for a restart say
	// lastWords is how long nobody but nodes that are out of the cluster may answer.
	lastWords time.Duration
}

// watch asks by way of a client, at the pace at which people read.
func (c *adminClient) watch() onlooker {
	return onlooker{overview: c.overview, pause: time.Second, patience: 30 * time.Second, lastWords: 10 * time.Second}
}

// outsideError comes with the picture of a node that has left the cluster, or is
// just leaving it: it hears no more of it, and its picture gets old.
type outsideError struct{ node placement.NodeID }

func (e *outsideError) Error() string {
	return fmt.Sprintf("%s, which answers, has left the cluster and does not hear of it any more: ask another node", e.node)
}

// look gives the cluster as a node sees it that is in it. It asks again if that
// may help; after the last word of an outsider it gives both that and an outsideError.
func (l onlooker) look(ctx context.Context) (cluster.Overview, error) {
	began := time.Now()
	for {
		o, err := l.overview(ctx)
		if err == nil {
			err = outside(o)
		}
		limit := l.patience
		if _, out := errors.AsType[*outsideError](err); out {
			limit = l.lastWords
		}
		if err == nil || !passing(err) || time.Since(began) >= limit {
			return o, err
		}
		if err := l.rest(ctx); err != nil {
			return o, err
		}
	}
}

// rest waits until it is time to ask again.
func (l onlooker) rest(ctx context.Context) error {
	timer := time.NewTimer(l.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// outside says whether the node whose picture it is has no part in the cluster.
func outside(o cluster.Overview) error {
	if d := departureOf(o, o.SeenBy); d.State == "left" || d.State == "leaving" && d.Replicas == 0 {
		return &outsideError{o.SeenBy}
	}
	return nil
}

// passing says whether a question that had this answer may have a better one soon,
// maybe from another node.
func passing(err error) bool {
	const tryAgain = 503
	answer, answered := errors.AsType[*answerError](err)
	return !answered || answer.status == tryAgain
}
