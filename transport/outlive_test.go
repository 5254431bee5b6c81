package transport

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// member is a client of a room that says numbered words and keeps what it hears.
type member struct {
	conn *websocket.Conn

	mu    sync.Mutex // guards the following fields
	heard []string
	ended error
	deaf  bool
}

func newMember(conn *websocket.Conn) *member {
	m := &member{conn: conn}
	go func() {
		for {
			m.mu.Lock()
			deaf := m.deaf
			m.mu.Unlock()
			if deaf {
				return
			}
			_, data, err := conn.ReadMessage()
			m.mu.Lock()
			if err != nil {
				m.ended = err
				m.mu.Unlock()
				return
			}
			m.heard = append(m.heard, string(data))
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *member) words() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.heard...)
}

// checkRoom checks what members of a room have heard of a number of stored
// messages: all of them, once and in the object's order, and each sender's in its own.
func checkRoom(members []*member, messages int) error {
	var errs []error
	for i, m := range members {
		m.mu.Lock()
		ended := m.ended
		m.mu.Unlock()
		if ended != nil {
			errs = append(errs, fmt.Errorf("member %d was closed: %w", i, ended))
		}
		words := m.words()
		next := make(map[string]int)
		for n, word := range words {
			var number, count int
			var sender string
			if _, err := fmt.Sscanf(strings.Replace(word, ":", " ", 1), "%d %s %d", &number, &sender, &count); err != nil || number != n+1 || count != next[sender] {
				errs = append(errs, fmt.Errorf("member %d heard %q as number %d, after %d of that sender", i, word, n+1, next[sender]))
				break
			}
			next[sender]++
		}
		if len(words) != messages {
			errs = append(errs, fmt.Errorf("member %d heard %d of %d messages", i, len(words), messages))
		}
	}
	return errors.Join(errs...)
}

// talk has members say words for a while, and harm done in the middle of it.
func talk(f *fleet, harm func(f *fleet)) ([]*member, int) {
	const words = 60
	var members []*member
	for _, name := range []string{"b", "c", "b", "c"} {
		members = append(members, newMember(f.nodes[name].open("r", "")))
	}
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			for n := range words {
				say(f.t, m.conn, "put m%d:%d", i, n)
				time.Sleep(time.Duration(3+i) * time.Millisecond)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	harm(f)
	wg.Wait()
	time.Sleep(40 * time.Second)
	synctest.Wait()
	return members, words * len(members)
}

// harms are what may happen to an owner while others hold its sockets.
var harms = []struct {
	name string
	do   func(f *fleet)
}{
	{"the links break", func(f *fleet) { f.nodes["b"].cut("a"); f.nodes["c"].cut("a") }},
	{"the owner dies", func(f *fleet) { f.nodes["a"].kill(); f.own("c") }},
	{"the owner freezes", func(f *fleet) { f.nodes["a"].freeze(); time.Sleep(time.Second); f.own("c") }},
	{"the owner freezes, and nobody takes over for long", func(f *fleet) { f.nodes["a"].freeze(); time.Sleep(20 * time.Second); f.own("c") }},
	{"the object moves", func(f *fleet) { f.own("c") }},
	{"the object moves to a gateway and back", func(f *fleet) { f.own("b"); time.Sleep(20 * time.Millisecond); f.own("a") }},
	{"the object moves all the time", func(f *fleet) {
		for i := range 60 {
			f.own([]string{"a", "b", "c"}[i%3])
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
	}},
	{"the ownership ends and begins anew", func(f *fleet) {
		f.own("")
		time.Sleep(time.Second)
		f.own("a")
	}},
	{"batches are lost", func(f *fleet) {
		f.lose(lostDropped)
		time.Sleep(50 * time.Millisecond)
		f.own("")
		f.lose(lostNot)
		f.own("a")
	}},
	{"batches are lost, and the object moves", func(f *fleet) {
		f.lose(lostDropped)
		time.Sleep(50 * time.Millisecond)
		f.own("c")
		f.lose(lostNot)
	}},
	{"the owner never hears that its batches were applied", func(f *fleet) {
		for i := range 8 {
			f.lose(lostApplied)
			time.Sleep(20 * time.Millisecond)
			f.own([]string{"c", "a"}[i%2])
			f.lose(lostNot)
			time.Sleep(10 * time.Millisecond)
		}
	}},
	{"the object is evicted for want of room", func(f *fleet) {
		for i := range 20 {
			f.nodes["a"].get(fmt.Sprintf("/objects/ChatRoom/other%d/count", i))
			time.Sleep(10 * time.Millisecond)
		}
	}},
}

func TestSocketsOutliveTheOwner(t *testing.T) {
	for _, harm := range harms {
		t.Run(harm.name, func(t *testing.T) {
			inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
				members, messages := talk(f, harm.do)
				if err := checkRoom(members, messages); err != nil {
					t.Error(err)
				}
				if got := f.saw("close"); len(got) > 0 {
					t.Errorf("the class heard %q, want nothing", got)
				}
			})
		})
	}
}

// The check of TestSocketsOutliveTheOwner finds relays and runtimes that are broken.
func TestOutliveFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for _, broken := range []struct {
		name string
		make func(f *fleet)
	}{
		{"no message is sent again", func(f *fleet) { f.breakRelays(FaultNoResend) }},
		{"no frame is known to have come", func(f *fleet) { f.breakRelays(FaultNoFilter) }},
		{"frames of any owner count", func(f *fleet) { f.breakRelays(FaultAnyWay) }},
		{"no frame is sent again", func(f *fleet) { f.variant = variantNoOutbox }},
		{"messages overtake one that was lost", func(f *fleet) { f.variant = variantNoEpoch }},
	} {
		t.Run(broken.name, func(t *testing.T) {
			found := 0
			for _, harm := range harms {
				inFleet(t, RelayConfig{Patience: 5 * time.Second}, GatewayConfig{}, "a b c", func(f *fleet) {
					broken.make(f)
					members, messages := talk(f, harm.do)
					if checkRoom(members, messages) != nil {
						found++
					}
				})
			}
			if found == 0 {
				t.Error("the check finds nothing")
			}
		})
	}
}

func (f *fleet) breakRelays(fault Fault) {
	for _, n := range f.nodes {
		n.relay.cfg.fault = fault
	}
}

// A client that says a last word and closes is heard, although the word was lost
// with its batch first: the close waits for it.
func TestLastWordComesBeforeTheClose(t *testing.T) {
	inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
		watcher := newMember(f.nodes["c"].open("r", ""))
		one := f.nodes["b"].open("r", "")
		time.Sleep(time.Second)
		f.lose(lostDropped)
		say(t, one, "put last:0")
		if err := one.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "bye"), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		f.own("")
		f.lose(lostNot)
		f.own("a")
		time.Sleep(40 * time.Second)
		if words := watcher.words(); len(words) != 1 {
			t.Errorf("the other member heard %q, want the last word once", words)
		}
		if saw := f.saw(""); len(saw) == 0 || saw[len(saw)-1] != "close 4001 true" {
			t.Errorf("the class saw %q, want the close last", saw)
		}
	})
}
