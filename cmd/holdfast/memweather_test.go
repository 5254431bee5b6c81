package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// pair gives both ends of a connection from one host to another.
func (n *memNetwork) pair(t *testing.T, from, to string) (mine, theirs net.Conn) {
	t.Helper()
	l := n.up(to).listen(to + ":1")
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Errorf("Accept() = %v, want a connection", err)
		}
		accepted <- c
	}()
	mine, err := n.up(from).dial(t.Context(), "tcp", to+":1")
	if err != nil {
		t.Fatal(err)
	}
	return mine, <-accepted
}

// readFor reads what arrives within that time.
func readFor(c net.Conn, d time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(d))
	defer c.SetReadDeadline(time.Time{})
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func TestMemNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemNetwork()
		if _, err := network.dial(t.Context(), "tcp", "node:1"); err == nil {
			t.Error("dial(nobody) = nil, want an error")
		}
		c, far := network.pair(t, "client", "node")
		go func() { io.Copy(far, far); far.Close() }()
		message := make([]byte, 3*memBufferBytes)
		for i := range message {
			message[i] = byte(i)
		}
		go c.Write(message)
		got := make([]byte, len(message))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != string(message) {
			t.Errorf("echo of %d bytes: error %v, equal %v", len(message), err, string(got) == string(message))
		}
		started := time.Now()
		if _, err := readFor(c, time.Hour); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(started) != time.Hour {
			t.Errorf("Read with a deadline = %v after %v, want %v after an hour", err, time.Since(started), os.ErrDeadlineExceeded)
		}
		c.Close()
		if _, err := network.dial(t.Context(), "tcp", "node:1"); err == nil {
			t.Error("dial(closed listener) = nil, want an error")
		}
		synctest.Wait()
		if open := network.up("node").open(); len(open) != 0 {
			t.Errorf("connections are open after both ends were closed: %v", open)
		}
	})
}

// A stream over a slow and lossy link is late and in order; over a cut it waits.
func TestMemStreamWeather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newSeededNetwork(1)
		c, far := network.pair(t, "a", "b")
		network.set("a", "b", func(w *weather) { w.delay, w.jitter, w.loss = 20*time.Millisecond, 30*time.Millisecond, 0.3 })
		started := time.Now()
		const count = 200
		go func() {
			for i := range count {
				fmt.Fprintf(c, "%c", 'a'+i%26)
			}
		}()
		got := make([]byte, count)
		if _, err := io.ReadFull(far, got); err != nil {
			t.Fatal(err)
		}
		for i, b := range got {
			if b != byte('a'+i%26) {
				t.Fatalf("byte %d = %c, want %c: a stream keeps its order", i, b, 'a'+i%26)
			}
		}
		if took := time.Since(started); took < resend || took > resend+50*time.Millisecond {
			t.Errorf("%d lossy segments took %v, want about %v", count, took, resend)
		}
		network.set("a", "b", func(w *weather) { *w = weather{cut: true} })
		fmt.Fprint(c, "late")
		if text, err := readFor(far, time.Minute); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read over a cut = %q, %v, want %v", text, err, os.ErrDeadlineExceeded)
		}
		fmt.Fprint(far, "back")
		if text, err := readFor(c, time.Minute); text != "back" || err != nil {
			t.Errorf("Read in the other direction = %q, %v, want it to arrive", text, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := network.up("b").dial(ctx, "tcp", "a:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial over a cut = %v, want %v", err, context.DeadlineExceeded)
		}
		network.cut("a", "b", false)
		if text, err := readFor(far, time.Minute); text != "late" || err != nil {
			t.Errorf("Read after a cut = %q, %v, want what was sent", text, err)
		}
		c.Close()
		far.Close()
	})
}

// The other ends of a dead host's connections notice at once if only its
// processes died, else when it is up again.
func TestMemHostDies(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			network := newMemNetwork()
			c, far := network.pair(t, "a", "b")
			dead := network.up("b")
			dead.off(quiet)
			if _, err := far.Write([]byte("x")); err == nil {
				t.Error("a dead host can write")
			}
			if _, err := dead.dial(t.Context(), "tcp", "a:1"); err == nil {
				t.Error("a dead host can dial")
			}
			want := errConnectionReset
			if quiet {
				want = os.ErrDeadlineExceeded
			}
			if _, err := readFor(c, time.Second); !errors.Is(err, want) {
				t.Errorf("quiet %v: Read = %v, want %v", quiet, err, want)
			}
			network.boot("b")
			if _, err := readFor(c, time.Second); !errors.Is(err, errConnectionReset) {
				t.Errorf("quiet %v: Read after the host is up again = %v, want %v", quiet, err, errConnectionReset)
			}
			c.Close()
			far.Close()
		})
	}
}

// Datagrams are lost, late and overtake each other.
func TestMemGossipWeather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newSeededNetwork(1)
		from, to := network.up("a").gossip(), network.up("b").gossip()
		network.set("a", "b", func(w *weather) { w.jitter, w.loss = 50*time.Millisecond, 0.3 })
		const count = 100
		for i := range count {
			from.WriteTo([]byte{byte(i)}, network.gossipAddress("b"))
		}
		time.Sleep(time.Second)
		var got []byte
		for len(to.packets) > 0 {
			got = append(got, (<-to.PacketCh()).Buf...)
		}
		if len(got) < count/2 || len(got) > count-10 {
			t.Errorf("%d of %d datagrams arrived, want about 70", len(got), count)
		}
		if slices.IsSorted(got) {
			t.Error("no datagram overtook another")
		}
		network.cut("a", "b", true)
		from.WriteTo([]byte{1}, network.gossipAddress("b"))
		time.Sleep(time.Second)
		if len(to.packets) > 0 {
			t.Error("a datagram got over a cut")
		}
		from.Shutdown()
		to.Shutdown()
	})
}
