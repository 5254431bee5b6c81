package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// regularPause is how long a guest waits before it tries to come back.
const regularPause = 50 * time.Millisecond

// regular is a guest with a session key: it stays in a room whatever becomes of
// its connections, and comes back by any door.
type regular struct {
	// Fixed.
	client     *simClient
	room, name string
	ctx        context.Context //nolint:containedctx // canceled by clear: it stays longer than the load
	cancel     context.CancelFunc
	over       chan struct{}

	mu     sync.Mutex // guards the following fields
	socket *websocket.Conn
	at     int64 // what the room had when the guest came in; -1: not known yet
	said   []string
	heard  []string
	visits int
	errs   []error
}

// returner gives the habit of a regular.
func returner(room string, think time.Duration) habit {
	var r *regular
	return habit{think, simPatience, func(c *simClient) {
		if r == nil {
			r = c.frequent(room)
		}
		r.say(c.newValue())
	}}
}

func (c *simClient) frequent(room string) *regular {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.load.ctx))
	visitor := *c
	visitor.random = rand.New(rand.NewPCG(c.random.Uint64(), uint64(c.id))) // it comes and goes while the client talks
	r := &regular{client: &visitor, room: room, name: c.newValue(), ctx: ctx, cancel: cancel, over: make(chan struct{}), at: -1}
	c.load.mu.Lock()
	c.load.regulars = append(c.load.regulars, r)
	c.load.mu.Unlock()
	go func() {
		defer close(r.over)
		for ctx.Err() == nil && r.visit() {
		}
	}()
	return r
}

// visit is one connection, or the attempt. It is false when the guest has heard
// something wrong: what follows on that says nothing.
func (r *regular) visit() bool {
	c := r.client
	if door := c.door(); door != "" {
		ctx, cancel := context.WithTimeout(r.ctx, c.patience)
		dialer := websocket.Dialer{NetDialContext: c.host.dial}
		url := fmt.Sprintf("ws://%s:80/objects/%s?as=%s&holdfast-session=the-session-key-of-%s", door, r.room, r.name, r.name)
		socket, response, err := dialer.DialContext(ctx, url, nil)
		cancel()
		if err == nil {
			r.listen(socket, response.Header.Get("Holdfast-Session"))
		} else if r.ctx.Err() == nil {
			c.fate(handshakeError(response, err))
		}
	}
	timer := time.NewTimer(regularPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.errs) == 0
}

// listen hears until the connection ends.
func (r *regular) listen(socket *websocket.Conn, session string) {
	defer context.AfterFunc(r.ctx, func() { _ = socket.Close() })()
	r.mu.Lock()
	r.socket = socket
	if r.visits++; r.at >= 0 && session != "resumed" {
		r.errs = append(r.errs, fmt.Errorf("visit %d: the session is %q", r.visits, session))
	}
	r.mu.Unlock()
	last := int64(0) // number of the newest frame of this connection
	for {
		_, data, err := socket.ReadMessage()
		r.mu.Lock()
		if err == nil {
			last, err = r.hearLocked(string(data), last)
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("visit %d: %w", r.visits, err))
			}
		}
		if err != nil {
			r.socket = nil
		}
		r.mu.Unlock()
		if err != nil {
			_ = socket.Close()
			return
		}
	}
}

// hearLocked takes a frame that comes after the one with that number. A connection
// may begin with frames that have come before, not always all of them; those that
// have not, come one after another.
func (r *regular) hearLocked(frame string, last int64) (number int64, err error) {
	if first, ok := strings.CutPrefix(frame, "at "); ok {
		_, err := fmt.Sscan(first, &number)
		if r.at >= 0 && r.at != number {
			err = fmt.Errorf("it came in at %d, and hears %q", r.at, frame)
		}
		r.at = number
		return last, err
	}
	_, err = fmt.Sscan(frame, &number)
	index := number - r.at - 1
	switch {
	case err != nil || r.at < 0:
		return last, fmt.Errorf("it hears %q, having come in at %d: %w", frame, r.at, err)
	case number <= last || index < 0 || index > int64(len(r.heard)):
		return last, fmt.Errorf("it hears %q after number %d, having come in at %d and heard %d", frame, last, r.at, len(r.heard))
	case index == int64(len(r.heard)):
		r.heard = append(r.heard, frame)
	case r.heard[index] != frame:
		return last, fmt.Errorf("it hears %q, which was %q", frame, r.heard[index])
	}
	return number, nil
}

// say says a word if there is a connection. It may be lost with it.
func (r *regular) say(word string) {
	r.mu.Lock()
	socket := r.socket
	if socket != nil {
		r.said = append(r.said, word)
	}
	r.mu.Unlock()
	if socket != nil {
		_ = socket.WriteMessage(websocket.TextMessage, []byte(word))
	}
}

// compare implements visitor: it has missed nothing, and was heard in order.
func (r *regular) compare(with roomLog) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := slices.Clone(r.errs)
	said := r.said
	for _, line := range with.Said {
		if word, mine := strings.CutPrefix(line, r.name+" "); mine {
			at := slices.Index(said, word)
			if at < 0 {
				errs = append(errs, fmt.Errorf("the room has %q, which was not said, or not then", word))
				break
			}
			said = said[at+1:]
		}
	}
	if with.Left[r.name] > 0 {
		errs = append(errs, errors.New("the room was told that it has left"))
	}
	if r.at >= 0 {
		for i, line := range with.Said[min(r.at, int64(len(with.Said))):] {
			want := fmt.Sprintf("%d %s", r.at+int64(i)+1, line)
			if i >= len(r.heard) || r.heard[i] != want {
				errs = append(errs, fmt.Errorf("it came in at %d and heard %d: the next is not %q", r.at, len(r.heard), want))
				break
			}
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%s in %s with its session, after %d visits: %w", r.name, r.room, r.visits, errors.Join(errs...))
	}
	return nil
}
