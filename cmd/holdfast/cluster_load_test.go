package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Size of a simulation's load.
const (
	simClients  = 5
	simObjects  = 3 // of each class
	simThink    = 60 * time.Millisecond
	simPatience = 8 * time.Second // longer than a gateway's
	simGuests   = 4
	simRooms    = 2
	simStay     = 60 // words
)

// simLoad is clients who ask any node, one call at a time each, and write down
// what they are told.
type simLoad struct {
	sim     *simulation
	cancel  context.CancelFunc
	ctx     context.Context //nolint:containedctx // canceled by stop; calls under way may end
	stopped chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex       // guards the following fields
	doors    []string         // hosts to ask
	alarms   map[string]int64 // by probe, the latest due time that was acknowledged
	sittings []*sitting       // in rooms, all that there ever were
	regulars []*regular
	answered []keyedAnswer
	pairs    map[string][]pairFate // by object
	errs     []error               // answers that no client should get
	strict   bool                  // any failure is one
}

// habit is what a client does again and again.
type habit struct {
	think    time.Duration // between two calls, on average
	patience time.Duration // with one call
	step     func(c *simClient)
}

// load starts clients who ask those hosts for anything.
func (s *simulation) load(doors ...string) *simLoad {
	var usual []habit
	for range simClients {
		usual = append(usual, habit{simThink, simPatience, (*simClient).anything})
	}
	for i := range simGuests {
		usual = append(usual, talker(fmt.Sprint("Room/", i%simRooms), simThink, simStay))
	}
	return s.loadOf(doors, usual...)
}

// loadOf starts a client for each habit.
func (s *simulation) loadOf(doors []string, habits ...habit) *simLoad {
	ctx, cancel := context.WithCancel(context.Background())
	l := &simLoad{sim: s, ctx: ctx, cancel: cancel, stopped: make(chan struct{}), doors: doors, alarms: make(map[string]int64)}
	for id, h := range habits {
		c := l.client(id, h)
		l.running.Go(func() { c.run() })
	}
	return l
}

// ask makes clients ask those hosts from now on.
func (l *simLoad) ask(doors ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doors = doors
}

// demand says whether any call that fails is an error.
func (l *simLoad) demand(strict bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strict = strict
}

// stop returns when each client has its last answer.
func (l *simLoad) stop() error {
	close(l.stopped)
	l.running.Wait()
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// simClient is one client.
type simClient struct {
	habit

	load   *simLoad
	id     int
	random *rand.Rand
	host   *memHost
	http   *http.Client
	count  int
}

func (l *simLoad) client(id int, h habit) *simClient {
	host := l.sim.network.up("client" + strconv.Itoa(id))
	return &simClient{
		habit: h, load: l, id: id, random: rand.New(rand.NewPCG(l.sim.random.Uint64(), uint64(id))),
		host: host, http: &http.Client{Transport: &http.Transport{DialContext: host.dial}},
	}
}

func (c *simClient) run() {
	defer c.http.CloseIdleConnections()
	for {
		timer := time.NewTimer(time.Duration(c.random.Int64N(int64(2 * c.think))))
		select {
		case <-timer.C:
		case <-c.load.stopped:
			timer.Stop()
			return
		}
		c.step(c)
	}
}

// anything makes one call of any kind to any object through any node.
func (c *simClient) anything() {
	door := c.door()
	number := strconv.Itoa(c.random.IntN(simObjects))
	value := c.newValue()
	key := string(rune('a' + c.random.IntN(2)))
	switch kind := c.random.IntN(21); {
	case kind < 2:
		c.insist("Counter/"+number, ask{verb: "increment"})
	case kind < 5:
		c.do(door, "Counter/"+number, ask{verb: "increment"})
	case kind < 7:
		c.do(door, "Counter/"+number, ask{verb: "get"})
	case kind < 8:
		c.insist("EventStore/"+number, ask{verb: "append", value: value})
	case kind < 10:
		c.do(door, "EventStore/"+number, ask{verb: "append", value: value})
	case kind < 11:
		c.do(door, "EventStore/"+number, ask{verb: "list"})
	case kind < 15:
		c.do(door, "Probe/"+number, ask{"put", key, value})
	case kind < 19:
		c.do(door, "Probe/"+number, ask{verb: "get", key: key})
	case kind < 20:
		c.doPair("Pair/" + number)
	default:
		c.alarm(door, "Probe/"+number)
	}
}

// door gives a host to ask, or "" if there is none.
func (c *simClient) door() string {
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	if len(c.load.doors) == 0 {
		return ""
	}
	return c.load.doors[c.random.IntN(len(c.load.doors))]
}

// newValue gives a value that nobody has written before.
func (c *simClient) newValue() string {
	c.count++
	return fmt.Sprintf("%d-%d", c.id, c.count)
}

// do makes a call and writes down how it ended.
func (c *simClient) do(door, object string, a ask) fate {
	at := c.load.sim.ledger.begin(c.id, object, a)
	answer, err := c.call(door, object, a)
	f := c.fate(err)
	c.load.sim.ledger.end(at, answer, f)
	return f
}

// fate says what an error means, and notes it if it must not be.
func (c *simClient) fate(err error) fate {
	var status *statusError
	var network *net.OpError
	f, fine := fateUnknown, true
	switch {
	case err == nil:
		return fateKnown
	case errors.As(err, &status) && status.status == http.StatusServiceUnavailable:
		f = fateRefused
	case errors.As(err, &status):
		fine = status.status == http.StatusGatewayTimeout && strings.Contains(status.body, "outcome_unknown")
	case errors.As(err, &network) && network.Op == "dial":
		f = fateRefused
	}
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	if !fine || c.load.strict {
		c.load.errs = append(c.load.errs, fmt.Errorf("after %v a client was told: %w", time.Since(c.load.sim.begun), err))
	}
	return f
}

// call makes a call and reads the answer.
func (c *simClient) call(door, object string, a ask) (told, error) {
	method, path, body := request(object, a)
	data, err := c.send(door, method, path, body)
	if err != nil {
		return told{}, err
	}
	return parseTold(object, a, data)
}

// request gives what is sent for a call.
func request(object string, a ask) (method, path, body string) {
	class, _, _ := strings.Cut(object, "/")
	method = http.MethodPost
	switch class + " " + a.verb {
	case "Counter increment":
		path = "/increment"
	case "Counter get":
		method, path = http.MethodGet, "/get"
	case "EventStore append":
		path, body = "/events", fmt.Sprintf(`{"eventType":"sim","data":%q}`, a.value)
	case "EventStore list":
		method, path = http.MethodGet, "/events"
	case "Probe put":
		path, body = "/put/"+a.key, a.value
	case "Probe get":
		method, path = http.MethodGet, "/get/"+a.key
	}
	return method, object + path, body
}

// parseTold reads the answer to a call.
func parseTold(object string, a ask, data []byte) (told, error) {
	var answer struct {
		Value   json.RawMessage // a number or a string
		Version int64
		Events  []struct{ Data string }
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return told{}, err
	}
	t := told{number: answer.Version}
	switch class, _, _ := strings.Cut(object, "/"); class {
	case "Counter":
		return t, json.Unmarshal(answer.Value, &t.number)
	case "Probe":
		return t, json.Unmarshal(answer.Value, &t.text)
	}
	for _, event := range answer.Events {
		t.text += event.Data + " "
	}
	if a.verb == "list" {
		t.number = int64(len(answer.Events))
	}
	return t, nil
}

func (c *simClient) send(door, method, path, body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(c.load.ctx, c.patience)
	defer cancel()
	return tryCall(ctx, c.http, method, "http://"+door+":80/objects/"+path, body)
}

func (c *simClient) fetch(door, method, path, body string, answer any) error {
	data, err := c.send(door, method, path, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}

// alarm sets a probe's alarm.
func (c *simClient) alarm(door, object string) {
	var answer probeAnswer
	if c.fate(c.fetch(door, http.MethodPost, object+"/alarm", "", &answer)) != fateKnown {
		return
	}
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	c.load.alarms[object] = max(c.load.alarms[object], answer.Due)
}
