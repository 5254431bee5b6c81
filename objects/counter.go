package objects

import (
	"context"
	"net/http"

	"github.com/holdfast-dev/holdfast/actor"
)

// counter is one number.
//
//	any method  /increment  {"value":n+1}
//	any method  /get        {"value":n}
//	any method  /reset      {"value":0}
//
// Storage: "value".
type counter struct {
	storage *actor.Storage
	value   int64
}

func newCounter(ctx context.Context, state *actor.State) (http.Handler, error) {
	value, _, err := actor.Get[int64](ctx, state.Storage(), "value")
	if err != nil {
		return nil, err
	}
	return &counter{storage: state.Storage(), value: value}, nil
}

// ServeHTTP implements http.Handler.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) { respond(w, r, c.route) }

func (c *counter) route(r *http.Request) (any, error) {
	switch r.URL.EscapedPath() {
	case "/increment":
		return c.set(r.Context(), c.value+1)
	case "/get":
		return counterAnswer{c.value}, nil
	case "/reset":
		return c.set(r.Context(), 0)
	}
	return nil, errNotFound
}

type counterAnswer struct {
	Value int64 `json:"value"`
}

func (c *counter) set(ctx context.Context, value int64) (any, error) {
	if err := actor.Put(ctx, c.storage, "value", value); err != nil {
		return nil, err
	}
	c.value = value
	return counterAnswer{value}, nil
}
