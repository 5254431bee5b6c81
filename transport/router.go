package transport

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	// ownerWait bounds how long a call waits while its shard has no owner.
	ownerWait = 5 * time.Second
	// ownerTries is after how many vain tries a call does not trust the guess any
	// more: every second try then goes to one of the shard's nodes.
	ownerTries = 4
	// ownerPause is how long a call waits before it asks again whoever refused
	// it, if nobody tells of a new owner before.
	ownerPause = 25 * time.Millisecond
)

// Owner is the node that owned a shard when this node last heard. It may be
// stale: whoever is asked refuses what is not its own.
type Owner struct {
	Node  string
	Local bool // it is this node
}

// Hint is what a node that was asked for an object of another's says of its owner.
type Hint struct {
	Node      string
	Ownership uint64 // of the hint with the greater number the other is outdated
}

// Resolver finds the owner of an object.
type Resolver interface {
	// Owner gives the owner of the object's shard, if one is known, and a channel
	// that is closed when something better may be known.
	Owner(object actor.ID) (owner Owner, ok bool, changed <-chan struct{})
	// Holders gives the other nodes that should know the object's owner.
	Holders(object actor.ID) []string
}

// Hints are what nodes tell each other of owners besides.
type Hints interface {
	// Hint gives the newest hint that this node has.
	Hint(object actor.ID) (Hint, bool)
	// Learn takes a hint and gives the owner that it names; false if there is no such node.
	Learn(object actor.ID, hint Hint) (Owner, bool)
}

// Router is the way to all objects of a cluster: it runs events on this node
// where it owns the object, and sends them to the owner otherwise, one hop. It
// sends a call again only if it certainly did not run.
type Router struct {
	// Fixed before the first call.
	local    Dispatcher // of this node's own objects
	resolver Resolver
	peers    *Peers // nil: there are none, and all objects are this node's
	hints    Hints  // nil: none
	relay    *Relay // of sockets; nil: there is none
	events   Events

	overtaken overtaken // calls whose owner may have been replaced
}

// NewRouter makes a router. Without peers it leaves calls to local, and what it is
// for are sockets.
func NewRouter(local Dispatcher, resolver Resolver, peers *Peers) *Router {
	return &Router{local: local, resolver: resolver, peers: peers, overtaken: overtaken{resolver: resolver}}
}

// UseHints has the router follow the hints in refusals. It is called before the first call.
func (rt *Router) UseHints(h Hints) { rt.hints = h }

// UseEvents has the router tell what becomes of calls. It is called before the first call.
func (rt *Router) UseEvents(e Events) { rt.events = e }

// IDs implements Dispatcher.
func (rt *Router) IDs(class string) (actor.IDSource, bool) { return rt.local.IDs(class) }

// Dispatch implements Dispatcher.
func (rt *Router) Dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	switch none := socket == (actor.SocketID{}); {
	case none && rt.peers == nil:
		return rt.local.Dispatch(w, r, target, socket)
	case none || rt.relay == nil:
		return rt.route(w, r, target, socket)
	}
	return rt.relay.open(w, r, target, socket, func(w http.ResponseWriter) error { return rt.route(w, r, target, socket) })
}

// route finds the owner and has it run the call.
func (rt *Router) route(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	body := newReplayBody(r)
	patience := time.NewTimer(ownerWait)
	defer patience.Stop()
	var newest uint64 // ownership in the newest hint that was followed
	way := journey{events: &rt.events}
	defer way.over()
	err := actor.ErrNotOwner
	for try := 0; ; try++ {
		owner, ok, changed := rt.resolver.Owner(target.ID)
		if holders := rt.resolver.Holders(target.ID); try >= ownerTries && try%2 == 0 && len(holders) > 0 {
			owner, ok = Owner{Node: holders[try/2%len(holders)]}, true
		}
		for follow := ok; follow; {
			again, whole := body.attach(r)
			if !whole {
				return err
			}
			way.send()
			err = rt.send(w, again, target, socket, owner)
			refusal, refused := errors.AsType[*refusal](err)
			if !refused && !errors.Is(err, actor.ErrNotOwner) || !body.whole() {
				return err
			}
			owner, follow = rt.better(target.ID, owner, refusal, &newest)
		}
		way.wait()
		if !rt.pause(r.Context(), patience, changed) {
			return err
		}
	}
}

func (rt *Router) send(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID, owner Owner) error {
	if socket != (actor.SocketID{}) && rt.relay != nil {
		session, err := actor.HasSession(r)
		if err == nil {
			err = rt.relay.prepare(r.Context(), target.ID, socket, session, owner)
		}
		if err != nil {
			return err
		}
	}
	if owner.Local {
		return rt.local.Dispatch(w, r, target, socket)
	}
	ctx, done := rt.overtaken.watch(r.Context(), target.ID, owner.Node)
	defer done()
	began := time.Now()
	err := errCutOff // stands if the answer breaks off after its head, with a panic
	defer func() { rt.events.forwarded(err, time.Since(began)) }()
	err = rt.peers.forward(w, r.WithContext(ctx), target, socket, owner.Node)
	return err
}

// better says whom to ask at once after a refusal: another node, if the refusal
// names one that this call did not know of.
func (rt *Router) better(object actor.ID, asked Owner, r *refusal, newest *uint64) (Owner, bool) {
	if r == nil || rt.hints == nil || r.hint.Ownership <= *newest {
		return Owner{}, false
	}
	*newest = r.hint.Ownership
	owner, ok := rt.hints.Learn(object, r.hint)
	return owner, ok && owner != asked
}

// pause waits for a better answer of the resolver, or until it is time to ask
// again; false when patience or the client is gone.
func (rt *Router) pause(ctx context.Context, patience *time.Timer, changed <-chan struct{}) bool {
	again := time.NewTimer(ownerPause)
	defer again.Stop()
	select {
	case <-changed:
	case <-again.C:
	case <-patience.C:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}
