package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

// The node that holds a client's connection is killed, with the room's owner on it
// and without. The client comes back at another node with its session key, and has
// missed nothing.
func TestSessionsOutliveTheGateway(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	for _, owner := range []int{1, 2} {
		t.Run(fmt.Sprint("room at node ", owner+1), func(t *testing.T) {
			c := startProcesses(t, 3, "--shards", "4")
			client := newClient(t, nil)
			owned := awaitSettled(t, client, c.nodes[0], 3)[fmt.Sprintf("node-%d", owner+1)]
			room := newObject(t, client, c.url(0), "ChatRoom")
			for !slices.Contains(owned, shardOfHex(room)) {
				room = newObject(t, client, c.url(0), "ChatRoom")
			}
			stays := enterRoom(t, c.url(0), room, "")
			leaves := enterRoom(t, c.url(2), room, "a-session-key-of-32-characters-x")
			for i := range 5 {
				stays.mustSay(t, i)
			}
			leaves.mustHear(t, 5)
			if err := c.nodes[2].cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.nodes[2].wait()
			for i := range 5 {
				stays.mustSay(t, 5+i)
			}
			back := enterRoom(t, c.url(1), room, "a-session-key-of-32-characters-x")
			if back.session != "resumed" {
				t.Errorf("%s = %q, want resumed", actor.SessionHeader, back.session)
			}
			stays.mustSay(t, 10)
			back.heard = leaves.heard
			back.mustHear(t, 11)
			c.nodes[2] = nil // it is not to be stopped
		})
	}
}

// roomGuest is a socket in a room where somebody says "word 0", "word 1" and so on.
type roomGuest struct {
	socket  *websocket.Conn
	session string
	heard   int // words, from the first on
}

// enterRoom opens a socket, and tries for as long as no owner is there.
func enterRoom(t *testing.T, door, room, key string) *roomGuest {
	t.Helper()
	url := "ws" + strings.TrimPrefix(door, "http") + "/ids/ChatRoom/" + room
	if key != "" {
		url += "?" + actor.SessionParameter + "=" + key
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		socket, response, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
		switch {
		case err == nil:
			t.Cleanup(func() { socket.Close() })
			return &roomGuest{socket: socket, session: response.Header.Get(actor.SessionHeader)}
		case response == nil || response.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline):
			t.Fatalf("GET %s: %v, %v", url, response, err)
		}
	}
}

// mustSay says a word and waits to hear it.
func (v *roomGuest) mustSay(t *testing.T, word int) {
	t.Helper()
	if err := v.socket.WriteJSON(map[string]string{"type": "chat", "username": "ada", "text": fmt.Sprint("word ", word)}); err != nil {
		t.Fatal(err)
	}
	v.mustHear(t, word+1)
}

// mustHear reads until so many words have come. Some may come again.
func (v *roomGuest) mustHear(t *testing.T, words int) {
	t.Helper()
	if err := v.socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for v.heard < words {
		var message struct{ Type, Text string }
		if err := v.socket.ReadJSON(&message); err != nil {
			t.Fatalf("after %d of %d words: %v", v.heard, words, err)
		}
		var word int
		if _, err := fmt.Sscanf(message.Text, "word %d", &word); message.Type != "chat" || err != nil {
			continue
		}
		if word > v.heard {
			t.Fatalf("heard word %d after %d words", word, v.heard)
		}
		v.heard = max(v.heard, word+1)
	}
}
