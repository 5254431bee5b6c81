package main

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossipPort is where all hosts gossip.
const gossipPort = 7946

// memGossip is a host's memberlist.Transport: datagrams that may be lost, late and
// out of order, and streams of the same network. The library's own for tests blocks
// on members that are gone.
type memGossip struct {
	host    *memHost
	address *net.UDPAddr
	streams *memListener
	packets chan *memberlist.Packet
}

// gossip opens the host's end.
func (h *memHost) gossip() *memGossip {
	n := h.network
	n.mu.Lock()
	g := &memGossip{host: h, address: &net.UDPAddr{IP: n.ips[h.name], Port: gossipPort}, packets: make(chan *memberlist.Packet, 256)}
	n.ears[g.address.String()] = g
	n.mu.Unlock()
	g.streams = h.listen(g.address.String())
	return g
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (g *memGossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.address.IP, g.address.Port, nil
}

// WriteTo implements memberlist.Transport.
func (g *memGossip) WriteTo(b []byte, address string) (time.Time, error) {
	now := time.Now()
	n := g.host.network
	n.mu.Lock()
	to := n.ears[address]
	n.mu.Unlock()
	g.host.mu.Lock()
	down := g.host.down
	g.host.mu.Unlock()
	if to == nil || down {
		return now, nil
	}
	late, arrives := n.late(n.link(g.host.name, to.host.name))
	if !arrives {
		return now, nil
	}
	packet := &memberlist.Packet{Buf: append([]byte(nil), b...), From: g.address}
	if late == 0 {
		to.take(packet)
	} else {
		time.AfterFunc(late, func() { to.take(packet) })
	}
	return now, nil
}

// take puts a datagram into the queue, if there is room and nobody took the host away.
func (g *memGossip) take(packet *memberlist.Packet) {
	packet.Timestamp = time.Now()
	select {
	case g.packets <- packet:
	default:
	}
}

// PacketCh implements memberlist.Transport.
func (g *memGossip) PacketCh() <-chan *memberlist.Packet { return g.packets }

// DialTimeout implements memberlist.Transport.
func (g *memGossip) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return g.host.dial(ctx, "tcp", address)
}

// StreamCh implements memberlist.Transport.
func (g *memGossip) StreamCh() <-chan net.Conn { return g.streams.waiting }

// Shutdown implements memberlist.Transport.
func (g *memGossip) Shutdown() error {
	n := g.host.network
	n.mu.Lock()
	if n.ears[g.address.String()] == g {
		delete(n.ears, g.address.String())
	}
	n.mu.Unlock()
	return g.streams.Close()
}
