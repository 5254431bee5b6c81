package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/transport"
)

// quarantineView is the quarantined objects of the shards that a node owns. Its
// JSON form is stable.
type quarantineView struct {
	Objects []quarantinedView `json:"objects"`
}

type quarantinedView struct {
	Class   string    `json:"class"`
	Name    string    `json:"name"` // "" for an object with a unique ID
	ID      string    `json:"id"`
	Strikes int       `json:"strikes"`
	Until   time.Time `json:"until"`
}

func (n *Node) showQuarantine(*http.Request) (any, error) {
	all, err := n.host.Quarantined()
	if err != nil {
		return nil, err
	}
	view := quarantineView{Objects: []quarantinedView{}}
	for _, q := range all {
		view.Objects = append(view.Objects, quarantinedView{
			Class: q.Class, Name: q.Name, ID: q.ID.String(), Strikes: q.Strikes, Until: q.Until.UTC(),
		})
	}
	return view, nil
}

// pardoned says which object runs again.
type pardoned struct {
	Class string `json:"class"`
	Name  string `json:"name"`
	ID    string `json:"id"`
}

func (n *Node) clearQuarantineOfName(r *http.Request) (any, error) {
	return n.clearQuarantine(r, func(ids actor.IDSource) (actor.ID, error) { return ids.Named(r.PathValue("name")) })
}

func (n *Node) clearQuarantineOfID(r *http.Request) (any, error) {
	return n.clearQuarantine(r, func(ids actor.IDSource) (actor.ID, error) { return ids.Parse(r.PathValue("id")) })
}

func (n *Node) clearQuarantine(r *http.Request, idOf func(actor.IDSource) (actor.ID, error)) (any, error) {
	target := actor.Target{Class: r.PathValue("class"), Name: r.PathValue("name")}
	ids, ok := n.host.IDs(target.Class)
	if !ok {
		return nil, &transport.OperatorError{Status: http.StatusNotFound, Code: "unknown_class", Message: fmt.Sprintf("There is no class %q.", target.Class)}
	}
	var err error
	if target.ID, err = idOf(ids); err != nil {
		return nil, &transport.OperatorError{Status: http.StatusBadRequest, Code: "bad_object", Message: "That is no name or ID of an object of this class in this cluster.", Err: err}
	}
	switch err := n.pardon(r.Context(), target); {
	case errors.Is(err, actor.ErrStuck):
		return nil, &transport.OperatorError{
			Status: http.StatusConflict, Code: "stuck",
			Message: "A handler of the object does not end, and cannot be ended: drain its node and start it anew. The node's log has its stack.", Err: err,
		}
	case err != nil:
		return nil, &transport.OperatorError{
			Status: http.StatusServiceUnavailable, Code: "not_cleared",
			Message: "The object's owner did not do it. It may have been done; doing it twice does no harm.", Err: err,
		}
	}
	return pardoned{Class: target.Class, Name: target.Name, ID: target.ID.String()}, nil
}

// pardon reaches the owner, wherever it is.
func (n *Node) pardon(ctx context.Context, target actor.Target) error {
	if n.pardons != nil {
		return n.pardons.Pardon(ctx, target)
	}
	return n.host.Pardon(ctx, target)
}
