package objects

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"

	"github.com/holdfast-dev/holdfast/actor"
)

// The queues of a coordinationService. Per queue there are two ranges of keys,
// with the name percent-encoded so that no name contains another's range:
//
//	item/<queue>/<rank>/<number>  an item: the first key is the first to be taken
//	count/<queue>/<rank>          how many items have that rank
//
// The counts tell an item's place without reading the items before it.

type queueItem struct {
	ID         string `json:"id"`
	Item       value  `json:"item"`
	EnqueuedAt int64  `json:"enqueuedAt"`
}

var errQueueRequest = &refusal{http.StatusBadRequest, "Queue name and item required"}

// rank turns a priority into 16 digits whose order is that of the queue.
func rank(priority float64) string {
	bits := math.Float64bits(priority + 0) // -0 is 0
	if bits>>63 == 0 {
		bits ^= math.MaxInt64 // the higher of two positive numbers comes first
	}
	return fmt.Sprintf("%016x", bits)
}

func (c *coordinationService) enqueue(r *http.Request) (any, error) {
	in, err := readObject(r)
	if err != nil {
		return nil, err
	}
	name, named := in.text("queueName")
	priority, ranked := in.number("priority")
	if in.get("priority") == nil {
		priority, ranked = 0, true
	}
	if !named || name == "" || in.get("item") == nil || !ranked {
		return nil, errQueueRequest
	}
	ctx := r.Context()
	name, place := url.PathEscape(name), rank(priority)
	item := queueItem{newUUID(), in.get("item"), now()}
	if err := actor.Put(ctx, c.storage, fmt.Sprintf("item/%s/%s/%016d", name, place, c.number+1), item); err != nil {
		return nil, asRefusal(err, errQueueRequest)
	}
	if _, err := c.newNumber(ctx); err != nil {
		return nil, err
	}
	upTo, length, err := c.count(ctx, name, place, 1)
	return struct {
		ItemID      string `json:"itemId"`
		Position    int64  `json:"position"`
		QueueLength int64  `json:"queueLength"`
	}{item.ID, upTo - 1, length}, err
}

func (c *coordinationService) dequeue(ctx context.Context, escapedName string) (any, error) {
	name, err := url.PathUnescape(escapedName)
	if err != nil {
		return nil, errNotFound
	}
	name = url.PathEscape(name)
	prefix := "item/" + name + "/"
	first, err := actor.List[queueItem](ctx, c.storage, actor.ListOptions{Prefix: prefix, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return struct {
			Item  value `json:"item"`
			Empty bool  `json:"empty"`
		}{nil, true}, nil
	}
	item := first[0].Value
	if _, err := c.storage.Delete(ctx, first[0].Key); err != nil {
		return nil, err
	}
	place := first[0].Key[len(prefix):][:16]
	_, length, err := c.count(ctx, name, place, -1)
	return struct {
		Item           value  `json:"item"`
		ItemID         string `json:"itemId"`
		WaitTime       int64  `json:"waitTime"`
		RemainingItems int64  `json:"remainingItems"`
	}{item.Item, item.ID, now() - item.EnqueuedAt, length}, err
}

// count changes the number of items of a rank. It tells how many items there are
// up to the end of that rank, and in the whole queue.
func (c *coordinationService) count(ctx context.Context, name, place string, change int64) (upTo, length int64, err error) {
	key := "count/" + name + "/" + place
	n, _, err := actor.Get[int64](ctx, c.storage, key)
	if err != nil {
		return 0, 0, err
	}
	if n += change; n > 0 {
		err = actor.Put(ctx, c.storage, key, n)
	} else {
		_, err = c.storage.Delete(ctx, key)
	}
	if err != nil {
		return 0, 0, err
	}
	counts, err := actor.List[int64](ctx, c.storage, actor.ListOptions{Prefix: "count/" + name + "/"})
	for _, entry := range counts {
		length += entry.Value
		if entry.Key <= key {
			upTo += entry.Value
		}
	}
	return upTo, length, err
}
