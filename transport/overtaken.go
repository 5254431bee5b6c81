package transport

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// overtakenLook is how often the calls that wait for another node are looked
// through. A call whose object has another owner at two looks in a row is given
// up: the node that was asked can commit and release nothing any more, and what
// it released before has had that long to arrive. A node that is frozen or cut
// off says nothing itself, and its connections look healthy.
const (
	overtakenLook = 250 * time.Millisecond
	// overtakenLooks is how many looks in a row it takes.
	overtakenLooks = 2
	// doubtfulLooks is how many it takes if that owner was the guess already when
	// another node was asked, which a call that is refused tries now and then. It may
	// have been the guess that was wrong; but by then this node would know better.
	doubtfulLooks = 16
)

// errOvertaken ends the wait for a node that is the owner no more.
var errOvertaken = errors.New("transport: another node has become the owner meanwhile")

// overtaken watches the calls that this node has sent to owners. While there are
// none it has no goroutine.
type overtaken struct {
	resolver Resolver

	mu      sync.Mutex // guards the following fields
	calls   map[*sentCall]struct{}
	looking bool
}

// sentCall is a call that waits for an owner.
type sentCall struct {
	object   actor.ID
	node     string // that was asked
	guess    Owner  // that there was when it was asked: as long as it stays it proves little
	guessed  bool
	cancel   context.CancelCauseFunc
	replaced int // looks in a row at which there was another owner; look's own
}

// watch gives the context for a call to a node. done must be called when it is over.
func (o *overtaken) watch(ctx context.Context, object actor.ID, node string) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	guess, ok, _ := o.resolver.Owner(object)
	call := &sentCall{object: object, node: node, guess: guess, guessed: ok, cancel: cancel}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calls == nil {
		o.calls = make(map[*sentCall]struct{})
	}
	o.calls[call] = struct{}{}
	if !o.looking {
		o.looking = true
		time.AfterFunc(overtakenLook, o.look)
	}
	return ctx, func() {
		o.mu.Lock()
		delete(o.calls, call)
		o.mu.Unlock()
		cancel(nil)
	}
}

// look goes through all calls, and comes back as long as there are any. Only one
// look runs at a time.
func (o *overtaken) look() {
	o.mu.Lock()
	waiting := slices.Collect(maps.Keys(o.calls))
	o.mu.Unlock()
	for _, call := range waiting {
		owner, ok, _ := o.resolver.Owner(call.object)
		if !ok || !owner.Local && owner.Node == call.node {
			call.replaced = 0
			continue
		}
		enough := overtakenLooks
		if call.guessed && owner == call.guess {
			enough = doubtfulLooks
		}
		if call.replaced++; call.replaced >= enough {
			call.cancel(errOvertaken)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.looking = len(o.calls) > 0; o.looking {
		time.AfterFunc(overtakenLook, o.look)
	}
}
