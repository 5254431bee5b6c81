package transport

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// A node that is frozen breaks no connection. Its callers are told that nobody
// knows, soon after another node has become the owner, and not before.
func TestCallToAFrozenOwnerEndsWithTheOwnership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		var runs atomic.Int64
		awake := make(chan struct{})
		defer close(awake)
		h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			runs.Add(1)
			<-awake
			return actor.ErrCallerLeft
		}
		frozen := 10 * time.Second
		time.AfterFunc(frozen-5*time.Second, func() { h.owners.set(Owner{}, false) }) // alone it proves nothing
		time.AfterFunc(frozen, func() { h.owners.set(Owner{Node: "c"}, true) })
		began := time.Now()
		_, err := h.call(httptest.NewRequest("POST", "/", nil))
		took := time.Since(began)
		synctest.Wait()
		if !errors.Is(err, actor.ErrOutcomeUnknown) || runs.Load() != 1 || took < frozen+overtakenLook || took > frozen+2*overtakenLook {
			t.Errorf("call = %v after %v and %d runs, want ErrOutcomeUnknown %v to %v after the new owner, at %v, and 1 run",
				err, took, runs.Load(), overtakenLook, 2*overtakenLook, frozen)
		}
	})
}

// An owner that has come back is waited for.
func TestCallOutlastsADoubtAboutItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.there.dispatch = func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
			time.Sleep(overtakenLook / 2)
			for range 4 { // each look finds another owner than the one before
				h.owners.set(Owner{Node: "c"}, true)
				time.Sleep(overtakenLook)
				h.owners.set(Owner{Node: "b"}, true)
				time.Sleep(overtakenLook)
			}
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		if resp, err := h.call(httptest.NewRequest("POST", "/", nil)); err != nil || resp.StatusCode != http.StatusNoContent {
			t.Errorf("call = %v, %v, want 204", resp.StatusCode, err)
		}
	})
}

// A call that was refused asks other nodes too. If one of them is frozen it must
// not wait for ever, though the owner that was known before stays the same.
func TestCallToAFrozenBystanderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.owners.set(Owner{Node: "c"}, true)
		o := &overtaken{resolver: h.owners}
		ctx, done := o.watch(t.Context(), actor.ID{}, "b")
		defer done()
		began := time.Now()
		limit := time.NewTimer(time.Minute)
		defer limit.Stop()
		select {
		case <-ctx.Done():
		case <-limit.C:
			t.Fatal("it still waits after a minute")
		}
		if took := time.Since(began); !errors.Is(context.Cause(ctx), errOvertaken) || took < 8*overtakenLook || took > 5*time.Second {
			t.Errorf("the call ended with %v after %v, want %v after some seconds", context.Cause(ctx), took, errOvertaken)
		}
	})
}
