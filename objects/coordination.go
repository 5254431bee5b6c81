package objects

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	defaultLockLife = 30_000.0                                   // milliseconds
	maxLockLife     = float64(24 * time.Hour / time.Millisecond) // milliseconds
)

// coordinationService gives out locks that expire by themselves, and keeps
// queues in which items with a higher priority come first.
//
//	POST   /lock         {"key":…,"ownerId":…,"ttl":milliseconds}  {"acquired":…}
//	DELETE /lock/{key}   {"ownerId":…}  {"released":true}
//	GET    /locks        {"locks":[…]}
//	POST   /queue        {"queueName":…,"item":…,"priority":number}  {"itemId":…}
//	GET    /queue/{name} takes the first item
//
// Storage: "lock/<key>" and its entry in the deadlines; an item and the number of
// items as keys of queue.go; "number" counts locks and items, for their order.
type coordinationService struct {
	storage   *actor.Storage
	deadlines deadlines
	number    int64 // of the newest lock or item
}

type lock struct {
	LockID     string `json:"lockId"`
	Key        string `json:"key"`
	OwnerID    value  `json:"ownerId"`
	AcquiredAt int64  `json:"acquiredAt"`
	ExpiresAt  int64  `json:"expiresAt"`
	Number     int64  `json:"number"` // locks are listed in this order
}

// held says whether the lock has an owner now.
func (l lock) held() bool { return now() < l.ExpiresAt }

func (l lock) ownedBy(owner string) bool {
	is, _ := textOf(l.OwnerID)
	return is == owner
}

func (l lock) deadline() deadline { return deadline{l.ExpiresAt, l.Key} }

var (
	errLockRequest = &refusal{http.StatusBadRequest, "Key and ownerId required"}
	errNoLock      = &refusal{http.StatusNotFound, "Lock not found"}
	errNotOwner    = &refusal{http.StatusForbidden, "Not lock owner"}
)

func newCoordinationService(ctx context.Context, state *actor.State) (http.Handler, error) {
	storage := state.Storage()
	number, _, err := actor.Get[int64](ctx, storage, "number")
	return &coordinationService{storage, deadlines{storage}, number}, err
}

// ServeHTTP implements http.Handler.
func (c *coordinationService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	respond(w, r, c.route)
}

func (c *coordinationService) route(r *http.Request) (any, error) {
	path := r.URL.EscapedPath()
	lockKey, isLock := pathItem(path, "/lock/")
	queueName, isQueue := pathItem(path, "/queue/")
	switch {
	case r.Method == http.MethodPost && path == "/lock":
		return c.acquire(r)
	case r.Method == http.MethodDelete && isLock:
		return c.release(r, lockKey)
	case r.Method == http.MethodGet && path == "/locks":
		return c.list(r.Context())
	case r.Method == http.MethodPost && path == "/queue":
		return c.enqueue(r)
	case r.Method == http.MethodGet && isQueue:
		return c.dequeue(r.Context(), queueName)
	}
	return nil, errNotFound
}

// newNumber gives the next number of a lock or item.
func (c *coordinationService) newNumber(ctx context.Context) (int64, error) {
	c.number++
	return c.number, actor.Put(ctx, c.storage, "number", c.number)
}

type acquireAnswer struct {
	Acquired  bool   `json:"acquired"`
	LockID    string `json:"lockId,omitempty"`
	HeldBy    value  `json:"heldBy,omitempty"`
	ExpiresAt int64  `json:"expiresAt"`
	Extended  bool   `json:"extended,omitempty"`
}

func (c *coordinationService) acquire(r *http.Request) (any, error) {
	in, err := readObject(r)
	if err != nil {
		return nil, err
	}
	key, keyed := in.text("key")
	owner, owned := in.text("ownerId")
	life, timed := in.number("ttl")
	if in.get("ttl") == nil {
		life, timed = defaultLockLife, true
	}
	if !keyed || !owned || key == "" || owner == "" || !timed || life <= 0 || life > maxLockLife {
		return nil, errLockRequest
	}
	ctx := r.Context()
	old, there, err := actor.Get[lock](ctx, c.storage, "lock/"+key)
	if err != nil {
		return nil, asRefusal(err, errLockRequest)
	}
	at := now()
	l := old
	l.ExpiresAt = at + int64(math.Ceil(life))
	switch {
	case !there || !old.held():
		l = lock{newUUID(), key, in.get("ownerId"), at, l.ExpiresAt, 0}
	case !old.ownedBy(owner):
		return acquireAnswer{HeldBy: old.OwnerID, ExpiresAt: old.ExpiresAt}, nil
	}
	answer := acquireAnswer{Acquired: true, LockID: l.LockID, ExpiresAt: l.ExpiresAt, Extended: l.LockID == old.LockID}
	return answer, c.keep(ctx, l, old)
}

// keep stores a lock in place of an old one, if there was one.
func (c *coordinationService) keep(ctx context.Context, l, old lock) (err error) {
	// The longest of the keys comes first: if it is too long nothing is written.
	if err := c.deadlines.add(ctx, l.deadline()); err != nil {
		return asRefusal(err, errLockRequest)
	}
	if old.LockID != "" && old.ExpiresAt != l.ExpiresAt {
		if err := c.deadlines.remove(ctx, old.deadline()); err != nil {
			return err
		}
	}
	if l.Number == 0 {
		if l.Number, err = c.newNumber(ctx); err != nil {
			return err
		}
	}
	if err := actor.Put(ctx, c.storage, "lock/"+l.Key, l); err != nil {
		return err
	}
	return c.deadlines.arm(ctx)
}

func (c *coordinationService) release(r *http.Request, escapedKey string) (any, error) {
	in, err := readObject(r)
	if err != nil {
		return nil, err
	}
	key, err := url.PathUnescape(escapedKey)
	if err != nil || key == "" {
		return nil, errNoLock
	}
	ctx := r.Context()
	l, ok, err := actor.Get[lock](ctx, c.storage, "lock/"+key)
	if err != nil {
		return nil, asRefusal(err, errNoLock)
	}
	if !ok || !l.held() {
		return nil, errNoLock
	}
	if owner, ok := in.text("ownerId"); !ok || !l.ownedBy(owner) {
		return nil, errNotOwner
	}
	if err := c.forget(ctx, l.deadline()); err != nil {
		return nil, err
	}
	return struct {
		Released bool `json:"released"`
	}{true}, c.deadlines.arm(ctx)
}

// forget deletes a lock and its deadline.
func (c *coordinationService) forget(ctx context.Context, d deadline) error {
	if _, err := c.storage.Delete(ctx, "lock/"+d.name); err != nil {
		return err
	}
	return c.deadlines.remove(ctx, d)
}

type lockEntry struct {
	Key          string `json:"key"`
	OwnerID      value  `json:"ownerId"`
	AcquiredAt   int64  `json:"acquiredAt"`
	ExpiresAt    int64  `json:"expiresAt"`
	RemainingTTL int64  `json:"remainingTtl"`
}

func (c *coordinationService) list(ctx context.Context) (any, error) {
	var held []lock
	for l, err := range scan[lock](ctx, c.storage, actor.ListOptions{Prefix: "lock/"}) {
		if err != nil {
			return nil, err
		}
		if l.Value.held() {
			held = append(held, l.Value)
		}
	}
	slices.SortFunc(held, func(a, b lock) int { return cmp.Compare(a.Number, b.Number) })
	entries := make([]lockEntry, len(held))
	for i, l := range held {
		entries[i] = lockEntry{l.Key, l.OwnerID, l.AcquiredAt, l.ExpiresAt, l.ExpiresAt - now()}
	}
	return struct {
		Locks []lockEntry `json:"locks"`
	}{entries}, nil
}

// Alarm implements actor.Alarmer: it deletes locks that have expired.
func (c *coordinationService) Alarm(ctx context.Context, _ actor.AlarmInfo) error {
	due, err := c.deadlines.first(ctx, maxDeadlinesPerRun)
	if err != nil {
		return err
	}
	for _, d := range due {
		if d.at > now() {
			break
		}
		if err := c.forget(ctx, d); err != nil {
			return err
		}
	}
	return c.deadlines.arm(ctx)
}
