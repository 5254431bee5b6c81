// Package visits is the example of the README: a class in one file.
package visits

import (
	"context"
	"fmt"
	"net/http"

	"github.com/holdfast-dev/holdfast/actor"
)

// visits counts who comes to a page. There is one object for each page.
type visits struct {
	state *actor.State
	count int
}

// New brings a page's object to life: it loads what the object needs at every call.
func New(ctx context.Context, state *actor.State) (http.Handler, error) {
	count, _, err := actor.Get[int](ctx, state.Storage(), "count")
	return &visits{state: state, count: count}, err
}

// ServeHTTP handles one call. Nothing else runs in this object meanwhile, so it
// needs no lock, and the answer leaves when the count is durable.
func (v *visits) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := actor.Put(r.Context(), v.state.Storage(), "count", v.count+1); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	v.count++
	fmt.Fprintf(w, "You are visitor %d of %s.\n", v.count, v.state.Name())
}
