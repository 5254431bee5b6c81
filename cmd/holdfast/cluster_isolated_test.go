package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/placement"
)

// Case 30: the owner is cut off from the cluster and goes on, the others start a
// second activation. What the old one writes, answers, sends and ends never gets
// out, and it fails at its next access to the storage.
func TestCase30IsolatedOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, 30, flaws{})
		defer s.close()
		p := &plot{sim: s}
		who, err := p.castAround("Probe/0")
		if err != nil {
			t.Fatal(err)
		}
		l := s.loadOf(who.others)
		c := l.client(0, habit{patience: 5 * time.Second})
		defer c.http.CloseIdleConnections()
		must := func(door string, a ask) {
			t.Helper()
			if f := c.do(door, who.object, a); f != fateKnown {
				t.Errorf("%s of %s through %s: fate %v, want an answer", a.verb, who.object, door, f)
			}
		}
		must(who.owner, ask{"put", "a", "before"})
		c.alarm(who.owner, who.object) // due when the owner is alone
		room, socket := s.roomOf(t, who)
		defer socket.Close()
		if err := say(socket, "before"); err != nil {
			t.Fatalf("message before: %v", err)
		}

		p.apart(who.owner)
		put := make(chan fate, 1)
		go func() {
			lost := l.client(1, habit{patience: 20 * time.Second})
			defer lost.http.CloseIdleConnections()
			put <- lost.do(who.owner, who.object, ask{"put", "a", "lost"})
		}()
		socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		heard := make(chan error, 1)
		go func() { heard <- say(socket, "lost") }()
		time.Sleep(2 * time.Second)
		must(who.others[0], ask{"put", "a", "after"})
		must(who.others[1], ask{verb: "get", key: "a"})
		if f := c.do(who.owner, who.object, ask{verb: "get", key: "a"}); f == fateKnown {
			t.Error("an owner that is cut off answered a read")
		}
		if f := <-put; f == fateKnown {
			t.Error("an owner that is cut off acknowledged a write")
		}
		if err := <-heard; err == nil {
			t.Error("an owner that is cut off sent a frame")
		}
		s.calm()
		time.Sleep(3 * time.Second)
		must(who.owner, ask{"put", "b", "again"})
		if err := s.closing(l); err != nil {
			t.Error(err)
		}
		if said := s.messages(t, c, who.others[0], room); slices.Contains(said, "lost") && len(said) != 2 || said[0] != "before" {
			t.Errorf("the room has %q, want what was said before, and the other message at most once", said)
		}
	})
}

// roomOf opens a socket, through the owner, to a room that it owns, too.
func (s *simulation) roomOf(t *testing.T, who cast) (room string, socket *websocket.Conn) {
	t.Helper()
	ids, _ := s.nodes[who.owner].node.host.IDs("ChatRoom")
	for i := range 100 {
		name := fmt.Sprint(i)
		id, err := ids.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.owner(placement.ShardID(shardOfObject(id))) != who.owner {
			continue
		}
		dialer := websocket.Dialer{NetDialContext: s.network.dial}
		socket, _, err := dialer.DialContext(t.Context(), "ws://"+who.owner+":80/objects/ChatRoom/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return "ChatRoom/" + name, socket
	}
	t.Fatal(errors.New("the owner has no room"))
	return "", nil
}

// messages gives what was said in a room.
func (s *simulation) messages(t *testing.T, c *simClient, door, room string) []string {
	t.Helper()
	c.load = &simLoad{sim: s, ctx: t.Context()}
	var answer struct{ Messages []struct{ Text string } }
	if err := c.fetch(door, http.MethodGet, room+"/messages", "", &answer); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, m := range answer.Messages {
		said = append(said, strings.TrimSpace(m.Text))
	}
	return append(said, "")[:max(1, len(said))]
}
