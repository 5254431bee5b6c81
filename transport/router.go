package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	// ownerWait bounds how long a call waits while its shard has no owner.
	ownerWait = 5 * time.Second
	// ownerPause is how long a call waits before it asks again whoever refused
	// it, if nobody tells of a new owner before.
	ownerPause = 25 * time.Millisecond
	// replayBytes bounds what is kept of a body so that a refused call can be
	// sent again.
	replayBytes = 1 << 20
)

// Owner is the node that owned a shard when this node last heard. It may be
// stale: whoever is asked refuses what is not its own.
type Owner struct {
	Node  string
	Local bool // it is this node
}

// Resolver finds the owner of an object.
type Resolver interface {
	// Owner gives the owner of the object's shard, if one is known, and a channel
	// that is closed when something better may be known.
	Owner(object actor.ID) (owner Owner, ok bool, changed <-chan struct{})
}

// Router is the Dispatcher of a node in a cluster: it runs events on this node
// where it owns the object, and sends them to the owner otherwise, one hop. It
// sends a call again only if it certainly did not run.
type Router struct {
	local    Dispatcher // of this node's own objects
	resolver Resolver
	peers    *Peers
	relay    *Relay // nil: sockets reach objects of this node only
}

// NewRouter makes a router.
func NewRouter(local Dispatcher, resolver Resolver, peers *Peers) *Router {
	return &Router{local: local, resolver: resolver, peers: peers}
}

// IDs implements Dispatcher.
func (rt *Router) IDs(class string) (actor.IDSource, bool) { return rt.local.IDs(class) }

// Dispatch implements Dispatcher.
func (rt *Router) Dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	if rt.relay != nil && socket != (actor.SocketID{}) {
		return rt.relay.open(w, r, target, socket, func(w http.ResponseWriter) error {
			return rt.dispatch(w, r, target, socket)
		})
	}
	return rt.dispatch(w, r, target, socket)
}

// dispatch looks for the owner until one has taken the call, or patience is over.
func (rt *Router) dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	body := newReplayBody(r)
	patience := time.NewTimer(ownerWait)
	defer patience.Stop()
	for {
		owner, ok, changed := rt.resolver.Owner(target.ID)
		err := actor.ErrNotOwner
		if ok {
			err = rt.send(w, body.attach(r), target, socket, owner)
			if !errors.Is(err, actor.ErrNotOwner) || !body.rewind() {
				return err
			}
		}
		if !rt.pause(r.Context(), patience, changed, ok) {
			return err
		}
	}
}

func (rt *Router) send(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID, owner Owner) error {
	if rt.relay != nil && socket != (actor.SocketID{}) {
		if err := rt.relay.prepare(r.Context(), target.ID, socket, owner); err != nil {
			return err
		}
	}
	if owner.Local {
		return rt.local.Dispatch(w, r, target, socket)
	}
	return rt.peers.forward(w, r, target, socket, owner.Node)
}

// pause waits for a better answer of the resolver; false when patience or the client is gone.
func (rt *Router) pause(ctx context.Context, patience *time.Timer, changed <-chan struct{}, refused bool) bool {
	var again <-chan time.Time
	if refused {
		timer := time.NewTimer(ownerPause)
		defer timer.Stop()
		again = timer.C
	}
	select {
	case <-changed:
	case <-again:
	case <-patience.C:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// replayBody keeps what was read of a body, up to replayBytes.
type replayBody struct {
	src  io.ReadCloser
	kept []byte
	at   int  // next byte of kept to give
	lost bool // more was read than is kept
}

func newReplayBody(r *http.Request) *replayBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &replayBody{src: r.Body}
}

// attach gives the request with the body from its beginning.
func (b *replayBody) attach(r *http.Request) *http.Request {
	if b == nil {
		return r
	}
	r = r.WithContext(r.Context())
	r.Body = b
	return r
}

// rewind goes back to the beginning, if that is still there.
func (b *replayBody) rewind() bool {
	if b == nil {
		return true
	}
	b.at = 0
	return !b.lost
}

// Read implements io.Reader.
func (b *replayBody) Read(p []byte) (int, error) {
	if b.at < len(b.kept) {
		n := copy(p, b.kept[b.at:])
		b.at += n
		return n, nil
	}
	n, err := b.src.Read(p)
	if len(b.kept)+n > replayBytes {
		b.lost, b.kept, b.at = true, nil, 0
	}
	if !b.lost {
		b.kept = append(b.kept, p[:n]...)
		b.at = len(b.kept)
	}
	return n, err
}

// Close implements io.Closer. The server closes the client's body itself.
func (b *replayBody) Close() error { return nil }
