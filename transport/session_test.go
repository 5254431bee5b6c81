package transport

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

const sessionQuery = "?" + actor.SessionParameter + "=0123456789abcdef0123456789abcdef"

// guest is a client with a session key: it comes back whenever its connection ends.
type guest struct {
	f       *fleet
	now     *member
	earlier []string // what its connections before this one brought
}

// come opens the guest's socket through a node, and forgets the connection before.
func (g *guest) come(node string) {
	g.f.t.Helper()
	if g.now != nil {
		g.earlier = append(g.earlier, g.now.words()...)
	}
	conn, resp, err := g.f.nodes[node].tryOpen("r", sessionQuery)
	for try := 0; err != nil && resp != nil && resp.StatusCode >= 500 && try < 20; try++ { // as clients do
		time.Sleep(50 * time.Millisecond)
		conn, resp, err = g.f.nodes[node].tryOpen("r", sessionQuery)
	}
	if err != nil {
		g.f.t.Fatalf("open with a session through %s: %v, %v", node, err, resp)
	}
	want := "resumed"
	if g.now == nil {
		want = "new"
	}
	if got := resp.Header.Get(actor.SessionHeader); got != want {
		g.f.t.Errorf("%s = %q, want %q", actor.SessionHeader, got, want)
	}
	g.now = newMember(conn)
}

// check says what the guest has missed of a number of stored messages, or got in
// another order. What comes twice counts once.
func (g *guest) check(messages int) error {
	next := 1
	for _, word := range append(slices.Clone(g.earlier), g.now.words()...) {
		var number int
		if _, err := fmt.Sscanf(word, "%d", &number); err != nil || number > next {
			return fmt.Errorf("the guest got %q, and number %d never", word, next)
		}
		next = max(next, number+1)
	}
	if next != messages+1 {
		return fmt.Errorf("the guest got %d of %d messages", next-1, messages)
	}
	return nil
}

// departures are ways in which a client with a session loses its connection to b
// while others talk, and comes back elsewhere.
var departures = []struct {
	name string
	do   func(f *fleet, g *guest)
}{
	{"its connection breaks", func(_ *fleet, g *guest) {
		g.now.conn.NetConn().Close()
		time.Sleep(100 * time.Millisecond)
		g.come("c")
	}},
	{"its connection breaks, and it comes back to the same node", func(_ *fleet, g *guest) {
		g.now.conn.NetConn().Close()
		time.Sleep(100 * time.Millisecond)
		g.come("b")
	}},
	{"it is away for long", func(_ *fleet, g *guest) {
		g.now.conn.NetConn().Close()
		time.Sleep(25 * time.Second)
		g.come("c")
	}},
	{"nobody notices that it is gone", func(_ *fleet, g *guest) {
		g.now.deafen()
		time.Sleep(500 * time.Millisecond)
		g.come("c")
	}},
	{"its node stops", func(f *fleet, g *guest) {
		f.nodes["b"].stop()
		g.come("c")
	}},
	{"its node dies", func(f *fleet, g *guest) {
		g.now.deafen()
		f.nodes["b"].kill()
		time.Sleep(3 * time.Second)
		g.come("c")
	}},
	{"its node and the owner die", func(f *fleet, g *guest) {
		g.now.deafen()
		f.nodes["b"].kill()
		f.nodes["a"].kill()
		f.own("c")
		time.Sleep(3 * time.Second)
		g.come("c")
	}},
	{"the object moves meanwhile", func(f *fleet, g *guest) {
		g.now.conn.NetConn().Close()
		f.own("c")
		time.Sleep(100 * time.Millisecond)
		f.own("a")
		g.come("c")
	}},
}

// deafen has the client read nothing any more: what is on its way to it is lost.
func (m *member) deafen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deaf = true
}

// visit has a guest lose its connection while two members talk.
func visit(f *fleet, depart func(f *fleet, g *guest)) error {
	const words = 60
	g := &guest{f: f}
	g.come("b")
	var members []*member
	for range 2 {
		members = append(members, newMember(f.nodes["c"].open("r", "")))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range words {
			for i, m := range members {
				say(f.t, m.conn, "put m%d:%d", i, n)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	time.Sleep(100 * time.Millisecond)
	depart(f, g)
	<-done
	time.Sleep(40 * time.Second)
	synctest.Wait()
	return errors.Join(checkRoom(members, words*len(members)), g.check(words*len(members)))
}

// A client that comes back with its session key has missed nothing, and its object
// has not noticed.
func TestSessionsOutliveConnections(t *testing.T) {
	for _, departure := range departures {
		t.Run(departure.name, func(t *testing.T) {
			inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
				if err := visit(f, departure.do); err != nil {
					t.Error(err)
				}
				if got := f.saw("close"); len(got) > 0 {
					t.Errorf("the class heard %q, want nothing", got)
				}
				if got := f.saw("open"); len(got) != 3 {
					t.Errorf("the class accepted %d sockets, want 3", len(got))
				}
			})
		})
	}
}

// The check finds a gateway that acknowledges what its clients have not confirmed.
func TestSessionsFindFaults(t *testing.T) {
	found := 0
	for _, departure := range departures {
		inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
			f.breakRelays(FaultUnconfirmed)
			if visit(f, departure.do) != nil {
				found++
			}
		})
	}
	if found == 0 {
		t.Error("the check finds nothing")
	}
}

// Who does not come back in time has left, and the object hears it once.
func TestSessionEndsWhenNobodyComesBack(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		g := &guest{f: f}
		g.come("b")
		g.now.conn.NetConn().Close()
		time.Sleep(lingerTime - time.Second)
		if got := f.saw("close"); len(got) > 0 {
			t.Errorf("the class heard %q before the time was up, want nothing", got)
		}
		time.Sleep(2 * time.Second)
		if got := f.saw("close"); !slices.Equal(got, []string{"close 1006 false"}) {
			t.Errorf("the class heard %q, want one 1006", got)
		}
	})
}

// A client that closes has closed.
func TestSessionEndsWithAClose(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		g := &guest{f: f}
		g.come("b")
		if err := g.now.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := f.saw("close"); !slices.Equal(got, []string{"close 1000 true"}) {
			t.Errorf("the class heard %q, want one 1000", got)
		}
	})
}

// A client that confirms nothing is let go before the object keeps too much for it;
// others hear everything.
func TestSessionThatConfirmsNothingEnds(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{QueueFrames: 1 << 20}, "a b c", func(f *fleet) {
		g := &guest{f: f}
		g.come("b")
		other := newMember(f.nodes["b"].open("r", ""))
		g.now.deafen()
		const words = heldFrames + 500
		for n := range words {
			say(t, other.conn, "put m0:%d", n)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if err := checkRoom([]*member{other}, words); err != nil {
			t.Error(err)
		}
		if got := f.saw("close"); len(got) != 1 || !strings.HasPrefix(got[0], "close 1013") {
			t.Errorf("the class heard %q, want one 1013", got)
		}
	})
}

// A malformed key is refused before the object is asked.
func TestBadSessionKey(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b", func(f *fleet) {
		_, resp, err := f.nodes["b"].tryOpen("r", "?"+actor.SessionParameter+"=short")
		if err == nil || resp == nil || resp.StatusCode != 400 {
			t.Errorf("a short session key: %v, %v, want 400", resp, err)
		}
		if got := f.saw("open"); len(got) > 0 {
			t.Error("the object was asked")
		}
	})
}
