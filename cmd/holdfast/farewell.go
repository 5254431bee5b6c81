package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// farewell waits until nodes that are being decommissioned have left.
type farewell struct {
	onlooker

	tell io.Writer // progress; nil: nobody
}

var (
	errStays    = errors.New("it stays in the cluster: somebody has taken the decommission back")
	errGoesOn   = errors.New("stopped waiting; the decommission goes on")
	errNotKnown = errors.New("the decommission goes on, but how far it is cannot be seen")
)

// leaver is a node that is waited for.
type leaver struct {
	departure

	stays time.Time // since when all who answer say that it stays; zero: they do not
}

// wait returns when the cluster does not know the nodes any more, or says that they
// have left. Where nobody but nodes that are out of the cluster answer, each is
// believed what it says of itself.
func (f farewell) wait(ctx context.Context, nodes []placement.NodeID) ([]departure, error) {
	all := make([]leaver, len(nodes))
	for i, node := range nodes {
		all[i].departure = departure{Node: node, Replicas: -1} // nothing is told of it yet
	}
	for {
		o, err := f.look(ctx)
		_, outsider := errors.AsType[*outsideError](err)
		switch {
		case ctx.Err() != nil:
			return nil, errGoesOn
		case err != nil && !outsider:
			return nil, fmt.Errorf("%w: %w", errNotKnown, err)
		}
		over := true
		for i := range all {
			if !outsider || all[i].Node == o.SeenBy {
				if err := f.follow(&all[i], o); err != nil {
					return nil, err
				}
			}
			over = over && all[i].State == "left"
		}
		switch {
		case over:
			return departures(all), nil
		case outsider:
			return nil, fmt.Errorf("%w: %w", errNotKnown, err)
		case f.rest(ctx) != nil:
			return nil, errGoesOn
		}
	}
}

// follow notes what is new of a node, and tells it.
func (f farewell) follow(l *leaver, o cluster.Overview) error {
	before := l.departure
	l.departure = departureOf(o, l.Node)
	if l.Node == o.SeenBy && outside(o) != nil {
		l.State = "left"
	}
	switch l.State {
	case "left":
		return nil
	case "leaving":
		l.stays = time.Time{}
	default: // or its picture is older than the decommission
		if l.stays.IsZero() {
			l.stays = time.Now()
		}
		if time.Since(l.stays) >= f.lastWords {
			return fmt.Errorf("%s: %w", l.Node, errStays)
		}
		return nil
	}
	if l.Replicas == before.Replicas || f.tell == nil {
		return nil
	}
	_, err := fmt.Fprintf(f.tell, "%s is leaving: %d replicas are left on it\n", l.Node, l.Replicas)
	return err
}

func departures(all []leaver) []departure {
	list := make([]departure, len(all))
	for i, l := range all {
		list[i] = l.departure
	}
	return list
}

func departureOf(o cluster.Overview, name placement.NodeID) departure {
	for _, n := range o.Nodes {
		if n.Name == name {
			return departure{Node: name, State: n.State, Replicas: n.Replicas}
		}
	}
	return departure{Node: name, State: "left"}
}
