package transport

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// mapHints is what a node knows of owners.
type mapHints struct {
	own   string // the node's name
	hint  Hint
	asked int // hints that were learnt
}

func (m *mapHints) Hint(actor.ID) (Hint, bool) { return m.hint, m.hint.Node != "" }

func (m *mapHints) Learn(_ actor.ID, hint Hint) (Owner, bool) {
	m.asked++
	if hint.Ownership > m.hint.Ownership {
		m.hint = hint
	}
	return Owner{Node: hint.Node, Local: hint.Node == m.own}, true
}

// A stale hint costs one more try, and no time, if the asked node knows better.
func TestAStaleHintCostsOneTry(t *testing.T) {
	for name, closing := range map[string]error{"another's": actor.ErrNotOwner, "of a node that stops": actor.ErrClosing} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHop(t)
				hints := &mapHints{own: "a"}
				h.router.UseHints(hints)
				h.server.UseHints(&mapHints{own: "b", hint: Hint{Node: "a", Ownership: 7}})
				tries, runs := 0, 0
				h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
					tries++
					return closing
				}
				h.here.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
					runs++
					return nil
				}
				began := time.Now()
				if _, err := h.call(httptest.NewRequest("POST", "/", nil)); err != nil {
					t.Fatal(err)
				}
				if tries != 1 || runs != 1 || time.Since(began) != 0 || hints.hint.Ownership != 7 {
					t.Errorf("%d tries, %d runs in %v, learnt %v; want 1, 1 in no time, the hint", tries, runs, time.Since(began), hints.hint)
				}
			})
		})
	}
}

// Two nodes that each take the other for the owner are not asked in turn without end.
func TestHintsThatPointAtEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.router.UseHints(&mapHints{own: "a"})
		h.server.UseHints(&mapHints{own: "b", hint: Hint{Node: "a", Ownership: 7}})
		tries := 0
		refuse := func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			tries++
			return actor.ErrNotOwner
		}
		h.here.dispatch, h.there.dispatch = refuse, refuse
		began := time.Now()
		_, err := h.call(httptest.NewRequest("GET", "/", nil))
		if !errors.Is(err, actor.ErrNotOwner) || time.Since(began) != ownerWait {
			t.Errorf("call = %v after %v, want ErrNotOwner after %v", err, time.Since(began), ownerWait)
		}
		if most := int(ownerWait/ownerPause) + 2; tries > most {
			t.Errorf("%d tries, want at most %d", tries, most)
		}
	})
}

func TestNoOwnerIsAnswered503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.owners.set(Owner{}, false)
		_, err := h.call(httptest.NewRequest("GET", "/", nil))
		w := httptest.NewRecorder()
		writeError(w, httptest.NewRequest("GET", "/", nil), slog.New(slog.DiscardHandler), err)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("without an owner: %d, Retry-After %q, want 503 and a time", w.Code, w.Header().Get("Retry-After"))
		}
	})
}

func FuzzPeerHeaders(f *testing.F) {
	f.Add(formatPlace(actor.Place{Start: 1, Stub: 2, Number: 4, Base: 3}))
	f.Add(formatHint(Hint{Node: "node-1", Ownership: 9}))
	f.Add("1 2 3 4 5")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parsePlace(text); err == nil {
			if again, err := parsePlace(formatPlace(p)); err != nil || again != p {
				t.Errorf("parsePlace(formatPlace(%+v)) = %+v, %v", p, again, err)
			}
		} else if !errors.Is(err, actor.ErrRefused) {
			t.Errorf("parsePlace(%q) = %v, want ErrRefused", text, err)
		}
		if h, ok := parseHint(text); ok {
			if again, ok := parseHint(formatHint(h)); !ok || again != h {
				t.Errorf("parseHint(formatHint(%+v)) = %+v, %t", h, again, ok)
			}
		}
	})
}
