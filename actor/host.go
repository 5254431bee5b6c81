package actor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a host runs and how much of it.
type Config struct {
	Classes   map[string]Class
	Secret    []byte // the cluster's ID secret
	Store     *Store
	Committer Committer
	ShardOf   func(ID) uint32
	// Start is the node's start number: greater at each start. The host uses it,
	// shifted left by one plus one, as the gateway number of sockets between
	// objects; shifted left by one it is free for the node's gateway to clients.
	Start uint64
	// Alone says that the node is a cluster by itself: frames are kept only for
	// objects with sockets that have a session.
	Alone bool
	// GatewayOver says whether a gateway that is not connected will never be again,
	// so that its sockets are lost. nil: none that is not connected comes back.
	GatewayOver func(start uint64) bool
	Log         *slog.Logger

	IdleTimeout    time.Duration // idle objects leave memory after it; 0 = DefaultIdleTimeout
	MaxActivations int           // beyond it the least recently used one leaves, else ErrOverloaded; 0 = DefaultMaxActivations
	KeyTTL         time.Duration // for which the answers to calls with a key are kept; 0 = DefaultKeyTTL
	MaxBytes       int64         // of bodies, messages, batches and frames under way; beyond it ErrOverloaded; 0 = DefaultMaxBytes
	Events         Events
	// Ailing is called once, when the node should be given nothing more and be
	// started anew; it must not block. nil: nobody wants to know.
	Ailing func(reason string)

	// fault builds the broken variants that tests of the checkers demand.
	fault Fault
}

// Defaults of Config.
const (
	DefaultIdleTimeout    = 60 * time.Second
	DefaultMaxActivations = 200_000
	DefaultMaxBytes       = 1 << 30
)

// Host runs the objects of the shards that its node owns.
type Host struct {
	// Fixed after NewHost.
	classes        map[string]Class
	ids            map[string]IDSource
	store          *Store
	committer      Committer
	shardOf        func(ID) uint32
	log            *slog.Logger
	idleTimeout    time.Duration
	maxActivations int
	maxBytes       int64
	events         *eventSink
	gateways       *gateways
	loop           *loopGateway
	router         Router // fixed by Route
	clock          *alarmClock
	turns          *turns
	keySweeper     *keySweeper
	keyTTL         time.Duration
	maxKeys        int // MaxRequestKeys, but for tests
	maxKeyBytes    int // MaxRequestKeyBytes, likewise
	start          uint64
	began          time.Time
	closed         chan struct{} // closed when Close begins
	wake           chan struct{} // one slot: the sweeper has something to wait for
	pulse          chan struct{} // taken by the sweeper in each turn
	wg             sync.WaitGroup
	quarantines    *quarantines
	runners        runners
	ailment        ailment
	fault          Fault // 0, but for tests
	alone          bool

	asleep  hibernated
	leaving leaving

	bytes   atomic.Int64  // held by bodies, messages, batches and frames under way
	stubs   atomic.Uint64 // number of the last stub
	pending atomic.Int64  // events posted and not over, tasks not counted
	running atomic.Int64  // those of them that have begun

	mu      sync.Mutex // guards the following fields
	table   map[ID]*activation
	lru     lruEntry // root of the order of use
	closing bool     // Close was called
	ending  bool     // no activation may start any more
	quiet   signal   // pending fell to 0
}

// NewHost starts a host. It owns no shard until SetOwnership says so.
func NewHost(cfg Config) (*Host, error) {
	h := &Host{
		classes: make(map[string]Class, len(cfg.Classes)), ids: make(map[string]IDSource, len(cfg.Classes)),
		store: cfg.Store, committer: cfg.Committer, shardOf: cfg.ShardOf, log: cfg.Log,
		idleTimeout: cfg.IdleTimeout, maxActivations: cfg.MaxActivations, maxBytes: cfg.MaxBytes,
		events: &eventSink{cfg.Events}, gateways: newGateways(cfg.GatewayOver),
		began: time.Now(), closed: make(chan struct{}), wake: make(chan struct{}, 1), pulse: make(chan struct{}), table: make(map[ID]*activation),
		leaving: leaving{over: make(map[uint32]chan struct{})},
	}
	h.quarantines, h.ailment.tell, h.fault, h.alone = newQuarantines(), cfg.Ailing, cfg.fault, cfg.Alone
	if len(cfg.Secret) != IDSecretBytes {
		return nil, fmt.Errorf("actor: the ID secret has %d bytes, want %d", len(cfg.Secret), IDSecretBytes)
	}
	for name, class := range cfg.Classes {
		if class.New == nil {
			return nil, fmt.Errorf("actor: class %s has no constructor", name)
		}
		if class.HandlerTimeout <= 0 {
			class.HandlerTimeout = DefaultHandlerTimeout
		}
		if class.AlarmTimeout <= 0 {
			class.AlarmTimeout = DefaultAlarmTimeout
		}
		h.classes[name], h.ids[name] = class, NewIDSource(cfg.Secret, name)
	}
	if h.idleTimeout <= 0 {
		h.idleTimeout = DefaultIdleTimeout
	}
	if h.maxActivations <= 0 {
		h.maxActivations = DefaultMaxActivations
	}
	if h.maxBytes <= 0 {
		h.maxBytes = DefaultMaxBytes
	}
	h.maxKeys, h.maxKeyBytes = MaxRequestKeys, MaxRequestKeyBytes
	if h.keyTTL = cfg.KeyTTL; h.keyTTL <= 0 {
		h.keyTTL = DefaultKeyTTL
	}
	h.lru.init()
	h.router, h.turns, h.start = h, newTurns(), cfg.Start
	h.loop = newLoopGateway(h, cfg.Start<<1|1)
	h.gateways.add(h.loop.start, h.loop)
	h.clock = newAlarmClock(h)
	h.keySweeper = newKeySweeper(h)
	h.wg.Go(h.sweep)
	h.wg.Go(h.watchGateways)
	return h, nil
}

// AddGateway makes the sockets of a gateway reachable under its start number, in
// place of whoever had that number. Sockets of a gateway that is not known and is
// over are lost: their objects are told before their next event.
func (h *Host) AddGateway(start uint64, gateway Gateway) { h.gateways.add(start, gateway) }

// RemoveGateway ends that, unless another gateway has that number by now. The
// sockets stay open until Config.GatewayOver says that the gateway is over.
func (h *Host) RemoveGateway(start uint64, gateway Gateway) { h.gateways.remove(start, gateway) }

// Loop gives the gateway that holds the sockets which objects of this node have
// dialled, for whoever brings it frames from other nodes.
func (h *Host) Loop() (start uint64, gateway Gateway) { return h.loop.start, h.loop }

// IDs gives what makes and checks the IDs of a class.
func (h *Host) IDs(class string) (IDSource, bool) {
	ids, ok := h.ids[class]
	return ids, ok
}

// SetOwnership learns under which number this node owns a shard now; 0 = not
// any more. Activations under an older number are lost.
func (h *Host) SetOwnership(shard uint32, ownership uint64) {
	for _, act := range h.ofShard(shard) {
		if act.ownership != ownership {
			act.lose(ErrNotOwner, 0)
		}
	}
	h.mu.Lock()
	h.asleep.forget(shard) // when none of the old ones can be evicted any more
	h.mu.Unlock()
	h.leaving.end(shard)
	h.clock.times.own(shard, ownership != 0)
	h.keySweeper.times.own(shard, ownership != 0)
	h.gateways.tellEnded(func(id ID) bool { return h.shardOf(id) == shard })
}

// ofShard gives the activations of a shard's objects.
func (h *Host) ofShard(shard uint32) (all []*activation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, act := range h.table {
		if h.shardOf(id) == shard {
			all = append(all, act)
		}
	}
	return all
}

// AlarmSet learns that the Store has applied a batch that sets an alarm. It does not block.
func (h *Host) AlarmSet(shard uint32, due int64) { h.clock.times.set(shard, due) }

// target finds the class of an object that has a record.
func (h *Host) target(object ID) (Target, error) {
	h.mu.Lock()
	act := h.table[object]
	h.mu.Unlock()
	if act != nil {
		return act.target, nil
	}
	record, ok, err := h.store.Object(object)
	if err != nil {
		return Target{}, err
	}
	if !ok {
		return Target{}, fmt.Errorf("%w: object %s has no record", ErrUnknownClass, object)
	}
	return Target{Class: record.Class, ID: object, Name: record.Name}, nil
}

// deliver posts an event to the object's activation, which it starts if there is none.
func (h *Host) deliver(target Target, ev *event) (full <-chan struct{}, err error) {
	h.count(ev, 1)
	for {
		var act *activation
		var posted bool
		if act, posted, err = h.activation(target, ev); err != nil || posted {
			break
		}
		if full, err = act.post(ev); !errors.Is(err, errPostEnded) {
			break
		}
	}
	if err != nil {
		h.count(ev, -1)
	}
	return full, err
}

func (h *Host) count(ev *event, n int64) {
	h.bytes.Add(n * ev.size)
	if ev.kind != EventTask && h.pending.Add(n) == 0 {
		h.mu.Lock()
		h.quiet.broadcast()
		h.mu.Unlock()
	}
}

// begun counts an event that begins, or is over.
func (h *Host) begun(ev *event, n int64) {
	if ev.kind != EventTask {
		h.running.Add(n)
	}
}

// failed drops an event that was delivered and did not begin.
func (h *Host) failed(ev *event, cause error) {
	h.count(ev, -1)
	if ev.fail != nil {
		ev.fail(cause)
	}
}

// activation finds the object's activation or starts one, for the event first;
// posted says that first is in the mailbox then. first may be nil.
func (h *Host) activation(target Target, first *event) (act *activation, posted bool, err error) {
	class, ok := h.classes[target.Class]
	if !ok {
		return nil, false, ErrUnknownClass
	}
	ownership, err := h.committer.Ownership(target.ID)
	if err == nil && first != nil && first.under != 0 && first.under != ownership {
		err = ErrNotOwner
	}
	if err == nil && first != nil && first.fromClient() && h.leaving.of(h, target.ID) != nil {
		err = ErrNotOwner // its body took its time
	}
	if err == nil && (first == nil || first.kind != EventPardon) {
		err = h.quarantines.check(target.ID)
	}
	if err != nil {
		return nil, false, err
	}
	h.mu.Lock()
	prev := h.table[target.ID]
	if prev != nil {
		prev.mu.Lock()
		ended, stuck := prev.ended, prev.stuck != nil
		prev.mu.Unlock()
		switch {
		case !ended && prev.ownership == ownership:
			h.mu.Unlock()
			return prev, false, nil
		case !ended:
			h.mu.Unlock()
			prev.lose(ErrNotOwner, 0)
			return h.activation(target, first)
		case stuck:
			h.mu.Unlock()
			return nil, false, ErrStuck
		}
	}
	act, err = h.newLocked(target, class, ownership, prev, first)
	h.mu.Unlock()
	return act, err == nil && first != nil, err
}

// newLocked starts an activation. What it is started for is in its mailbox from
// the first moment on, so that it shares the fate of a start that fails.
func (h *Host) newLocked(target Target, class Class, ownership uint64, prev *activation, first *event) (*activation, error) {
	if h.ending {
		return nil, ErrClosing
	}
	if len(h.table) >= h.maxActivations && prev == nil && !h.evictOldestLocked() {
		return nil, ErrOverloaded
	}
	act := newActivation(h, target, class, ownership, prev)
	var heirs []*event
	if prev != nil {
		heirs = prev.bequeath()
		prev.lru.unlink()
	}
	start := &event{kind: EventStart, act: act, block: 1, posted: time.Now()}
	start.body = act.construct
	h.pending.Add(1)
	act.mu.Lock()
	act.holder = start
	act.mailbox++
	act.beginLocked(start)
	if first != nil {
		heirs = append(heirs, first)
	}
	for _, ev := range heirs {
		act.queueLocked(ev)
	}
	act.pardons = pardons(heirs)
	act.mu.Unlock()
	h.table[target.ID] = act
	h.asleep.wake(h.shardOf(target.ID), target.ID)
	if h.lru.empty() {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
	act.lru.used = time.Now()
	h.lru.pushBack(&act.lru)
	h.wg.Go(func() { act.start(start) })
	return act, nil
}

// run runs an event on a goroutine of its own.
func (h *Host) run(act *activation, ev *event) {
	h.wg.Go(func() { act.run(ev) })
}

// eventDone counts an event that is over and notes the use of its activation.
func (h *Host) eventDone(act *activation, ev *event) {
	now := time.Now()
	h.mu.Lock()
	if act.lru.prev != nil {
		act.lru.used = now
		h.lru.pushBack(&act.lru)
	}
	h.mu.Unlock()
	h.events.eventDone(ev.kind, ev.began.Sub(ev.posted), now.Sub(ev.began))
	h.count(ev, -1)
}

// remove takes a settled activation out of the table, unless the next one is there already.
func (h *Host) remove(act *activation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	act.lru.unlink()
	if h.table[act.target.ID] == act {
		delete(h.table, act.target.ID)
	}
}

// Close stops the host: new calls and messages are refused with ErrClosing, those
// under way, and what they call, may end until ctx does, then all activations end. What was sealed is still
// committed. It returns an error if a handler is still running then.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closing {
		h.mu.Unlock()
		return nil
	}
	h.closing = true
	close(h.closed)
	h.mu.Unlock()
	h.clock.times.close()
	h.keySweeper.times.close()
	h.awaitQuiet(ctx)
	h.mu.Lock()
	h.ending = true
	var all []*activation
	for _, act := range h.table {
		all = append(all, act)
	}
	h.mu.Unlock()
	for _, act := range all {
		act.end(ErrClosing, nil)
		select {
		case <-act.settled:
		case <-ctx.Done():
		}
	}
	over := make(chan struct{})
	go func() { h.wg.Wait(); close(over) }()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("actor: close: handlers still run: %w", context.Cause(ctx))
	}
}

func (h *Host) awaitQuiet(ctx context.Context) {
	for {
		h.mu.Lock()
		if h.pending.Load() == 0 {
			h.mu.Unlock()
			return
		}
		quiet := h.quiet.waitLocked()
		h.mu.Unlock()
		select {
		case <-quiet:
		case <-ctx.Done():
			return
		}
	}
}

// full says that the node holds as many bytes as it may.
func (h *Host) full() bool { return h.bytes.Load() >= h.maxBytes }

// age is a clock that only counts: it gives how long the host has been there.
func (h *Host) age() time.Duration { return time.Since(h.began) }

func (h *Host) isClosing() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}

func (h *Host) refused(err error) error {
	h.events.refused(err)
	return err
}
