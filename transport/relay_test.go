package transport

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

func TestChatAcrossNodes(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		var all []*websocket.Conn
		for _, name := range []string{"a", "b", "c", "b"} {
			all = append(all, f.nodes[name].open("r", "?tag="+name))
		}
		for i, c := range all {
			say(t, c, "all from %d", i)
			for j, other := range all {
				if got := mustRead(t, other); got != fmt.Sprintf("from %d", i) {
					t.Errorf("socket %d got %q, want from %d", j, got, i)
				}
			}
		}
		say(t, all[0], "tag b only b")
		say(t, all[0], "others not me")
		say(t, all[0], "me last")
		want := map[int][]string{0: {"last"}, 1: {"only b", "not me"}, 2: {"not me"}, 3: {"only b", "not me"}}
		for i, texts := range want {
			for _, text := range texts {
				if got := mustRead(t, all[i]); got != text {
					t.Errorf("socket %d got %q, want %q", i, got, text)
				}
			}
		}
		if got := f.nodes["c"].get("/objects/ChatRoom/r/count"); got != "4" {
			t.Errorf("the object has %s sockets, want 4", got)
		}
		say(t, all[1], "bye")
		if ce := closeError(t, all[1]); ce.Code != 4000 || ce.Text != "bye" {
			t.Errorf("the object's close arrived as %v", ce)
		}
		all[2].WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "me too"), time.Now().Add(time.Second))
		closeError(t, all[2])
		synctest.Wait()
		if got := f.saw("close"); !slices.Equal(got, []string{"close 4001 true"}) {
			t.Errorf("the class heard %q, want the client's close once", got)
		}
		if got := f.nodes["c"].get("/objects/ChatRoom/r/count"); got != "2" {
			t.Errorf("the object has %s sockets, want 2", got)
		}
		for _, n := range f.nodes {
			if rooms := len(n.relay.rooms.all()); (rooms == 0) != (n.name == "c") {
				t.Errorf("%s has %d rooms", n.name, rooms)
			}
		}
	})
}

// A broadcast costs one frame for each gateway that has sockets of the object.
func TestBroadcastIsOneFrameForEachGateway(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		var all []*websocket.Conn
		for i := range 30 {
			all = append(all, f.nodes[[]string{"b", "c"}[i%2]].open("r", ""))
		}
		before := f.nodes["a"].frames.of(actor.FrameMessage)
		say(t, all[0], "all x")
		for _, c := range all {
			if got := mustRead(t, c); got != "x" {
				t.Errorf("got %q, want x", got)
			}
		}
		if got := f.nodes["a"].frames.of(actor.FrameMessage) - before; got != 2 {
			t.Errorf("a broadcast to 30 sockets at 2 gateways was %d frames, want 2", got)
		}
	})
}

// The frames of an object have one order at all sockets; the messages of a
// socket arrive once and in order.
func TestOrderAcrossNodes(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{WindowMessages: 4}, "a b c", func(f *fleet) {
		const messages = 50
		var all []*websocket.Conn
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, f.nodes[name].open("r", ""))
		}
		for i, c := range all {
			go func() {
				for n := range messages {
					c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "all %d:%d", i, n))
				}
			}()
		}
		seen := make([][]string, len(all))
		for i, c := range all {
			for range messages * len(all) {
				seen[i] = append(seen[i], mustRead(t, c))
			}
		}
		for i := range all {
			if !slices.Equal(seen[i], seen[0]) {
				t.Errorf("socket %d saw another order than socket 0", i)
			}
			var own []string
			for _, text := range seen[0] {
				if strings.HasPrefix(text, fmt.Sprint(i, ":")) {
					own = append(own, text)
				}
			}
			for n, text := range own {
				if text != fmt.Sprintf("%d:%d", i, n) {
					t.Fatalf("message %d of socket %d is %s", n, i, text)
				}
			}
		}
	})
}

// A gateway that believes in a stale owner finds the right one, for sockets that it opens.
func TestOpenWithAStaleHint(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		n := f.nodes["b"]
		n.mu.Lock()
		n.belief = "c"
		n.mu.Unlock()
		time.AfterFunc(time.Second, func() {
			n.mu.Lock()
			n.belief = ""
			n.mu.Unlock()
		})
		c := n.open("r", "")
		say(t, c, "me hello")
		if got := mustRead(t, c); got != "hello" {
			t.Errorf("got %q, want hello", got)
		}
	})
}

// Links that nobody uses are closed, and made again.
func TestIdleLinkIsClosed(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b", func(f *fleet) {
		b := f.nodes["b"]
		c := b.open("r", "")
		go c.ReadMessage() // answers pings
		time.Sleep(10 * time.Minute)
		if b.links() != 1 {
			t.Fatalf("%d links with a socket open, want 1", b.links())
		}
		c.Close()
		time.Sleep(5 * time.Minute)
		if b.links() != 0 {
			t.Fatalf("%d links without a socket, want 0", b.links())
		}
		if got := f.saw("close"); !slices.Equal(got, []string{"close 1006 false"}) {
			t.Errorf("the class heard %q, want one close 1006", got)
		}
		c = b.open("r", "")
		say(t, c, "me hello")
		if got := mustRead(t, c); got != "hello" {
			t.Errorf("got %q, want hello", got)
		}
	})
}

// A message of the largest size goes through, and small ones of other objects
// do not wait for it.
func TestLargeMessagesAcrossNodes(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{MessageBytes: MaxMessageBytes}, "a b", func(f *fleet) {
		large, small := f.nodes["b"].open("large", ""), f.nodes["b"].open("small", "")
		data := repeat("x", actor.MaxFrameBytes)
		go large.WriteMessage(websocket.TextMessage, []byte("me "+data))
		say(t, small, "me hello")
		if got := mustRead(t, small); got != "hello" {
			t.Errorf("got %q, want hello", got)
		}
		if got := mustRead(t, large); got != data {
			t.Errorf("got %d bytes, want %d", len(got), len(data))
		}
		say(t, large, "nothing %s", repeat("x", MaxMessageBytes-8))
		say(t, large, "me again")
		if got := mustRead(t, large); got != "again" {
			t.Errorf("got %q, want again", got)
		}
	})
}

// A gateway that takes too little of its link loses the link, and nobody else
// waits for it. It comes back, and gets what is kept.
func TestGatewayThatIsBehind(t *testing.T) {
	inFleet(t, RelayConfig{QueueBytes: 9 << 20}, GatewayConfig{}, "a b c", func(f *fleet) {
		slow, quick := newMember(f.nodes["b"].open("r", "")), f.nodes["c"].open("r", "")
		b := f.nodes["b"]
		b.mu.Lock()
		for _, c := range b.conns {
			if c.use == LinkSockets {
				c.stall()
			}
		}
		b.mu.Unlock()
		began := time.Now()
		for range 100 {
			say(t, quick, "all %s", repeat("x", 100<<10))
			if got := mustRead(t, quick); len(got) != 100<<10 {
				t.Fatalf("got %d bytes", len(got))
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the others waited %v for the gateway that is behind", took)
		}
		say(t, quick, "put last")
		time.Sleep(10 * time.Second)
		words := slow.words()
		if n := len(words); n == 0 || words[n-1] != "1 last" || n > 100 {
			t.Errorf("the gateway that was behind got %d messages, want some, and what is kept at last", n)
		}
	})
}

// What is kept for a gateway that does not come for it is bounded: beyond that its
// sockets end, on both sides, instead of going on with a gap.
func TestOutboxIsBounded(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		slow, quick := newMember(f.nodes["b"].open("r", "")), f.nodes["c"].open("r", "")
		b := f.nodes["b"]
		b.mu.Lock()
		b.down = true
		b.mu.Unlock()
		b.cut("")
		for i := range 100 {
			say(t, quick, "put %s", repeat("x", 100<<10))
			if got := mustRead(t, quick); !strings.HasPrefix(got, fmt.Sprint(i+1, " ")) {
				t.Fatalf("message %d is %.20q", i+1, got)
			}
		}
		time.Sleep(time.Second)
		if got := f.saw("close"); !slices.Equal(got, []string{"close 1013 false"}) {
			t.Errorf("the class heard %q, want a close 1013 of the socket that is behind", got)
		}
		b.mu.Lock()
		b.down = false
		b.mu.Unlock()
		time.Sleep(10 * time.Second)
		slow.mu.Lock()
		defer slow.mu.Unlock()
		if !websocket.IsCloseError(slow.ended, websocket.CloseTryAgainLater) || len(slow.heard) > 0 {
			t.Errorf("the socket that was behind got %d messages and ended with %v, want none, and 1013", len(slow.heard), slow.ended)
		}
		if got := f.nodes["a"].get("/objects/ChatRoom/r/count"); got != "1" {
			t.Errorf("the object has %s sockets, want 1", got)
		}
	})
}

// While no owner can be found the sockets stay open for a bounded time.
func TestPatienceIsBounded(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b", func(f *fleet) {
		c := newMember(f.nodes["b"].open("r", ""))
		f.own("")
		say(t, c.conn, "put x")
		time.Sleep(25 * time.Second)
		c.mu.Lock()
		if c.ended != nil {
			t.Errorf("the socket ended with %v after 25 s", c.ended)
		}
		c.mu.Unlock()
		time.Sleep(10 * time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !websocket.IsCloseError(c.ended, websocket.CloseTryAgainLater) {
			t.Errorf("the socket ended with %v, want 1013", c.ended)
		}
		f.own("a")
		time.Sleep(5 * time.Second)
		if got := f.saw("close"); !slices.Equal(got, []string{"close 1013 false"}) {
			t.Errorf("the class heard %q, want a close 1013", got)
		}
	})
}

// While its socket is parked a client may say as much as its window has room
// for; then it waits. Nothing of it is lost.
func TestParkedSocketStopsReading(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{WindowMessages: 8}, "a b c", func(f *fleet) {
		c := newMember(f.nodes["b"].open("r", ""))
		f.own("")
		var said atomic.Int32
		go func() {
			for n := range 20 {
				c.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "put m0:%d", n))
				said.Add(1)
			}
		}()
		time.Sleep(10 * time.Second)
		if n := said.Load(); n > 12 {
			t.Errorf("the client could send %d messages, want no more than the window and what is in the connection", n)
		}
		f.own("c")
		time.Sleep(10 * time.Second)
		if err := checkRoom([]*member{c}, 20); err != nil {
			t.Error(err)
		}
	})
}

// An object that has left memory and whose owner changes while nothing is sent:
// its sockets do not stay open and deaf.
func TestMoveOfAHibernatedObject(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		c := f.nodes["b"].open("r", "")
		got := make(chan string, 1)
		go func() { got <- mustRead(t, c) }()
		time.Sleep(10 * time.Minute)
		if got := f.nodes["a"].host.Stats().Activations; got != 0 {
			t.Fatalf("%d activations after 10 idle minutes", got)
		}
		f.own("c")
		time.Sleep(time.Second)
		f.nodes["a"].get("/objects/ChatRoom/r/x?say=hello")
		if text := <-got; text != "hello" {
			t.Errorf("got %q, want hello", text)
		}
		if got := f.saw("close"); len(got) > 0 {
			t.Errorf("the class heard %q, want nothing", got)
		}
	})
}

// A gateway whose node has died: the object hears of its sockets when the start
// is known to be over, and not before.
func TestGatewayDeath(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		f.nodes["b"].open("r", "")
		f.nodes["b"].kill()
		time.Sleep(20 * time.Second)
		if got := f.saw("close"); len(got) > 0 {
			t.Errorf("the class heard %q although the start may go on", got)
		}
		f.mu.Lock()
		f.over[f.nodes["b"].start] = true
		f.mu.Unlock()
		time.Sleep(2 * time.Second)
		if got := f.saw("close"); !slices.Equal(got, []string{"close 1006 false"}) {
			t.Errorf("the class heard %q, want one close 1006", got)
		}
	})
}

// The same while the object is out of memory: it hears before its next event.
func TestGatewayDeathOfAHibernatedObject(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		go f.nodes["b"].open("r", "").ReadMessage()
		time.Sleep(10 * time.Minute)
		f.nodes["b"].kill()
		if got := f.nodes["c"].get("/objects/ChatRoom/r/count"); got != "1" {
			t.Errorf("%s sockets while the start may go on, want 1", got)
		}
		time.Sleep(10 * time.Minute)
		f.mu.Lock()
		f.over[f.nodes["b"].start] = true
		f.mu.Unlock()
		if got := f.nodes["c"].get("/objects/ChatRoom/r/count"); got != "0" {
			t.Errorf("%s sockets after the start was over, want 0", got)
		}
		if got := f.saw("close"); !slices.Equal(got, []string{"close 1006 false"}) {
			t.Errorf("the class heard %q, want one close 1006", got)
		}
	})
}

// A client that leaves while nobody owns its object: the class hears of it later.
func TestCloseWithoutAnOwner(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		c := f.nodes["b"].open("r", "")
		f.own("")
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, ""), time.Now().Add(time.Second))
		closeError(t, c)
		time.Sleep(10 * time.Second)
		f.own("c")
		time.Sleep(5 * time.Second)
		if got := f.saw("close"); !slices.Equal(got, []string{"close 4001 true"}) {
			t.Errorf("the class heard %q, want the client's close once", got)
		}
	})
}

// The close of a socket whose batch was lost with its owner is told again.
func TestCloseThatIsLostIsToldAgain(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		c := f.nodes["b"].open("r", "")
		f.lose(lostDropped)
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, ""), time.Now().Add(time.Second))
		closeError(t, c)
		time.Sleep(time.Second)
		f.lose(lostNot)
		f.own("c")
		time.Sleep(5 * time.Second)
		if got := f.nodes["a"].get("/objects/ChatRoom/r/count"); got != "0" {
			t.Errorf("the object has %s sockets, want 0", got)
		}
	})
}

// Sockets between objects work across nodes like those of clients, and outlive
// the owner of the object that they lead to.
func TestSocketsBetweenObjects(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		// Two rooms of different shards, which different nodes own.
		dialler, room := "", ""
		for n := 0; dialler == "" || room == ""; n++ {
			name := fmt.Sprint("room", n)
			if fleetShard(objectOf("ChatRoom", name)) == 0 {
				dialler = name
			} else {
				room = name
			}
		}
		f.ownShard(0, "b")
		f.ownShard(1, "a")
		time.AfterFunc(20*time.Millisecond, func() { f.nodes["a"].kill(); f.ownShard(1, "c") })
		answer := f.nodes["c"].get("/objects/ChatRoom/" + dialler + "/dial?words=200&room=" + room)
		var want strings.Builder
		for n := range 200 {
			fmt.Fprintf(&want, "%d m0:%d\n", n+1, n)
		}
		if answer != want.String() {
			t.Errorf("the dialling object heard\n%s", answer)
		}
		time.Sleep(time.Second)
		if got := f.saw("close"); !slices.Equal(got, []string{"close 4002 true"}) {
			t.Errorf("the class heard %q, want one close 4002", got)
		}
	})
}
