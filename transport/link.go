package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// LinkUse says what a connection between two nodes carries. The dialling end
// says it in the first bytes.
type LinkUse byte

// What connections between nodes carry.
const (
	LinkRaft    LinkUse = 1 // frames of Raft groups
	LinkHTTP    LinkUse = 2 // forwarded calls and the cluster's own
	LinkSockets LinkUse = 3 // frames between gateways and owners

	LinkOperators LinkUse = 4 // what operators ask of an object's owner
)

const (
	// linkVersion is the newest form of the preface.
	linkVersion = 1
	// linkHandshake bounds TLS handshake and preface together.
	linkHandshake = 5 * time.Second
	// linkPending bounds connections that are not through their handshake.
	linkPending = 256
)

// linkMagic begins every connection; a byte for the version and one for the use
// follow. The accepting end answers with linkServed when somebody serves that use:
// what was sent before would have an unknown fate.
const (
	linkMagic  = "HFLK"
	linkServed = 'S'
)

var (
	// errLinkPreface refuses a connection that is not from a node that we understand.
	errLinkPreface = errors.New("transport: not a link of a node that this one understands")
	// errLinkEarly refuses what this node does not serve yet: the peer dials again.
	errLinkEarly = errors.New("transport: the node is not up yet")
)

// Link accepts and makes the connections between this node and its peers. All
// are mutually authenticated and encrypted, unless the key is nil, which an
// operator has to ask for. A key that was loaded from files is followed: what they
// hold later is for handshakes from then on, and cuts no connection.
type Link struct {
	// Fixed after NewLink.
	key     *LinkKey
	dial    func(ctx context.Context, address string) (net.Conn, error)
	log     *slog.Logger
	pending chan struct{} // one element for each connection in its handshake
	stop    chan struct{} // closed by Close

	wg sync.WaitGroup

	mu       sync.Mutex // guards the following fields
	handlers map[LinkUse]func(net.Conn)
	listener net.Listener
	shaking  map[net.Conn]struct{} // in their handshake
	closed   bool
}

// NewLink makes a link that dials with dial; nil dials TCP. It has to be closed.
func NewLink(key *LinkKey, dial func(ctx context.Context, address string) (net.Conn, error), log *slog.Logger) *Link {
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	l := &Link{
		key: key, dial: dial, log: log, pending: make(chan struct{}, linkPending), stop: make(chan struct{}),
		handlers: make(map[LinkUse]func(net.Conn)), shaking: make(map[net.Conn]struct{}),
	}
	if key != nil && key.files != (LinkFiles{}) {
		l.wg.Go(func() { newLinkRenewal(key, log).run(l.stop) })
	}
	return l
}

// Handle gives connections of one use to f, which owns them from then on and is
// called on the accepting goroutine of the connection. Until it is called, and
// after it is called with nil, such connections are refused.
func (l *Link) Handle(use LinkUse, f func(net.Conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers[use] = f
}

// Serve accepts connections until Close. It owns the listener.
func (l *Link) Serve(listener net.Listener) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return listener.Close()
	}
	l.listener = listener
	l.mu.Unlock()
	var pause time.Duration
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if temporary(err) { // too many open files, or a peer that left: as net/http does
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			l.log.Warn("a peer's connection was not accepted", "error", err, "pause", pause)
			again := time.NewTimer(pause)
			<-again.C
			continue
		}
		if err != nil {
			return fmt.Errorf("transport: accept peers: %w", err)
		}
		pause = 0
		select {
		case l.pending <- struct{}{}:
		default:
			conn.Close() //nolint:errcheck // too many strangers: the peer will dial again
			continue
		}
		if !l.shake(conn, true) {
			<-l.pending
			conn.Close() //nolint:errcheck // the link is closing
			continue
		}
		go func() { // counted by shake, since Close may wait already
			defer l.wg.Done()
			l.welcome(conn)
		}()
	}
}

// Pauses after an Accept that failed for a reason that passes.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// temporary says whether an Accept may succeed soon.
func temporary(err error) bool {
	passing, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && passing.Temporary()
}

// shake notes a connection in its handshake, or that it is through.
func (l *Link) shake(conn net.Conn, begin bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if begin && !l.closed {
		l.shaking[conn] = struct{}{}
		l.wg.Add(1)
	} else {
		delete(l.shaking, conn)
	}
	return !l.closed
}

// welcome finds out what an accepted connection is for and hands it over.
func (l *Link) welcome(raw net.Conn) {
	conn, serve, err := l.receive(raw)
	<-l.pending
	l.shake(raw, false)
	if err == nil {
		serve(conn)
		return
	}
	raw.Close() //nolint:errcheck // the refusal is what counts
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, errLinkEarly) {
		l.log.Warn("refused a connection on the internal port", "peer", raw.RemoteAddr().String(), "error", err)
	}
}

// receive does the accepting end's part of the handshake.
func (l *Link) receive(raw net.Conn) (_ net.Conn, serve func(net.Conn), _ error) {
	if err := raw.SetDeadline(time.Now().Add(linkHandshake)); err != nil {
		return nil, nil, err
	}
	conn := raw
	if l.key != nil {
		secure := tls.Server(raw, l.key.current.Load().server)
		ctx, cancel := context.WithTimeout(context.Background(), linkHandshake)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, nil, fmt.Errorf("transport: handshake: %w", err)
		}
		conn = secure
	}
	var preface [len(linkMagic) + 2]byte
	if _, err := io.ReadFull(conn, preface[:]); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errLinkPreface, err)
	}
	if string(preface[:len(linkMagic)]) != linkMagic || preface[len(linkMagic)] != linkVersion {
		return nil, nil, errLinkPreface
	}
	serve, err := l.handler(LinkUse(preface[len(linkMagic)+1]))
	if err != nil {
		return nil, nil, err
	}
	if _, err := conn.Write([]byte{linkServed}); err != nil {
		return nil, nil, fmt.Errorf("transport: handshake: %w", err)
	}
	return conn, serve, raw.SetDeadline(time.Time{})
}

// handler gives whoever serves a use.
func (l *Link) handler(use LinkUse) (func(net.Conn), error) {
	if use < LinkRaft || use > LinkOperators {
		return nil, fmt.Errorf("%w: use %d", errLinkPreface, use)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if serve := l.handlers[use]; serve != nil {
		return serve, nil
	}
	return nil, errLinkEarly
}

// Dial connects to the peer at address for one use. A peer with another key is
// an error, whichever end notices first.
func (l *Link) Dial(ctx context.Context, address string, use LinkUse) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, linkHandshake)
	defer cancel()
	raw, err := l.dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("transport: dial peer %s: %w", address, err)
	}
	conn, err := l.introduce(ctx, raw, use)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("transport: dial peer %s: %w", address, err), raw.Close())
	}
	return conn, nil
}

func (l *Link) introduce(ctx context.Context, raw net.Conn, use LinkUse) (net.Conn, error) {
	conn := raw
	if l.key != nil {
		secure := tls.Client(raw, l.key.current.Load().client)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	preface := append([]byte(linkMagic), linkVersion, byte(use))
	if _, err := conn.Write(preface); err != nil {
		return nil, err
	}
	var served [1]byte
	if _, err := io.ReadFull(conn, served[:]); err != nil {
		return nil, fmt.Errorf("it does not serve that: %w", err)
	}
	if served[0] != linkServed {
		return nil, errLinkPreface
	}
	return conn, conn.SetDeadline(time.Time{})
}

// Close stops accepting, and following the key's files, and returns when no
// connection is in its handshake any more. Connections that were handed over belong to their handlers.
func (l *Link) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.stop)
	var err error
	if l.listener != nil {
		err = l.listener.Close()
	}
	for conn := range l.shaking {
		conn.Close() //nolint:errcheck // it is being refused
	}
	l.mu.Unlock()
	l.wg.Wait()
	return err
}
