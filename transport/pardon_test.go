package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// pardonerNode is a node that owns what its flag says.
type pardonerNode struct {
	ids      actor.IDSource
	owns     atomic.Bool
	answer   error
	pardoned []actor.Target
}

func (n *pardonerNode) IDs(class string) (actor.IDSource, bool) { return n.ids, class == "Counter" }

func (n *pardonerNode) Pardon(_ context.Context, target actor.Target) error {
	if !n.owns.Load() {
		return actor.ErrNotOwner
	}
	n.pardoned = append(n.pardoned, target)
	return n.answer
}

// resolverFunc says who owns everything.
type resolverFunc func() (Owner, bool, <-chan struct{})

func (f resolverFunc) Owner(actor.ID) (Owner, bool, <-chan struct{}) { return f() }

func (f resolverFunc) Holders(actor.ID) []string { return nil }

// TestPardonFindsTheOwner: the first answer of the resolver is wrong.
func TestPardonFindsTheOwner(t *testing.T) {
	ids := actor.NewIDSource(make([]byte, actor.IDSecretBytes), "Counter")
	id, err := ids.Named("größe")
	if err != nil {
		t.Fatal(err)
	}
	target := actor.Target{Class: "Counter", ID: id, Name: "größe"}
	here, there := &pardonerNode{ids: ids}, &pardonerNode{ids: ids}
	log := slog.New(slog.DiscardHandler)
	remote := NewPardons(there, nil, nil, log)
	served := make(chan error, 1)
	go func() { served <- remote.Serve() }()
	asked := 0
	never := make(chan struct{})
	local := NewPardons(here, resolverFunc(func() (Owner, bool, <-chan struct{}) {
		asked++
		if asked == 3 {
			there.owns.Store(true)
		}
		return Owner{Node: "there", Local: asked == 1}, true, never
	}), func(_ context.Context, node string) (net.Conn, error) {
		if node != "there" {
			return nil, fmt.Errorf("no node %s", node)
		}
		client, server := net.Pipe()
		remote.Accept(server)
		return client, nil
	}, log)
	if err := local.Pardon(t.Context(), target); err != nil || len(there.pardoned) != 1 || there.pardoned[0] != target || asked != 3 {
		t.Errorf("Pardon = %v, the owner pardoned %v after %d looks, want %v after 3", err, there.pardoned, asked, target)
	}
	there.answer = &actor.QuarantineError{Wait: time.Minute}
	var q *actor.QuarantineError
	if err := local.Pardon(t.Context(), target); !errors.As(err, &q) || q.Wait != time.Minute {
		t.Errorf("Pardon = %v, want what the owner says", err)
	}
	there.answer = actor.ErrStuck
	if err := local.Pardon(t.Context(), target); !errors.Is(err, actor.ErrStuck) {
		t.Errorf("Pardon = %v, want ErrStuck", err)
	}
	if err := remote.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
