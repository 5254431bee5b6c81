package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// memNetwork is a network in memory between named hosts, for bubbles of synctest:
// a real socket would never count as blocked. It is quick and loses nothing until
// a test says otherwise.
type memNetwork struct {
	mu     sync.Mutex // guards the following fields
	random *rand.Rand
	hosts  map[string]*memHost // those that are up
	ips    map[string]net.IP   // for gossip, which wants addresses; of all hosts ever
	links  map[[2]string]*memLink
	usual  weather                 // of links that nobody has spoken of
	lost   map[string][]*memConn   // ends elsewhere that have not noticed yet that the host lost its power
	ears   map[string]*memGossip   // by address
	doors  map[string]*memListener // by address

	lives *lives
}

// weather is what a direction between two hosts is like.
type weather struct {
	cut    bool          // nothing arrives; streams go on when it is over, datagrams are lost
	delay  time.Duration // on the way
	jitter time.Duration // at most, on top; datagrams overtake each other
	loss   float64       // share of segments that a stream sends again, and of datagrams that are lost
}

// resend is how late a segment is that had to be sent again.
const resend = 200 * time.Millisecond

var errConnectionReset = errors.New("connection reset by peer")

func newMemNetwork() *memNetwork { return newSeededNetwork(0) }

func newSeededNetwork(seed uint64) *memNetwork {
	return &memNetwork{
		random: rand.New(rand.NewPCG(seed, 0x6e6574)), hosts: make(map[string]*memHost), ips: make(map[string]net.IP),
		links: make(map[[2]string]*memLink), lost: make(map[string][]*memConn), ears: make(map[string]*memGossip),
		doors: make(map[string]*memListener), lives: newLives(),
	}
}

// memLink is one direction between two hosts.
type memLink struct {
	mu      sync.Mutex // guards the following fields
	weather weather
	changed chan struct{} // closed, and nil again, when the weather changes; nil if nobody waits
}

// cut says whether nothing arrives, and what tells of a change.
func (l *memLink) cut() (is bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.weather.cut {
		return false, nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return true, l.changed
}

func (n *memNetwork) link(from, to string) *memLink {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[[2]string{from, to}]
	if l == nil {
		l = &memLink{weather: n.usual}
		n.links[[2]string{from, to}] = l
	}
	return l
}

// late gives how long a segment is on its way, and for a datagram whether it gets there.
func (n *memNetwork) late(l *memLink) (d time.Duration, arrives bool) {
	l.mu.Lock()
	w := l.weather
	l.mu.Unlock()
	if w.jitter == 0 && w.loss == 0 {
		return w.delay, !w.cut
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if d = w.delay; w.jitter > 0 {
		d += time.Duration(n.random.Int64N(int64(w.jitter)))
	}
	if n.random.Float64() < w.loss {
		return d + resend, false
	}
	return d, !w.cut
}

// set changes what one direction is like.
func (n *memNetwork) set(from, to string, f func(*weather)) {
	l := n.link(from, to)
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.weather)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// cut keeps from's bytes from to, or lets them through again.
func (n *memNetwork) cut(from, to string, is bool) {
	n.set(from, to, func(w *weather) { w.cut = is })
}

// boot starts a host. Its name is free, or that of one that has gone down; then
// connections to that one break, whose other ends have not noticed yet.
func (n *memNetwork) boot(name string) *memHost {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[name] != nil {
		panic("memnet: host is up: " + name)
	}
	if n.ips[name] == nil {
		n.ips[name] = net.IPv4(10, 0, 0, byte(len(n.ips)+1))
	}
	h := &memHost{network: n, name: name, conns: make(map[*memConn]struct{})}
	n.hosts[name] = h
	n.lives.end(name, false)
	for _, c := range n.lost[name] {
		c.reset()
	}
	delete(n.lost, name)
	return h
}

// gossipAddress is where a host gossips, up or not.
func (n *memNetwork) gossipAddress(host string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ips[host] == nil {
		n.ips[host] = net.IPv4(10, 0, 0, byte(len(n.ips)+1))
	}
	return fmt.Sprintf("%s:%d", n.ips[host], gossipPort)
}

// up gives a host that is up, or starts it.
func (n *memNetwork) up(name string) *memHost {
	n.mu.Lock()
	h := n.hosts[name]
	n.mu.Unlock()
	if h != nil {
		return h
	}
	return n.boot(name)
}

// listen and dial are for tests with one node, and clients that need no name.
func (n *memNetwork) listen(address string) *memListener {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	return n.up(host).listen(address)
}

func (n *memNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.up("client").dial(ctx, network, address)
}

// memHost is a host from boot to its end.
type memHost struct {
	network *memNetwork
	name    string

	mu        sync.Mutex // guards the following fields
	down      bool
	conns     map[*memConn]struct{} // ends here that are open
	listeners []*memListener
}

// listen begins to listen; an address is free again once its listener is closed.
func (h *memHost) listen(address string) *memListener {
	l := &memListener{host: h, address: memAddr(address), waiting: make(chan net.Conn), closed: make(chan struct{})}
	h.network.mu.Lock()
	taken := h.network.doors[address] != nil
	h.network.doors[address] = l
	h.network.mu.Unlock()
	if taken {
		panic("memnet: address in use: " + address)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners = append(h.listeners, l)
	return l
}

// open gives the connections with an end here that nobody has closed.
func (h *memHost) open() (ends []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		ends = append(ends, fmt.Sprintf("%v–%v", c.local, c.remote))
	}
	return ends
}

// off ends the host. What still runs on it reaches nobody any more. If only its
// processes ended (quiet is false), the other ends of its connections notice at
// once, else when it is up again or they get impatient.
func (h *memHost) off(quiet bool) {
	n := h.network
	n.lives.end(h.name, true)
	n.mu.Lock()
	delete(n.hosts, h.name)
	for address, ear := range n.ears {
		if ear.host == h {
			delete(n.ears, address)
		}
	}
	n.mu.Unlock()
	h.mu.Lock()
	h.down = true
	conns, listeners := h.conns, h.listeners
	h.conns, h.listeners = nil, nil
	h.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for c := range conns {
		c.reset()
		if !quiet {
			c.peer.reset()
			continue
		}
		n.mu.Lock()
		n.lost[h.name] = append(n.lost[h.name], c.peer)
		n.mu.Unlock()
	}
}

// keep notes an end of a connection, unless the host is down.
func (h *memHost) keep(c *memConn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return false
	}
	h.conns[c] = struct{}{}
	return true
}

func (h *memHost) forget(c *memConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

func dialError(address, text string) error {
	return &net.OpError{Op: "dial", Net: "mem", Addr: memAddr(address), Err: errors.New(text)}
}

// dial connects to whoever listens there when the first segment arrives.
func (h *memHost) dial(ctx context.Context, _, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n := h.network
	if err := h.travel(ctx, n.nameOf(name)); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.doors[address]
	n.mu.Unlock()
	if l == nil {
		return nil, dialError(address, "connection refused")
	}
	mine, theirs := newMemPair(h, l)
	if !h.keep(mine) || !l.host.keep(theirs) {
		h.forget(mine)
		return nil, dialError(address, "host is down")
	}
	select {
	case l.waiting <- theirs:
		return mine, nil
	case <-l.closed:
		err = dialError(address, "connection refused")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, mine.Close(), theirs.Close())
}

// travel waits as long as a handshake takes. There is none with a host that lost
// its power or is cut off.
func (h *memHost) travel(ctx context.Context, to string) error {
	n := h.network
	there, back := n.link(h.name, to), n.link(to, h.name)
	for {
		cut, changed := there.cut()
		if !cut {
			cut, changed = back.cut()
		}
		if !cut {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	out, _ := n.late(there)
	home, _ := n.late(back)
	if out+home == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(out + home)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nameOf gives the name of a host that is known by its IP address.
func (n *memNetwork) nameOf(host string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, ip := range n.ips {
		if ip.String() == host {
			return name
		}
	}
	return host
}

type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	host    *memHost
	address memAddr
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		n := l.host.network
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.doors[string(l.address)] == l {
			delete(n.doors, string(l.address))
		}
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return l.address }

// dialLink is dial for links between nodes.
func (h *memHost) dialLink(ctx context.Context, address string) (net.Conn, error) {
	return h.dial(ctx, "mem", address)
}

// breakAll breaks all connections of the host at both ends.
func (h *memHost) breakAll() {
	h.network.lives.end(h.name, false)
	h.mu.Lock()
	var conns []*memConn
	for c := range h.conns {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	for _, c := range conns {
		c.reset()
		c.peer.reset()
	}
}
