package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossipNet is a network for gossip in memory. Packets to nobody, over a cut or
// into a full queue are lost; the library's own MockTransport would block.
type gossipNet struct {
	mu    sync.Mutex // guards the following fields
	ends  map[string]*gossipEnd
	next  int
	apart map[[2]string]bool // pairs of addresses that do not reach each other, in that direction
}

func newGossipNet() *gossipNet {
	return &gossipNet{ends: make(map[string]*gossipEnd), apart: make(map[[2]string]bool)}
}

// open makes a new end with an address of its own.
func (n *gossipNet) open() *gossipEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	e := &gossipEnd{
		net: n, address: &net.TCPAddr{IP: net.IPv4(10, 0, 0, byte(n.next)), Port: 7946},
		packets: make(chan *memberlist.Packet, 256), streams: make(chan net.Conn, 16),
	}
	n.ends[e.address.String()] = e
	return e
}

// cut keeps from and to apart in both directions, or joins them again.
func (n *gossipNet) cut(a, b *gossipEnd, apart bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart[[2]string{a.address.String(), b.address.String()}] = apart
	n.apart[[2]string{b.address.String(), a.address.String()}] = apart
}

func (n *gossipNet) reach(from *gossipEnd, to string) *gossipEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.apart[[2]string{from.address.String(), to}] {
		return nil
	}
	return n.ends[to]
}

// gossipEnd is one member's memberlist.Transport.
type gossipEnd struct {
	net     *gossipNet
	address *net.TCPAddr
	packets chan *memberlist.Packet
	streams chan net.Conn
}

func (e *gossipEnd) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.address.IP, e.address.Port, nil
}

func (e *gossipEnd) WriteTo(b []byte, address string) (time.Time, error) {
	now := time.Now()
	if to := e.net.reach(e, address); to != nil {
		select {
		case to.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: e.address, Timestamp: now}:
		default:
		}
	}
	return now, nil
}

func (e *gossipEnd) PacketCh() <-chan *memberlist.Packet { return e.packets }

func (e *gossipEnd) DialTimeout(address string, _ time.Duration) (net.Conn, error) {
	to := e.net.reach(e, address)
	if to == nil {
		return nil, fmt.Errorf("dial %s: no route", address)
	}
	mine, theirs := net.Pipe()
	select {
	case to.streams <- theirs:
		return mine, nil
	default:
		return nil, errors.Join(errors.New("dial: queue full"), mine.Close(), theirs.Close())
	}
}

func (e *gossipEnd) StreamCh() <-chan net.Conn { return e.streams }

func (e *gossipEnd) Shutdown() error {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	delete(e.net.ends, e.address.String())
	return nil
}
