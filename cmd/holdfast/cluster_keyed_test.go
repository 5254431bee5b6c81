package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// Times of clients who send a call again, with its key, until it has an answer.
const (
	keyedPause  = 30 * time.Millisecond
	keyedGiveUp = 30 * time.Second // once the load is to end
)

// keyedAnswer is what a client was told, and has to be told again.
type keyedAnswer struct {
	path, key, body string
	answer          string
}

// insist makes a call under a key until it is answered, and writes it down as one.
func (c *simClient) insist(object string, a ask) fate {
	at := c.load.sim.ledger.begin(c.id, object, a)
	method, path, body := request(object, a)
	if method != http.MethodPost {
		panic("a call that only reads needs no key")
	}
	answer, err := c.repeat(path, body)
	var t told
	f := fateUnknown
	if err == nil {
		if t, err = parseTold(object, a, []byte(answer)); err == nil {
			f = fateKnown
		}
	}
	c.load.sim.ledger.end(at, t, f)
	return f
}

// repeat sends a call through any door until it has an answer. The error is how it
// failed for good, or last before the client gave up.
func (c *simClient) repeat(path, body string) (answer string, err error) {
	k := keyedAnswer{path: path, key: c.newValue(), body: body}
	ctx, cancel := context.WithCancel(c.load.ctx)
	defer cancel()
	go func() {
		select {
		case <-c.load.stopped:
			time.AfterFunc(keyedGiveUp, cancel)
		case <-ctx.Done():
		}
	}()
	for {
		err := errNoDoor
		if door := c.door(); door != "" {
			k.answer, _, err = c.sendKeyed(ctx, door, k)
		}
		var status *statusError
		switch again := errors.As(err, &status) && strings.Contains(status.body, "idempotency_in_progress"); {
		case err == nil:
			c.load.mu.Lock()
			c.load.answered = append(c.load.answered, k)
			c.load.mu.Unlock()
			return k.answer, nil
		case errors.Is(err, errNoDoor), again:
		case status != nil && status.status < http.StatusInternalServerError:
			return "", err
		default:
			c.fate(err)
		}
		timer := time.NewTimer(keyedPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return "", err
		}
	}
}

var errNoDoor = errors.New("there is nobody to ask")

// sendKeyed sends a call once. The client's library sends nothing again by itself.
func (c *simClient) sendKeyed(ctx context.Context, door string, k keyedAnswer) (answer string, replayed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	url := "http://" + door + ":80/objects/" + k.path
	status, header, answer, err := sendKeyed(ctx, c.http, url, k.key, k.body)
	if err == nil && status != http.StatusOK {
		err = &statusError{method: http.MethodPost, url: url, status: status, body: answer}
	}
	return answer, header.Get("Idempotency-Replayed") == "true", err
}

// replays asks once more, through any door, for some of the answers under a key.
func (l *simLoad) replays(c *simClient, random *rand.Rand) error {
	const most = 20
	l.mu.Lock()
	answered := slices.Clone(l.answered)
	l.mu.Unlock()
	random.Shuffle(len(answered), func(i, j int) { answered[i], answered[j] = answered[j], answered[i] })
	up := l.sim.up()
	var errs []error
	for i, k := range answered[:min(most, len(answered))] {
		errs = append(errs, l.sim.eventually("the answer under the key "+k.key, 5*time.Second, func() error {
			answer, replayed, err := c.sendKeyed(l.sim.t.Context(), up[i%len(up)], k)
			if err == nil && (answer != k.answer || !replayed) {
				err = fmt.Errorf("%s was answered %q, and is now %q, replayed: %v", k.path, k.answer, answer, replayed)
			}
			return err
		}))
	}
	return errors.Join(errs...)
}

// pair is a class whose calls write twice, with an outside wait in between.
//
//	POST /do  value  "done"
//	GET /log         {"said":["first VALUE", "second VALUE", …]}
type pair struct {
	state *actor.State
	last  int64
}

// pairWait is between the two writes of a pair.
const pairWait = 20 * time.Millisecond

func newPair(ctx context.Context, state *actor.State) (http.Handler, error) {
	last, _, err := actor.Get[int64](ctx, state.Storage(), "last")
	return &pair{state, last}, err
}

// ServeHTTP implements http.Handler.
func (p *pair) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := p.serve(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (p *pair) serve(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if r.URL.Path == "/log" {
		var log roomLog
		said, err := actor.List[string](ctx, p.state.Storage(), actor.ListOptions{Prefix: "said/"})
		for _, e := range said {
			log.Said = append(log.Said, e.Value)
		}
		return errors.Join(err, json.NewEncoder(w).Encode(log))
	}
	value, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if err := p.say(ctx, "first "+string(value)); err != nil {
		return err
	}
	if err := p.state.Outside(ctx, func(context.Context) error { time.Sleep(pairWait); return nil }); err != nil {
		return err
	}
	if err := p.say(ctx, "second "+string(value)); err != nil {
		return err
	}
	_, err = io.WriteString(w, "done")
	return err
}

func (p *pair) say(ctx context.Context, line string) error {
	p.last++
	return errors.Join(
		actor.Put(ctx, p.state.Storage(), "last", p.last),
		actor.Put(ctx, p.state.Storage(), fmt.Sprintf("said/%09d", p.last), line))
}

// pairFate is what a client was told of a pair.
type pairFate struct {
	value string
	done  bool // else it broke off, unless unknown
	known bool
}

// doPair makes a pair under a key.
func (c *simClient) doPair(object string) {
	value := c.newValue()
	_, err := c.repeat(object+"/do", value)
	var status *statusError
	f := pairFate{value: value, done: err == nil, known: err == nil}
	if errors.As(err, &status) && strings.Contains(status.body, "partially_applied") {
		f.known = true
	}
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	if c.load.pairs == nil {
		c.load.pairs = make(map[string][]pairFate)
	}
	c.load.pairs[object] = append(c.load.pairs[object], f)
}

// checkPairs demands that each pair was written once: whole if it was answered, its
// first half if it broke off.
func (l *simLoad) checkPairs(c *simClient) error {
	var errs []error
	for object, fates := range l.pairs {
		var log roomLog
		if err := c.fetch(l.sim.up()[0], http.MethodGet, object+"/log", "", &log); err != nil {
			return err
		}
		times := make(map[string]int)
		for _, line := range log.Said {
			times[line]++
		}
		for _, f := range fates {
			first, second := times["first "+f.value], times["second "+f.value]
			whole, half := first == 1 && second == 1, first == 1 && second == 0
			if f.known && (f.done && !whole || !f.done && !half) || !f.known && !whole && !half && first+second > 0 {
				errs = append(errs, fmt.Errorf("%s: %+v was written %d and %d times", object, f, first, second))
			}
		}
	}
	return errors.Join(errs...)
}
