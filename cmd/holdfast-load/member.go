package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	firstReopen = 250 * time.Millisecond // at most, before the first attempt to open a socket again
	laterReopen = time.Second            // before the others
)

// member is somebody in a chat room, who has one socket at a time and opens
// another when it closes.
type member struct {
	// Fixed after it was made.
	load *load
	room *room
	door door
	name string

	said int
}

// run stays in the room until the load ends.
func (m *member) run(ctx context.Context) {
	dialer := &websocket.Dialer{HandshakeTimeout: m.load.options.timeout}
	if !pause(ctx, m.load.stopped, rand.N(m.load.options.every)) { // not all at once
		return
	}
	away, wait := time.Now(), time.Duration(1)
	for pause(ctx, m.load.stopped, rand.N(wait)) {
		socket, err := m.open(ctx, dialer)
		if err != nil {
			m.load.tally.talked(time.Now(), func(c *talkCount) { c.refused++; c.causes[causeOfEnd(err)]++ })
			wait = 2 * laterReopen // on average
			continue
		}
		m.noteAway(away)
		if err = m.stay(ctx, socket); err == nil {
			return // the load has ended
		}
		away, wait = time.Now(), firstReopen
		m.load.tally.talked(away, func(c *talkCount) { c.closed++; c.causes[causeOfEnd(err)]++ })
	}
	m.noteAway(away)
}

// noteAway notes how long the member has had no socket.
func (m *member) noteAway(since time.Time) {
	length := time.Since(since)
	m.load.tally.talked(since, func(c *talkCount) { c.away = max(c.away, length) })
}

func (m *member) open(ctx context.Context, dialer *websocket.Dialer) (*websocket.Conn, error) {
	address := "ws" + strings.TrimPrefix(m.door.url, "http") + "/objects/" + m.room.object
	socket, response, err := dialer.DialContext(ctx, address, nil)
	if err != nil {
		if response != nil {
			response.Body.Close()
			return nil, fmt.Errorf("answered %d", response.StatusCode)
		}
		return nil, errors.New(causeOfDial(err))
	}
	response.Body.Close()
	return socket, nil
}

// Ends of a socket that nobody told the member of.
var (
	errLost   = errors.New("connection lost")
	errSilent = errors.New("nothing heard in time")
)

// causeOfEnd says shortly why there is no socket.
func causeOfEnd(err error) string {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return fmt.Sprintf("closed with %d", closed.Code)
	}
	return err.Error()
}

// talk is one socket while it is open.
type talk struct {
	mu      sync.Mutex // guards the following fields
	waiting string     // what the member has said and not heard yet
	heard   chan struct{}

	ended chan struct{} // closed when nothing comes any more
	err   error         // why; fixed when ended is closed
}

// stay talks until the load ends, and gives nil, or there is no use in the socket
// any more.
func (m *member) stay(ctx context.Context, socket *websocket.Conn) error {
	t := &talk{ended: make(chan struct{})}
	section := m.room.open()
	var reading sync.WaitGroup
	reading.Go(func() { m.listen(socket, section, t) })
	defer reading.Wait()
	defer socket.Close() //nolint:errcheck // it is given up
	pace := time.NewTicker(m.load.options.every)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
			if err := m.say(ctx, socket, t); err != nil {
				return err
			}
		case <-t.ended:
			return t.err
		case <-m.load.stopped:
			return nil
		}
	}
}

// listen takes what the room says until the socket ends.
func (m *member) listen(socket *websocket.Conn, s *section, t *talk) {
	defer close(t.ended)
	for {
		var message struct{ Type, Text string }
		if err := socket.ReadJSON(&message); err != nil {
			t.err = errLost
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code != websocket.CloseAbnormalClosure {
				t.err = closed
			}
			return
		}
		if message.Type != "chat" {
			continue
		}
		m.room.hear(s, message.Text)
		t.mu.Lock()
		if t.waiting == message.Text {
			t.waiting = ""
			close(t.heard)
		}
		t.mu.Unlock()
	}
}

// say says something and waits to hear it. A connection to a machine that is gone
// does not break by itself, so a member who hears nothing in time gives it up.
func (m *member) say(ctx context.Context, socket *websocket.Conn, t *talk) error {
	m.said++
	text := m.name + "-" + strconv.Itoa(m.said)
	begun := time.Now()
	heard := make(chan struct{})
	t.mu.Lock()
	t.waiting, t.heard = text, heard
	t.mu.Unlock()
	timer := time.NewTimer(m.load.options.timeout)
	defer timer.Stop()
	err := m.send(socket, text)
	if err == nil {
		select {
		case <-heard:
		case <-timer.C:
			err = errSilent
		case <-t.ended:
			err = t.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	took := time.Since(begun)
	m.load.tally.talked(begun, func(c *talkCount) {
		c.said++
		c.latencies = append(c.latencies, took)
		if err == nil {
			c.heard++
		} else {
			c.unheard++
		}
	})
	return err
}

func (m *member) send(socket *websocket.Conn, text string) error {
	err := socket.SetWriteDeadline(time.Now().Add(m.load.options.timeout))
	if err == nil {
		err = socket.WriteJSON(struct {
			Type     string `json:"type"`
			Username string `json:"username"`
			Text     string `json:"text"`
		}{"chat", m.name, text})
	}
	if err != nil {
		return errLost
	}
	return nil
}
