package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// lives counts for each host what its clients' sockets cannot outlive: that it
// ends, that it is told to, that its connections break. The harm is done after it
// was noted, so that whoever sees it knows why.
type lives struct {
	mu     sync.Mutex // guards the following fields
	count  map[string]int
	ending map[string]bool
}

func newLives() *lives { return &lives{count: make(map[string]int), ending: make(map[string]bool)} }

// of gives the life that a host is in, or 0 if it is about to end.
func (l *lives) of(host string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending[host] {
		return 0
	}
	return l.count[host] + 1
}

// goesOn says whether a host is still in that life.
func (l *lives) goesOn(host string, life int) bool { return life != 0 && l.of(host) == life }

// end ends a life. Another begins at once, unless the host is ending.
func (l *lives) end(host string, ending bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[host]++
	l.ending[host] = ending
}

// sitting is a guest's stay in a room, on one socket.
type sitting struct {
	// Fixed.
	network    *memNetwork
	name       string // never used twice
	room, door string
	life       int // of the door's host
	socket     *websocket.Conn
	over       chan struct{} // closed when nothing more is heard

	mu      sync.Mutex // guards the following fields
	at      int64      // what the room had when the guest came in; -1: not known yet
	said    []string
	heard   []string
	left    bool  // by its own will
	ended   error // how, if it did
	excused bool  // nobody promises that it outlives what happened
}

// guest is a client who is in a room, as far as it is let in, and talks.
type guest struct {
	room  string
	stays int // on average so many words long; 0: for ever
	now   *sitting
}

// talker gives the habit of a guest.
func talker(room string, think time.Duration, stays int) habit {
	g := &guest{room: room, stays: stays}
	return habit{think, simPatience, g.step}
}

func (g *guest) step(c *simClient) {
	switch {
	case g.now == nil || g.now.isOver():
		g.now = c.sit(c.door(), g.room)
	case g.stays > 0 && c.random.IntN(g.stays) == 0 || !c.mayUse(g.now.door):
		g.now.leave()
		g.now = nil
	default:
		g.now.say(c.newValue())
	}
}

// mayUse says whether a host is among those to ask.
func (c *simClient) mayUse(door string) bool {
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	return slices.Contains(c.load.doors, door)
}

// sit opens a socket to a room; nil if that failed.
func (c *simClient) sit(door, room string) *sitting {
	if door == "" {
		return nil
	}
	n := c.load.sim.network
	s := &sitting{network: n, name: c.newValue(), room: room, door: door, life: n.lives.of(door), at: -1, over: make(chan struct{})}
	ctx, cancel := context.WithTimeout(c.load.ctx, c.patience)
	defer cancel()
	dialer := websocket.Dialer{NetDialContext: c.host.dial}
	socket, response, err := dialer.DialContext(ctx, "ws://"+door+":80/objects/"+room+"?as="+s.name, nil)
	if err != nil {
		c.fate(handshakeError(response, err))
		return nil
	}
	s.socket = socket
	c.load.mu.Lock()
	c.load.sittings = append(c.load.sittings, s)
	c.load.mu.Unlock()
	go s.listen()
	return s
}

// handshakeError tells what a refused handshake was answered.
func handshakeError(response *http.Response, err error) error {
	if response == nil || response.StatusCode == http.StatusSwitchingProtocols {
		return err
	}
	body := make([]byte, 1024)
	n, _ := response.Body.Read(body) // the library has read it
	return &statusError{method: "GET", url: response.Request.URL.String(), status: response.StatusCode, body: string(body[:n])}
}

// listen hears until the end.
func (s *sitting) listen() {
	defer close(s.over)
	for {
		_, data, err := s.socket.ReadMessage()
		s.mu.Lock()
		switch first, isFirst := strings.CutPrefix(string(data), "at "); {
		case err != nil:
			s.ended, s.excused = err, !s.network.lives.goesOn(s.door, s.life)
		case s.at >= 0:
			s.heard = append(s.heard, string(data))
		case !isFirst:
			err = fmt.Errorf("the first frame is %q", data)
			s.ended = err
		default:
			_, _ = fmt.Sscan(first, &s.at)
		}
		s.mu.Unlock()
		if err != nil {
			_ = s.socket.Close()
			return
		}
	}
}

// String tells what became of it, for whoever has to find out why.
func (s *sitting) String() string {
	return fmt.Sprintf("%s in %s through %s (from %d on, %d said, %d heard, left: %v, ended: %v)", s.name, s.room, s.door, s.at, len(s.said), len(s.heard), s.left, s.ended)
}

func (s *sitting) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// say says a word. That it fails is seen by whoever listens.
func (s *sitting) say(word string) {
	s.mu.Lock()
	s.said = append(s.said, word)
	s.mu.Unlock()
	_ = s.socket.WriteMessage(websocket.TextMessage, []byte(word))
}

// leave closes the socket from this side, and does not wait for the other.
func (s *sitting) leave() {
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	_ = s.socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
}

// visitor is who has something to compare with what a room knows.
type visitor interface {
	compare(with roomLog) error
}

func (s *sitting) compare(with roomLog) error { return with.check(s) }

// roomPatience is how long after all faults guests may have to wait for what was
// said: a gateway needs three seconds to see that an owner is frozen.
const roomPatience = 10 * time.Second

// rooms compares what the guests of all rooms heard with what the rooms have,
// and then ends their sockets.
func (l *simLoad) rooms(c *simClient) error {
	l.mu.Lock()
	all := make(map[string][]visitor)
	for _, s := range l.sittings {
		all[s.room] = append(all[s.room], s)
	}
	for _, r := range l.regulars {
		all[r.room] = append(all[r.room], r)
	}
	l.mu.Unlock()
	var errs []error
	for _, room := range slices.Sorted(maps.Keys(all)) {
		errs = append(errs, l.sim.eventually("what was said in "+room, roomPatience, func() error {
			var log roomLog
			if err := c.fetch(l.sim.up()[0], http.MethodGet, room+"/log", "", &log); err != nil {
				return err
			}
			var errs []error
			for _, s := range all[room] {
				errs = append(errs, s.compare(log))
			}
			return errors.Join(errs...)
		}))
	}
	return errors.Join(errs...)
}

// clear ends all sockets.
func (l *simLoad) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.regulars {
		r.cancel()
		<-r.over
	}
	for _, s := range l.sittings {
		_ = s.socket.Close()
		<-s.over
	}
}
