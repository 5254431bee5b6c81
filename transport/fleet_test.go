package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// fleet is some nodes with runtime, gateway and relay, on links in memory. They
// share one state database, which takes the place of replication: what one
// commits the others can read. Ownership is what the fleet says.
type fleet struct {
	t     *testing.T
	store *actor.Store
	nodes map[string]*fleetNode

	mu      sync.Mutex          // guards the following fields
	owners  [fleetShards]string // "" = none
	number  uint64              // of the newest ownership
	numbers [fleetShards]uint64 // of each shard's ownership
	index   uint64
	changed chan struct{}
	heard   []string // what the class saw, in order: "open", "close CODE", "got TEXT"
	over    map[uint64]bool
	loss    loss
	variant variant
}

// loss says what becomes of batches.
type loss int

const (
	lostNot     loss = iota
	lostDropped      // not applied, their outcome unknown
	lostApplied      // applied, their outcome unknown
)

// variant is a broken runtime.
type variant int

const (
	variantNone     variant = iota
	variantNoOutbox         // kept frames are not sent again
	variantNoEpoch          // messages take effect although one before them was lost
)

// fleetHost is the runtime as a relay sees it.
type fleetHost struct {
	*actor.Host
	fleet *fleet
}

func (h *fleetHost) is(v variant) bool {
	h.fleet.mu.Lock()
	defer h.fleet.mu.Unlock()
	return h.fleet.variant == v
}

// Attach implements SocketHost.
func (h *fleetHost) Attach(object actor.ID, gateway uint64, sockets []actor.SocketID, last uint64) error {
	if h.is(variantNoOutbox) {
		last = math.MaxUint64
	}
	return h.Host.Attach(object, gateway, sockets, last)
}

// Take implements SocketHost.
func (h *fleetHost) Take(ctx context.Context, a actor.Arrival) error {
	if h.is(variantNoEpoch) {
		a.Stale = nil
	}
	return h.Host.Take(ctx, a)
}

// fleetShards is the number of shards.
const fleetShards = 2

func fleetShard(id actor.ID) uint32 { return uint32(id[0] % fleetShards) }

// fleetNode is one node.
type fleetNode struct {
	fleet  *fleet
	name   string
	start  uint64
	host   *actor.Host
	relay  *Relay
	router *Router
	peers  *Peers
	inner  *PeerServer
	server *Server
	door   *pipeListener
	lists  *Link
	inside *pipeListener
	frames frameCount
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the following fields
	conns   []*fleetConn
	belief  string // who it thinks is the owner; "" = the truth
	down    bool   // cannot be dialled
	stopped bool
}

type frameCount struct {
	mu   sync.Mutex
	made map[actor.FrameKind]int
}

func (c *frameCount) add(kind actor.FrameKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made = make(map[actor.FrameKind]int)
	}
	c.made[kind]++
}

func (c *frameCount) of(kind actor.FrameKind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made[kind]
}

// inFleet runs a test in a bubble with nodes of those names; the first owns everything.
func inFleet(t *testing.T, cfg RelayConfig, gateway GatewayConfig, names string, test func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t, nodes: make(map[string]*fleetNode), changed: make(chan struct{}), over: make(map[uint64]bool)}
		store, err := actor.OpenStore(actor.StoreConfig{
			Dir: "state", FS: vfs.NewMem(), ShardOf: fleetShard, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		f.store = store
		for i, name := range strings.Fields(names) {
			f.nodes[name] = f.newNode(name, uint64(i+1)<<28|1, cfg, gateway)
		}
		f.own(strings.Fields(names)[0])
		defer func() {
			for _, n := range f.nodes {
				n.stop()
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(f)
	})
}

func (f *fleet) newNode(name string, start uint64, cfg RelayConfig, gateway GatewayConfig) *fleetNode {
	n := &fleetNode{fleet: f, name: name, start: start}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("FLEET_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", name)
	}
	must := func(err error) {
		if err != nil {
			f.t.Fatal(err)
		}
	}
	var err error
	n.host, err = actor.NewHost(actor.Config{
		Classes: map[string]actor.Class{"ChatRoom": {New: f.newChat}}, Secret: testSecret, Store: f.store,
		Committer: &fleetCommitter{node: n}, ShardOf: fleetShard, Start: start, Log: log,
		GatewayOver: f.gatewayOver,
		Events:      actor.Events{Frames: n.frames.add},
	})
	must(err)
	g, err := NewGateway(start<<1, gateway, log, Events{})
	must(err)
	n.relay, err = NewRelay(cfg, &fleetHost{Host: n.host, fleet: f}, n, n.dialFor(LinkSockets), log)
	must(err)
	n.relay.AddGateway(start<<1, g)
	n.relay.AddGateway(n.host.Loop())
	n.peers = NewPeers(n.dialFor(LinkHTTP))
	n.router = NewRouter(n.host, n, n.peers)
	n.router.RelaySockets(n.relay)
	n.host.Route(n.router)
	n.inner = NewPeerServer(n.host, log)
	n.server, err = NewServer(ServerConfig{}, n.router, g, log, Events{})
	must(err)
	n.door = &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	n.inside = &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	n.lists = NewLink(nil, n.inside.dialAddress, log)
	n.lists.Handle(LinkHTTP, n.inner.Accept)
	n.lists.Handle(LinkSockets, n.relay.Accept)
	n.serve(func() error { return n.lists.Serve(n.inside) })
	n.serve(n.inner.Serve)
	n.serve(func() error { return n.server.Serve(n.door) })
	return n
}

func (l *pipeListener) dialAddress(ctx context.Context, _ string) (net.Conn, error) {
	return l.dial(ctx)
}

func (n *fleetNode) serve(f func() error) {
	n.wg.Go(func() {
		if err := f(); err != nil {
			n.fleet.t.Errorf("%s: %v", n.name, err)
		}
	})
}

// stop stops a node gracefully.
func (n *fleetNode) stop() {
	n.mu.Lock()
	stopped := n.stopped
	n.stopped = true
	n.mu.Unlock()
	if stopped {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != nil {
		n.fleet.t.Errorf("%s: %v", n.name, err)
	}
	n.relay.Close(ctx)
	if err := n.host.Close(ctx); err != nil {
		n.fleet.t.Errorf("%s: %v", n.name, err)
	}
	n.peers.Close()
	if err := n.inner.Shutdown(ctx); err != nil {
		n.fleet.t.Errorf("%s: %v", n.name, err)
	}
	if err := n.lists.Close(); err != nil {
		n.fleet.t.Errorf("%s: %v", n.name, err)
	}
	n.wg.Wait()
}

// kill ends a node as a crash does: its connections break, and nothing that it
// still does has an effect.
func (n *fleetNode) kill() {
	n.mu.Lock()
	n.down = true
	n.mu.Unlock()
	n.cut("")
	n.stop()
}

// dialFor reaches another node.
func (n *fleetNode) dialFor(use LinkUse) func(ctx context.Context, node string) (net.Conn, error) {
	return func(ctx context.Context, node string) (net.Conn, error) {
		to := n.fleet.nodes[node]
		if to == nil {
			return nil, errors.New("no such node")
		}
		to.mu.Lock()
		down := to.down
		to.mu.Unlock()
		n.mu.Lock()
		down = down || n.down
		n.mu.Unlock()
		if down {
			return nil, errors.New("no route")
		}
		conn, err := to.lists.Dial(ctx, node, use)
		if err != nil {
			return nil, err
		}
		c := &fleetConn{Conn: conn, use: use, to: node}
		n.mu.Lock()
		n.conns = append(n.conns, c)
		n.mu.Unlock()
		to.mu.Lock()
		to.conns = append(to.conns, c)
		to.mu.Unlock()
		return c, nil
	}
}

// fleetConn is a connection that can freeze.
type fleetConn struct {
	net.Conn

	use LinkUse
	to  string

	mu      sync.Mutex // guards the following fields
	frozen  bool
	stalled bool
	until   time.Time
}

// SetReadDeadline implements net.Conn.
func (c *fleetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.until = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *fleetConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Read implements net.Conn: what a frozen connection carries is lost.
func (c *fleetConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		stalled := c.stalled
		c.mu.Unlock()
		if stalled {
			time.Sleep(100 * time.Millisecond)
			c.mu.Lock()
			until := c.until
			c.mu.Unlock()
			if !until.IsZero() && time.Now().After(until) {
				return 0, os.ErrDeadlineExceeded
			}
			continue
		}
		n, err := c.Conn.Read(p)
		c.mu.Lock()
		frozen := c.frozen
		c.mu.Unlock()
		if !frozen || err != nil {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (c *fleetConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	frozen := c.frozen
	c.mu.Unlock()
	if frozen {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// stall makes reads wait for ever; the peer cannot write any more.
func (c *fleetConn) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = true
}

// cut breaks the node's connections to one node, or to all.
func (n *fleetNode) cut(to string) {
	n.mu.Lock()
	conns := n.conns
	n.mu.Unlock()
	for _, c := range conns {
		if to == "" || c.to == to {
			c.Conn.Close()
		}
	}
}

// freeze makes the node's connections silent.
func (n *fleetNode) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	for _, c := range n.conns {
		c.mu.Lock()
		c.frozen = true
		c.mu.Unlock()
	}
}

func (n *fleetNode) isDown() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// links counts the socket links that the node has dialled to another.
func (n *fleetNode) links() int {
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	return len(n.relay.links)
}

// Holders implements Resolver.
func (*fleetNode) Holders(actor.ID) []string { return nil }

// Owner implements Resolver.
func (n *fleetNode) Owner(object actor.ID) (Owner, bool, <-chan struct{}) {
	f := n.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	owner := f.owners[fleetShard(object)]
	n.mu.Lock()
	if n.belief != "" {
		owner = n.belief
	}
	n.mu.Unlock()
	return Owner{Node: owner, Local: owner == n.name}, owner != "", f.changed
}

// own makes a node the owner of everything, or none.
func (f *fleet) own(name string) {
	for shard := range uint32(fleetShards) {
		f.ownShard(shard, name)
	}
}

func (f *fleet) ownShard(shard uint32, name string) {
	f.mu.Lock()
	old := f.owners[shard]
	f.owners[shard] = name
	f.number++
	number := f.number
	f.numbers[shard] = number
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
	if n := f.nodes[old]; n != nil && !n.isDown() { // one that is cut off does not know
		n.host.SetOwnership(shard, 0)
	}
	if n := f.nodes[name]; n != nil {
		n.host.SetOwnership(shard, number)
	}
}

func (f *fleet) gatewayOver(start uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over[start>>1]
}

// fleetCommitter is a node's way to the shared state.
type fleetCommitter struct {
	node *fleetNode
}

// Ownership implements actor.Committer.
func (c *fleetCommitter) Ownership(object actor.ID) (uint64, error) {
	f := c.node.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	shard := fleetShard(object)
	if f.owners[shard] != c.node.name {
		return 0, actor.ErrNotOwner
	}
	return f.numbers[shard], nil
}

// Prove implements actor.Committer.
func (c *fleetCommitter) Prove(object actor.ID, ownership uint64, done func(error)) {
	now, err := c.Ownership(object)
	if err == nil && now != ownership {
		err = actor.ErrNotOwner
	}
	done(err)
}

// Commit implements actor.Committer.
func (c *fleetCommitter) Commit(object actor.ID, ownership uint64, batch []byte, done func(error)) {
	done(c.apply(object, ownership, batch))
}

func (c *fleetCommitter) apply(object actor.ID, ownership uint64, batch []byte) error {
	f := c.node.fleet
	now, err := c.Ownership(object)
	if err != nil || now != ownership {
		return actor.ErrNotOwner
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loss == lostDropped {
		return actor.ErrOutcomeUnknown
	}
	f.index++
	if err := f.store.Apply(fleetShard(object), [][]byte{batch}, f.index, nil); err != nil {
		return err
	}
	if f.loss == lostApplied {
		return actor.ErrOutcomeUnknown
	}
	return nil
}

// lose makes every batch be lost, with an unknown outcome.
func (f *fleet) lose(how loss) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loss = how
}

// hear notes what the class saw.
func (f *fleet) hear(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, fmt.Sprintf(format, args...))
}

// saw gives what the class saw, except what it got.
func (f *fleet) saw(prefix string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, line := range f.heard {
		if strings.HasPrefix(line, prefix) {
			all = append(all, line)
		}
	}
	return all
}

// chat is the class of the fleet's objects. A message tells it what to do:
// "all TEXT" broadcasts, "put TEXT" stores and broadcasts, "tag T TEXT" broadcasts
// to those with the tag, "me TEXT" answers, "bye" closes the socket.
type chat struct {
	fleet *fleet
	state *actor.State
}

func (f *fleet) newChat(_ context.Context, s *actor.State) (http.Handler, error) {
	return &chat{fleet: f, state: s}, nil
}

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/dial" {
		c.dial(w, r)
		return
	}
	if r.URL.Path != "/socket" {
		if text := r.URL.Query().Get("say"); text != "" {
			if err := c.state.Broadcast(r.Context(), actor.Message{Kind: actor.Text, Data: []byte(text)}, actor.BroadcastOptions{}); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
		all, _ := c.state.Sockets(r.Context(), "")
		fmt.Fprint(w, len(all))
		return
	}
	if _, err := c.state.AcceptSocket(w, r, actor.SocketOptions{Tags: r.URL.Query()["tag"]}); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, err.Error())
		return
	}
	c.fleet.hear("open")
}

// dial joins another room, says so many words there, and answers with what it heard.
func (c *chat) dial(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	rooms, err := c.state.Namespace("ChatRoom")
	if err != nil {
		panic(err)
	}
	room, err := rooms.Named(r.URL.Query().Get("room"))
	if err != nil {
		panic(err)
	}
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "/socket", nil)
	socket, resp, err := room.Dial(ctx, request)
	if err != nil || socket == nil {
		http.Error(w, fmt.Sprint(resp, err), http.StatusInternalServerError)
		return
	}
	words, _ := strconv.Atoi(r.URL.Query().Get("words"))
	for n := range words {
		if err := socket.Send(ctx, actor.Message{Kind: actor.Text, Data: fmt.Appendf(nil, "put m0:%d", n)}); err != nil {
			fmt.Fprintf(w, "send: %v\n", err)
			return
		}
		m, err := socket.Receive(ctx)
		if err != nil {
			fmt.Fprintf(w, "receive: %v\n", err)
			return
		}
		fmt.Fprintf(w, "%s\n", m.Data)
		if err := c.state.Outside(ctx, func(context.Context) error { time.Sleep(time.Millisecond); return nil }); err != nil {
			fmt.Fprintf(w, "pause: %v\n", err)
		}
	}
	if err := socket.Close(ctx, 4002, "enough"); err != nil {
		fmt.Fprintf(w, "close: %v\n", err)
	}
}

func (c *chat) SocketMessage(ctx context.Context, socket *actor.Socket, m actor.Message) error {
	word, text, _ := strings.Cut(string(m.Data), " ")
	c.fleet.hear("got %s", m.Data[:min(len(m.Data), 40)])
	out := actor.Message{Kind: m.Kind, Data: []byte(text)}
	switch word {
	case "put":
		var n uint64
		if data, ok, err := c.state.Storage().Get(ctx, "n"); err != nil {
			return err
		} else if ok {
			n = binary.BigEndian.Uint64(data)
		}
		if err := c.state.Storage().Put(ctx, "n", binary.BigEndian.AppendUint64(nil, n+1)); err != nil {
			return err
		}
		out.Data = fmt.Appendf(nil, "%d %s", n+1, text)
		return c.state.Broadcast(ctx, out, actor.BroadcastOptions{})
	case "all":
		return c.state.Broadcast(ctx, out, actor.BroadcastOptions{})
	case "others":
		return c.state.Broadcast(ctx, out, actor.BroadcastOptions{Except: []*actor.Socket{socket}})
	case "tag":
		tag, rest, _ := strings.Cut(text, " ")
		out.Data = []byte(rest)
		return c.state.Broadcast(ctx, out, actor.BroadcastOptions{Tag: tag})
	case "me":
		return socket.Send(ctx, out)
	case "bye":
		return socket.Close(ctx, 4000, "bye")
	}
	return nil
}

func (c *chat) SocketClose(_ context.Context, _ *actor.Socket, info actor.CloseInfo) error {
	c.fleet.hear("close %d %v", info.Code, info.Clean)
	return nil
}

// open opens a socket to the room of that name through a node.
func (n *fleetNode) open(room, query string) *websocket.Conn {
	n.fleet.t.Helper()
	c, resp, err := n.tryOpen(room, query)
	if err != nil {
		n.fleet.t.Fatalf("open %s through %s: %v, %v", room, n.name, err, resp)
	}
	return c
}

func (n *fleetNode) tryOpen(room, query string) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.door.dial(ctx) }}
	c, resp, err := d.DialContext(n.fleet.t.Context(), "ws://node/objects/ChatRoom/"+room+"/socket"+query, nil)
	if err == nil {
		n.fleet.t.Cleanup(func() { c.Close() })
	}
	return c, resp, err
}

// get makes a call through a node and gives the answer.
func (n *fleetNode) get(path string) string {
	n.fleet.t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return n.door.dial(ctx) },
		DisableKeepAlives: true,
	}}
	resp, err := client.Get("http://node" + path)
	if err != nil {
		n.fleet.t.Fatalf("get %s through %s: %v", path, n.name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		n.fleet.t.Fatalf("get %s through %s = %d %q, %v, want 200", path, n.name, resp.StatusCode, body, err)
	}
	return string(body)
}

func say(t *testing.T, c *websocket.Conn, format string, args ...any) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		t.Fatalf("write: %v", err)
	}
}
