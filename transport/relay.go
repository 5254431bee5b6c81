package transport

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// SocketHost is what a relay needs of its node's runtime, which is an *actor.Host.
type SocketHost interface {
	Take(ctx context.Context, a actor.Arrival) error
	CloseSocket(c actor.Closing) error
	Attach(object actor.ID, gateway uint64, sockets []actor.SocketID, last uint64) error
	Acknowledge(object actor.ID, gateway, number uint64)
	AddGateway(start uint64, gateway actor.Gateway)
	RemoveGateway(start uint64, gateway actor.Gateway)
}

// RelayConfig bounds what socket links may cost. A zero field means its default.
type RelayConfig struct {
	// Beat is the time after which an end of a link that has nothing to send says
	// that it is there; a peer that is silent for three beats is taken for frozen.
	// Default 1 s.
	Beat time.Duration
	// QueueBytes bounds what waits at one end of a link; at the bound the link is
	// broken. One message may be larger. Default 64 MiB.
	QueueBytes int
	// BacklogBytes bounds the messages that an owner holds for objects whose
	// mailboxes are full, for each gateway node; at the bound sockets are closed
	// with 1013. Default 64 MiB.
	BacklogBytes int
	// Idle is the time after which a link without sockets is closed. Default 1 min.
	Idle time.Duration
	// Patience bounds the search for an object's owner. Default 30 s.
	Patience time.Duration

	Events Events

	fault Fault // of a broken variant that only tests build
}

// Validate fills in defaults.
func (c *RelayConfig) Validate() error {
	for _, err := range []error{
		orDefault(&c.Beat, time.Second, "Beat"),
		orDefault(&c.QueueBytes, 64<<20, "QueueBytes"),
		orDefault(&c.BacklogBytes, 64<<20, "BacklogBytes"),
		orDefault(&c.Idle, time.Minute, "Idle"),
		orDefault(&c.Patience, 30*time.Second, "Patience"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Relay joins the gateways of this node with the owners of the objects whose
// sockets they hold, wherever those are, and this node's objects with the
// gateways of other nodes. It is the gateways' dispatcher of messages and closes,
// and the runtime's gateway of every start number.
//
// Locks are taken in the order roomSlot.mu, room.order, room.mu, Relay.mu; those of
// queues and intakes are leaves. room.order alone is held while a gateway is given a
// frame; no lock is held over I/O or a call of the host.
type Relay struct {
	// Fixed after NewRelay.
	host     SocketHost
	resolver Resolver
	dial     func(ctx context.Context, node string) (net.Conn, error)
	cfg      RelayConfig
	log      *slog.Logger
	local    *localOwner
	search   chan struct{} // one element for each search that is looking now
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	rooms     roomTable
	acks      *acks
	lingering *lingering

	mu       sync.Mutex // guards the following fields
	gateways map[uint64]actor.Gateway
	links    map[string]*ownerLink // by node
	inbound  map[*gatewayLink]struct{}
	watched  map[<-chan struct{}]map[*room]struct{}
	tended   bool // tend runs
	closed   bool
}

// maxSearches bounds the searches for owners that run at once, so that the
// objects of a node that died come back at a bounded rate.
const maxSearches = 64

// NewRelay makes a relay. dial reaches another node for LinkSockets, whose accepted
// connections go to Accept.
func NewRelay(cfg RelayConfig, host SocketHost, resolver Resolver, dial func(ctx context.Context, node string) (net.Conn, error), log *slog.Logger) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	rl := &Relay{
		host: host, resolver: resolver, dial: dial, cfg: cfg, log: log, ctx: ctx, cancel: cancel,
		search:   make(chan struct{}, maxSearches),
		gateways: make(map[uint64]actor.Gateway), links: make(map[string]*ownerLink),
		inbound: make(map[*gatewayLink]struct{}), watched: make(map[<-chan struct{}]map[*room]struct{}),
	}
	rl.local = newLocalOwner(rl)
	rl.acks = newAcks(rl)
	rl.lingering = &lingering{relay: rl}
	return rl, nil
}

// AddGateway puts the relay between a gateway of this node and the owners of its
// sockets' objects. All of them are added before the first connection of a client
// or peer.
func (rl *Relay) AddGateway(start uint64, gateway actor.Gateway) {
	rl.mu.Lock()
	rl.gateways[start] = gateway
	rl.mu.Unlock()
	rl.host.AddGateway(start, &localGateway{relay: rl, start: start})
}

// Message takes a message of a socket, see Dispatcher. It does not block: the
// gateway's window bounds what is not acknowledged, and where there is no window
// it refuses with ErrOverloaded what is beyond bounds of its own.
func (rl *Relay) Message(object actor.ID, socket actor.SocketID, number uint64, m actor.Message) error {
	var err error
	r := rl.rooms.with(streamID{socket.Gateway(), object}, nil, func(r *room) { err = r.messageLocked(socket, number, m) })
	if r != nil {
		r.pump()
	}
	return err
}

// SocketClosed tells the object of the end of a socket, see Dispatcher. It tells
// again until the object knows.
func (rl *Relay) SocketClosed(object actor.ID, socket actor.SocketID, info actor.CloseInfo, cause error) {
	rl.rooms.with(streamID{socket.Gateway(), object}, rl.newRoom, func(r *room) {
		r.closeLocked(socket, closing{info, cause})
	})
}

// lastWords bounds how long Close waits until all objects know of the closed sockets.
const lastWords = 3 * time.Second

// Close breaks all links and returns when nothing runs any more. The gateways are
// closed before; what their sockets have to tell gets a moment, and until ctx ends.
func (rl *Relay) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	for _, r := range rl.rooms.all() {
		r.retire()
	}
	rl.rooms.drained(ctx)
	rl.mu.Lock()
	rl.closed = true
	rl.cancel()
	for _, link := range rl.links {
		link.breakOff(ErrClosed)
	}
	for link := range rl.inbound {
		link.breakOff(ErrClosed)
	}
	rl.mu.Unlock()
	rl.running.Wait()
}

// spawn runs f on a goroutine that Close waits for; false after Close.
func (rl *Relay) spawn(f func()) bool {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.closed {
		return false
	}
	rl.running.Go(f)
	return true
}

func (rl *Relay) newRoom(id streamID) *room {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	r := &room{relay: rl, id: id, gateway: rl.gateways[id.gateway], seats: make(map[actor.SocketID]*seat)}
	r.rested.L = &r.mu
	return r
}

// deliver takes a frame that from has sent on a stream.
func (rl *Relay) deliver(from way, id streamID, f actor.Frame) {
	if f.Kind == actor.FrameGone {
		rl.gone(id, f.Socket)
		return
	}
	if r := rl.rooms.get(id); r != nil {
		r.take(from, f)
		return
	}
	if f.Kind == actor.FrameOpen {
		// Whoever asked for the socket is gone, and the object must hear it.
		rl.SocketClosed(id.object, f.Socket, lostInfo("the client left during the handshake"), nil)
	}
}

// gone is the word of an owner that an object does not have a socket any more. It
// counts from any way. The object's own close may have come while the room had
// none, and was dropped: then the client must hear it from here.
func (rl *Relay) gone(id streamID, socket actor.SocketID) {
	open := false
	r := rl.rooms.with(id, nil, func(r *room) {
		s := r.seats[socket]
		open = s != nil && !s.gone
		delete(r.seats, socket)
	})
	if !open {
		return
	}
	r.order.Lock()
	defer r.order.Unlock()
	r.gateway.Deliver(id.object, actor.Frame{
		Kind: actor.FrameClose, Socket: socket, Code: websocket.CloseTryAgainLater, Reason: "the object has ended this socket",
	})
}

// moved is the word of an owner that it does not own an object any more.
func (rl *Relay) moved(from way, id streamID) {
	rl.rooms.with(id, nil, func(r *room) { r.lostLocked(from) })
}

// lost is the end of a way.
func (rl *Relay) lost(from way) {
	for _, r := range rl.rooms.all() {
		rl.rooms.with(r.id, nil, func(r *room) { r.lostLocked(from) })
	}
}

// localGateway is a gateway of this node as this node's runtime sees it.
type localGateway struct {
	relay *Relay
	start uint64
}

// Deliver implements actor.Gateway.
func (g *localGateway) Deliver(object actor.ID, f actor.Frame) {
	id := streamID{g.start, object}
	if f.Kind == actor.FrameOpen {
		g.relay.local.intake.opened(id, f.Socket)
	}
	g.relay.deliver(g.relay.local, id, f)
}

// OwnershipEnded implements actor.Attacher.
func (g *localGateway) OwnershipEnded(of func(actor.ID) bool) {
	for _, r := range g.relay.rooms.all() {
		if r.id.gateway == g.start && of(r.id.object) {
			g.relay.moved(g.relay.local, r.id)
		}
	}
}

// way leads to the owner of objects. Its methods do not block, and are called
// without a lock; what becomes of what they take is told by deliver, moved and lost.
type way interface {
	attach(id streamID, a attach)
	message(id streamID, socket actor.SocketID, number uint64, m actor.Message)
	acknowledge(id streamID, frame uint64)
	closed(id streamID, socket actor.SocketID, c closing)
	broken() bool
	leadsTo(owner Owner) bool
}

// localOwner is the way to objects of this node.
type localOwner struct {
	relay  *Relay
	intake *intake
}

func newLocalOwner(rl *Relay) *localOwner {
	o := &localOwner{relay: rl}
	o.intake = newIntake(rl, func(id streamID) { rl.moved(o, id) }, func(id streamID, f actor.Frame) { rl.deliver(o, id, f) })
	return o
}

func (o *localOwner) attach(id streamID, a attach) { o.intake.attach(id, a) }

func (o *localOwner) message(id streamID, socket actor.SocketID, number uint64, m actor.Message) {
	o.intake.message(id, socket, number, m)
}

func (o *localOwner) closed(id streamID, socket actor.SocketID, c closing) {
	o.intake.closed(id, socket, c)
}

func (o *localOwner) acknowledge(id streamID, frame uint64) {
	o.relay.host.Acknowledge(id.object, id.gateway, frame)
}

func (o *localOwner) broken() bool { return false }

func (o *localOwner) leadsTo(owner Owner) bool { return owner.Local }
