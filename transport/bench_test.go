package transport

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// fanoutSockets is the size of the room of BenchmarkFanout.
const fanoutSockets = 2000

// BenchmarkFanout compares one broadcast with a bare loop that writes the same
// frame to the same number of connections. Both are timed from the first write
// until every client has the whole frame, in turn, in one run; share is the bare
// loop's time over the gateway's.
func BenchmarkFanout(b *testing.B) {
	s := &script{}
	x := newSite(b, s, loopback, ServerConfig{}, GatewayConfig{PingInterval: time.Hour}, Events{})
	x.server.log = slog.New(slog.DiscardHandler)
	frame := text(strings.Repeat("m", 200))
	wire := encodeFrame(byte(actor.Text), frame.Data)

	var arrived sync.WaitGroup
	var clients sync.WaitGroup
	drain := func(c net.Conn) {
		clients.Go(func() {
			for buf := make([]byte, len(wire)); ; {
				if _, err := io.ReadFull(c, buf); err != nil {
					return
				}
				arrived.Done()
			}
		})
	}
	for range fanoutSockets {
		drain(openRaw(b, x, lobbyPath))
	}
	bare, far := barePairs(b, fanoutSockets)
	for _, c := range far {
		drain(c)
	}

	var gatewayTime, bareTime time.Duration
	for b.Loop() {
		arrived.Add(fanoutSockets)
		began := time.Now()
		for _, c := range bare {
			if _, err := c.Write(wire); err != nil {
				b.Fatal(err)
			}
		}
		arrived.Wait()
		bareTime += time.Since(began)

		arrived.Add(fanoutSockets)
		began = time.Now()
		s.gateway.Deliver(lobby(), frame)
		arrived.Wait()
		gatewayTime += time.Since(began)
	}
	b.ReportMetric(bareTime.Seconds()/gatewayTime.Seconds(), "share")
	b.ReportMetric(gatewayTime.Seconds()/float64(b.N)/fanoutSockets*1e9, "gateway-ns/frame")
	b.ReportMetric(bareTime.Seconds()/float64(b.N)/fanoutSockets*1e9, "bare-ns/frame")
	b.ReportMetric(0, "ns/op")
	closeAll(bare)
	x.stop()
	clients.Wait()
	closeAll(far)
}

// BenchmarkIdleSocket measures the memory of an idle socket: heap and stacks
// that 1,000 more of them need, without what their clients' ends need, which are
// in the same process.
func BenchmarkIdleSocket(b *testing.B) {
	const sockets = 1000
	s := &script{}
	x := newSite(b, s, loopback, ServerConfig{}, GatewayConfig{PingInterval: time.Hour}, Events{})
	x.server.log = slog.New(slog.DiscardHandler)
	for b.Loop() {
		before := memoryInUse()
		near, far := barePairs(b, sockets)
		plain := (memoryInUse() - before) / 2 // half of it is the clients' ends

		before = memoryInUse()
		conns := make([]net.Conn, 0, sockets)
		for range sockets {
			conns = append(conns, openRaw(b, x, lobbyPath))
		}
		b.ReportMetric(float64(memoryInUse()-before-plain)/sockets, "B/socket")
		closeAll(near)
		closeAll(far)
		closeAll(conns)
		s.until(b, "all have gone", func() bool { return len(s.ends) == len(s.opened) })
	}
	b.ReportMetric(0, "ns/op")
	x.stop()
}

func memoryInUse() int64 {
	for range 3 {
		runtime.GC() // pools need two to be empty
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// openRaw opens a WebSocket and gives the bare connection behind the handshake.
func openRaw(b *testing.B, x *site, path string) net.Conn {
	b.Helper()
	c, br := x.raw(b, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path))
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("handshake = %s", resp.Status)
	}
	return c
}

// barePairs gives both ends of n connections.
func barePairs(b *testing.B, n int) (near, far []net.Conn) {
	b.Helper()
	l, dial := loopback(b)
	defer l.Close()
	for range n {
		c, err := dial(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		far = append(far, c)
		server, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		near = append(near, server)
	}
	return near, far
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}
