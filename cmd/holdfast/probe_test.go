package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// alarmAfter is how long after a call the alarm of a probe is due.
const alarmAfter = 300 * time.Millisecond

// probe is a class that makes a second activation, a stale one and an early alarm
// visible: it answers from memory, and each of its batches says whose it is.
//
//	POST /put/{key}  value   {"version":n}
//	GET  /get/{key}          {"version":n,"value":"…"}
//	POST /alarm              {"due":ms}
//	GET  /history            {"values":["…"]}: all that was ever put, in order
//	GET  /rang               {"due":ms,"pending":bool}: of the last alarm that rang
type probe struct {
	storage *actor.Storage
	watch   *activations
	mark    string // of this activation
	version int64
	values  map[string]string
	rang    int64
}

func newProbe(watch *activations, node string) actor.Class {
	return actor.Class{New: func(ctx context.Context, state *actor.State) (http.Handler, error) {
		p := &probe{storage: state.Storage(), watch: watch, mark: watch.mark(node), values: make(map[string]string)}
		var err error
		if p.version, _, err = actor.Get[int64](ctx, p.storage, "version"); err != nil {
			return nil, err
		}
		if p.rang, _, err = actor.Get[int64](ctx, p.storage, "rang"); err != nil {
			return nil, err
		}
		entries, err := actor.List[string](ctx, p.storage, actor.ListOptions{Prefix: "value/"})
		for _, e := range entries {
			p.values[strings.TrimPrefix(e.Key, "value/")] = e.Value
		}
		return p, err
	}}
}

// probeAnswer is any answer of a probe.
type probeAnswer struct {
	Version int64
	Value   string
	Values  []string
	Due     int64
	Pending bool
}

// ServeHTTP implements http.Handler.
func (p *probe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := p.route(r)
	if err == nil {
		err = json.NewEncoder(w).Encode(answer)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (p *probe) route(r *http.Request) (answer probeAnswer, err error) {
	ctx := r.Context()
	verb, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch verb {
	case "put":
		value, err := io.ReadAll(r.Body)
		if err != nil {
			return answer, err
		}
		p.version++
		p.values[key] = string(value)
		return probeAnswer{Version: p.version}, errors.Join(
			actor.Put(ctx, p.storage, fmt.Sprintf("history/%09d", p.version), string(value)),
			actor.Put(ctx, p.storage, "by", p.mark), actor.Put(ctx, p.storage, "version", p.version), actor.Put(ctx, p.storage, "value/"+key, string(value)))
	case "get":
		return probeAnswer{Version: p.version, Value: p.values[key]}, nil
	case "history":
		entries, err := actor.List[string](ctx, p.storage, actor.ListOptions{Prefix: "history/"})
		for _, e := range entries {
			answer.Values = append(answer.Values, e.Value)
		}
		return answer, err
	case "alarm":
		due := time.Now().Add(alarmAfter)
		return probeAnswer{Due: due.UnixMilli()}, errors.Join(actor.Put(ctx, p.storage, "by", p.mark), p.storage.SetAlarm(ctx, due))
	case "rang":
		_, pending, err := p.storage.Alarm(ctx)
		return probeAnswer{Due: p.rang, Pending: pending}, err
	}
	return answer, fmt.Errorf("probe: no verb %q", verb)
}

// Alarm implements actor.AlarmHandler.
func (p *probe) Alarm(ctx context.Context, info actor.AlarmInfo) error {
	if time.Now().Before(info.Scheduled) {
		p.watch.fault(fmt.Errorf("an alarm that was due at %v rang at %v", info.Scheduled, time.Now()))
	}
	p.rang = info.Scheduled.UnixMilli()
	return errors.Join(actor.Put(ctx, p.storage, "by", p.mark), actor.Put(ctx, p.storage, "rang", p.rang))
}

// activations watches which node commits under which ownership, and whose
// batches took effect.
type activations struct {
	last atomic.Int64 // number of the newest mark

	mu     sync.Mutex // guards the following fields
	owners map[ownedShard]string
	acts   map[ownedObject][]string // marks in the order in which their batches took effect, without repetitions
	errs   []error
}

type ownedShard struct {
	shard     uint32
	ownership uint64
}

type ownedObject struct {
	object    actor.ID
	ownership uint64
}

func newActivations() *activations {
	return &activations{owners: make(map[ownedShard]string), acts: make(map[ownedObject][]string)}
}

// mark makes a name for an activation.
func (a *activations) mark(node string) string { return fmt.Sprintf("%s-%d", node, a.last.Add(1)) }

func (a *activations) fault(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errs = append(a.errs, err)
}

// owns notes that a node acts for a shard under that number.
func (a *activations) owns(node string, shard uint32, ownership uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := ownedShard{shard, ownership}
	if owner, ok := a.owners[key]; ok && owner != node {
		a.errs = append(a.errs, fmt.Errorf("shard %d: %s and %s both have ownership %d", shard, owner, node, ownership))
	}
	a.owners[key] = node
}

// committed notes that a batch took effect. Of one object and ownership each
// activation begins when the one before has ended.
func (a *activations) committed(object actor.ID, ownership uint64, mark string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := ownedObject{object, ownership}
	marks := a.acts[key]
	if len(marks) > 0 && marks[len(marks)-1] == mark {
		return
	}
	if slices.Contains(marks, mark) {
		a.errs = append(a.errs, fmt.Errorf("object %v: activation %s of ownership %d acts while %s does", object, mark, ownership, marks[len(marks)-1]))
		return
	}
	a.acts[key] = append(marks, mark)
}

// check gives what was seen that must not be.
func (a *activations) check() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.errs...)
}

// watchedCommitter tells what passes through it.
type watchedCommitter struct {
	actor.Committer

	watch *activations
	node  string
	shard func(actor.ID) uint32
}

// Commit implements actor.Committer.
func (c watchedCommitter) Commit(object actor.ID, ownership uint64, data []byte, done func(error)) {
	c.Committer.Commit(object, ownership, data, func(err error) {
		if err == nil {
			c.watch.owns(c.node, c.shard(object), ownership)
			if mark, ok := markOf(data); ok {
				c.watch.committed(object, ownership, mark)
			}
		}
		done(err)
	})
}

// markOf gives the mark of a probe's batch.
func markOf(data []byte) (string, bool) {
	batch, err := actor.DecodeBatch(data)
	if err != nil {
		return "", false
	}
	for _, w := range batch.Writes {
		if w.Key == "by" && len(w.Value) > 1 {
			return string(w.Value[1:]), true
		}
	}
	return "", false
}
