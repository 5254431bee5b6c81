package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Size of the test of sockets.
const (
	roomMembers = 25
	memberPace  = 5 * time.Millisecond // times the number of sockets: at which each member speaks
)

// The owner of many rooms is killed, then another frozen, while their members
// talk through the two other nodes. No socket closes, and whoever hears himself is
// heard by all, once and in the same order.
func TestSocketsOutliveTheOwner(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	c := startProcesses(t, 3, "--shards", fmt.Sprint(loadShards))
	for _, failure := range []struct {
		name   string
		victim int
		signal syscall.Signal
	}{{"kill", 2, syscall.SIGKILL}, {"freeze", 1, syscall.SIGSTOP}} {
		p := &party{t: t, cluster: c, client: newClient(t, nil)}
		p.open(failure.victim, max(1, *sockets/roomMembers))
		p.talk(5) // everybody is heard before
		victim := c.nodes[failure.victim]
		if err := victim.cmd.Process.Signal(failure.signal); err != nil {
			t.Fatal(err)
		}
		p.talk(5) // and after
		if failure.signal == syscall.SIGSTOP {
			if err := victim.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		} else {
			victim.wait()
			c.start(t, failure.victim)
		}
		p.talk(2) // and when the node is back
		p.check(failure.name)
		awaitSettled(t, p.client, c.nodes[0], len(c.nodes))
	}
	for i, node := range c.nodes {
		if code := node.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of node %d after SIGTERM = %d, want 0\n%s", i+1, code, node.stderr)
		}
	}
}

// party is rooms full of members.
type party struct {
	t       *testing.T
	cluster *processCluster
	client  *http.Client
	members []*member
	rooms   int
}

// member is one socket, and what came out of it.
type member struct {
	room   int
	name   string
	socket *websocket.Conn

	mu    sync.Mutex // guards the following fields
	said  int
	heard []string
	grown chan struct{} // closed at the next message
	err   error         // how the socket ended
}

// open makes rooms that the victim owns, with members at the others.
func (p *party) open(victim, rooms int) {
	p.t.Helper()
	owned := awaitSettled(p.t, p.client, p.cluster.nodes[0], len(p.cluster.nodes))[fmt.Sprintf("node-%d", victim+1)]
	var doors []string
	for i := range p.cluster.nodes {
		if i != victim {
			doors = append(doors, p.cluster.url(i))
		}
	}
	p.rooms = rooms
	for room := range rooms {
		id := newObject(p.t, p.client, doors[0], "ChatRoom")
		for !slices.Contains(owned, shardOfHex(id)) {
			id = newObject(p.t, p.client, doors[0], "ChatRoom")
		}
		for i := range roomMembers {
			url := "ws" + strings.TrimPrefix(doors[i%len(doors)], "http") + "/ids/ChatRoom/" + id
			socket, response, err := websocket.DefaultDialer.DialContext(p.t.Context(), url, nil)
			if err != nil {
				p.t.Fatal(err)
			}
			response.Body.Close()
			m := &member{room: room, name: fmt.Sprintf("%d-%d", room, i), socket: socket, grown: make(chan struct{})}
			p.members = append(p.members, m)
			var reading sync.WaitGroup
			reading.Go(m.read)
			p.t.Cleanup(func() { socket.Close(); reading.Wait() })
		}
	}
}

// newObject gives the ID of an object of that class that never was.
func newObject(t *testing.T, client *http.Client, url, class string) string {
	t.Helper()
	response, err := client.Post(url+"/ids/"+class, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var made struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

func (m *member) read() {
	for {
		var message struct{ Type, Text string }
		err := m.socket.ReadJSON(&message)
		m.mu.Lock()
		if err != nil {
			m.err = err
		} else if message.Type == "chat" {
			m.heard = append(m.heard, message.Text)
		}
		close(m.grown)
		m.grown = make(chan struct{})
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// talk lets every member say some things; each waits to hear itself.
func (p *party) talk(times int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Minute)
	defer cancel()
	var talking sync.WaitGroup
	for _, m := range p.members {
		talking.Go(func() {
			pace := time.NewTicker(time.Duration(len(p.members)) * memberPace)
			defer pace.Stop()
			for range times {
				if err := m.say(ctx); err != nil {
					p.t.Errorf("member %s: %v", m.name, err)
					return
				}
				<-pace.C
			}
		})
	}
	talking.Wait()
}

var errUnheard = errors.New("did not hear itself")

func (m *member) say(ctx context.Context) error {
	m.mu.Lock()
	m.said++
	text := fmt.Sprintf("%s %d", m.name, m.said)
	m.mu.Unlock()
	if err := m.socket.WriteJSON(map[string]string{"type": "chat", "username": m.name, "text": text}); err != nil {
		return err
	}
	for {
		m.mu.Lock()
		heard, grown, err := slices.Contains(m.heard, text), m.grown, m.err
		m.mu.Unlock()
		switch {
		case heard:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%w: %q", errUnheard, text)
		}
	}
}

// check compares what the members of each room have heard.
func (p *party) check(name string) {
	p.t.Helper()
	last := make([]*member, p.rooms) // whoever has heard most in each room
	messages := 0
	for _, m := range p.members {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.err != nil {
			p.t.Errorf("%s: the socket of %s has closed: %v", name, m.name, m.err)
		}
		messages += m.said
		if last[m.room] == nil || len(m.heard) > len(last[m.room].heard) {
			last[m.room] = m
		}
	}
	for _, m := range p.members {
		// Frames may still be on their way to some: what is there is a beginning.
		want := last[m.room].heard
		if !slices.Equal(m.heard, want[:len(m.heard)]) {
			p.t.Errorf("%s: %s and %s heard things in another order, or not all:\n%q\n%q", name, m.name, last[m.room].name, m.heard, want)
		}
		counts := make(map[string]int)
		for _, text := range m.heard {
			if counts[text]++; counts[text] > 1 {
				p.t.Errorf("%s: %s heard %q twice", name, m.name, text)
			}
		}
	}
	p.t.Logf("%s: %d sockets in %d rooms, %d messages", name, len(p.members), p.rooms, messages)
}
