package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// hop is a gateway with a router and one peer, over memory connections.
type hop struct {
	router *Router
	server *PeerServer
	here   *funcLocal
	there  *funcLocal
	owners *fixedResolver

	mu    sync.Mutex // guards conns
	conns []net.Conn
	down  bool
}

// funcLocal is a node's runtime made of a function.
type funcLocal struct {
	ids      actor.IDSource
	dispatch func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error
}

func (l *funcLocal) IDs(class string) (actor.IDSource, bool) { return l.ids, class == "C" }

func (l *funcLocal) Dispatch(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
	return l.dispatch(w, r, target, socket)
}

func (l *funcLocal) Message(context.Context, actor.ID, actor.SocketID, uint64, actor.Message) error {
	return nil
}

func (l *funcLocal) SocketClosed(actor.ID, actor.SocketID, actor.CloseInfo, error) {}

// fixedResolver says what it was told.
type fixedResolver struct {
	holders []string // fixed before the first call

	mu      sync.Mutex // guards the following fields
	owner   Owner
	ok      bool
	changed chan struct{}
}

func (f *fixedResolver) Holders(actor.ID) []string { return f.holders }

func (f *fixedResolver) Owner(actor.ID) (Owner, bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.owner, f.ok, f.changed
}

func (f *fixedResolver) set(owner Owner, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owner, f.ok = owner, ok
	close(f.changed)
	f.changed = make(chan struct{})
}

func newHop(t *testing.T) *hop {
	t.Helper()
	ids := actor.NewIDSource([]byte("secret"), "C")
	refuse := func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error { return actor.ErrNotOwner }
	h := &hop{
		here: &funcLocal{ids, refuse}, there: &funcLocal{ids, refuse},
		owners: &fixedResolver{owner: Owner{Node: "b"}, ok: true, changed: make(chan struct{})},
	}
	server := NewPeerServer(h.there, slog.New(slog.DiscardHandler))
	peers := NewPeers(func(_ context.Context, node string) (net.Conn, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.down || node != "b" {
			return nil, errors.New("no route")
		}
		mine, theirs := net.Pipe()
		h.conns = append(h.conns, mine, theirs)
		server.Accept(theirs)
		return mine, nil
	})
	h.router, h.server = NewRouter(h.here, h.owners, peers), server
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(); err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	t.Cleanup(func() {
		peers.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		h.cut()
		wg.Wait()
	})
	return h
}

// cut breaks all connections.
func (h *hop) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		c.Close()
	}
}

func (h *hop) call(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	id, err := h.here.ids.Named("ä/b")
	if err != nil {
		return nil, err
	}
	err = h.router.Dispatch(w, r, actor.Target{Class: "C", ID: id, Name: "ä/b"}, actor.SocketID{})
	return w.Result(), err
}

func TestForwardCarriesTheWholeCall(t *testing.T) {
	h := newHop(t)
	h.there.dispatch = func(w http.ResponseWriter, r *http.Request, target actor.Target, _ actor.SocketID) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		got := fmt.Sprintf("%s %s %s %s %q %s %s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, body, r.Header["X"], target.Name)
		for key := range r.Header {
			if strings.HasPrefix(key, "Holdfast-") {
				got += " leaked " + key
			}
		}
		w.Header().Set("Trailer", "T")
		w.Header()["X-Answer"] = []string{"1", "2"}
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, got)
		w.Header().Set("T", "end")
		return nil
	}
	r := httptest.NewRequest("PATCH", "/a%2Fb/c?x=1;2", strings.NewReader("body"))
	r.Host = "chat.example"
	r.Header["X"] = []string{"p", "q"}
	r.Header.Set(headerObject, "forged")
	r.Header.Set(headerError, "forged")
	resp, err := h.call(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if want := `PATCH /a%2Fb/c x=1;2 chat.example "body" [p q] ä/b`; string(body) != want {
		t.Errorf("the owner saw %s, want %s", body, want)
	}
	if resp.StatusCode != http.StatusTeapot || !slices.Equal(resp.Header["X-Answer"], []string{"1", "2"}) {
		t.Errorf("answer = %d %v, want 418 and X-Answer 1, 2", resp.StatusCode, resp.Header)
	}
	if resp.Trailer.Get("T") != "end" {
		t.Errorf("trailer = %v, want T: end", resp.Trailer)
	}
}

func TestForwardStreamsBothWays(t *testing.T) {
	h := newHop(t)
	h.there.dispatch = func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
		buf := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, buf); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			w.Write(bytes.ToUpper(buf))
			w.(http.Flusher).Flush()
		}
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		id, _ := h.here.ids.Named("x")
		if err := h.router.Dispatch(w, r, actor.Target{Class: "C", ID: id}, actor.SocketID{}); err != nil {
			t.Error(err)
		}
	}))
	defer front.Close()
	in, out := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", front.URL, in)
	go out.Write([]byte("ping")) // read by the client's transport before it has an answer
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 4)
	for _, word := range []string{"PING", "PONG"} {
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != word {
			t.Fatalf("read %q, %v, want %s", got, err, word)
		}
		if word == "PING" {
			out.Write([]byte("pong"))
		}
	}
	out.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("rest = %q, %v, want none", rest, err)
	}
}

func TestForwardSendsAgainWhatCertainlyDidNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		refusals := 3
		h.there.dispatch = func(_ http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
			io.ReadAll(r.Body)
			if refusals--; refusals == 0 {
				h.owners.set(Owner{Node: "a", Local: true}, true)
			}
			return actor.ErrNotOwner
		}
		h.here.dispatch = func(w http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
			_, err := io.Copy(w, r.Body)
			return err
		}
		resp, err := h.call(httptest.NewRequest("POST", "/", strings.NewReader("once")))
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != "once" || refusals != 0 {
			t.Errorf("body = %q after %d refusals left, want once, 0", body, refusals)
		}
	})
}

func TestForwardWaitsForAnOwnerAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		h.owners.set(Owner{}, false)
		began := time.Now()
		if _, err := h.call(httptest.NewRequest("GET", "/", nil)); !errors.Is(err, actor.ErrNotOwner) || time.Since(began) != ownerWait {
			t.Errorf("without an owner: %v after %v, want ErrNotOwner after %v", err, time.Since(began), ownerWait)
		}
		h.owners.set(Owner{Node: "b"}, true)
		h.down = true
		began = time.Now()
		if _, err := h.call(httptest.NewRequest("GET", "/", nil)); !errors.Is(err, actor.ErrNotOwner) || time.Since(began) != ownerWait {
			t.Errorf("with an unreachable owner: %v after %v, want ErrNotOwner after %v", err, time.Since(began), ownerWait)
		}
	})
}

// A guess that stays wrong does not keep a call from the owner.
func TestForwardAsksTheHoldersInTheEnd(t *testing.T) {
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h := newHop(t)
			h.owners.holders = []string{"a", "b"}
			h.owners.set(Owner{Node: "c"}, known)
			h.there.dispatch = func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
				w.WriteHeader(http.StatusNoContent)
				return nil
			}
			began := time.Now()
			if resp, err := h.call(httptest.NewRequest("GET", "/", nil)); err != nil || time.Since(began) > ownerWait/10 {
				t.Errorf("owner guessed: %v: %v, %v after %v, want an answer of b within %v", known, resp.StatusCode, err, time.Since(began), ownerWait/10)
			}
		})
	}
}

// What an object says in its head is never taken for the word of its node.
func TestForwardedAnswerIsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		runs := 0
		h.there.dispatch = func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
			runs++
			w.Header().Set("Holdfast-Error", "not_owner")
			w.Header().Set("Holdfast-Switch", "websocket")
			w.WriteHeader(http.StatusTeapot)
			return nil
		}
		if resp, err := h.call(httptest.NewRequest("POST", "/", nil)); err != nil || resp.StatusCode != http.StatusTeapot || runs != 1 {
			t.Errorf("call = %v, %v after %d runs, want 418 after 1", resp.StatusCode, err, runs)
		}
	})
}

func TestForwardThatBreaksIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		runs := 0
		h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			runs++
			h.cut()
			return nil
		}
		_, err := h.call(httptest.NewRequest("POST", "/", nil))
		if !errors.Is(err, actor.ErrOutcomeUnknown) || runs != 1 {
			t.Errorf("call = %v after %d runs, want ErrOutcomeUnknown after 1", err, runs)
		}
	})
}

func TestForwardCarriesErrors(t *testing.T) {
	h := newHop(t)
	for _, want := range peerWords() {
		if want.word == "not_owner" || want.word == "closing" {
			continue // another owner is looked for
		}
		h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
			return fmt.Errorf("%w: somewhere", want.err)
		}
		if _, err := h.call(httptest.NewRequest("GET", "/", nil)); problemOf(err) != problemOf(want.err) {
			t.Errorf("error %s arrives as %v", want.word, err)
		}
	}
	h.there.dispatch = func(http.ResponseWriter, *http.Request, actor.Target, actor.SocketID) error {
		return &actor.FaultError{ID: "0123"}
	}
	var fault *actor.FaultError
	if _, err := h.call(httptest.NewRequest("GET", "/", nil)); !errors.As(err, &fault) || fault.ID != "0123" {
		t.Errorf("a fault arrives as %v, want its ID", err)
	}
	if err := errorOfPeer("a word of a later version"); !errors.Is(err, actor.ErrOutcomeUnknown) {
		t.Errorf("an unknown word is %v, want ErrOutcomeUnknown", err)
	}
}

func TestForwardedSocketIsAnsweredWith101(t *testing.T) {
	h := newHop(t)
	socket := actor.NewSocketID(7, 9)
	h.there.dispatch = func(w http.ResponseWriter, r *http.Request, _ actor.Target, got actor.SocketID) error {
		if got != socket || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
			t.Errorf("the owner saw socket %v, header %v", got, r.Header)
		}
		w.Header().Set("Sec-Websocket-Protocol", "chat")
		w.WriteHeader(http.StatusSwitchingProtocols)
		return nil
	}
	id, _ := h.here.ids.Named("x")
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	a := &answer{ResponseWriter: httptest.NewRecorder()}
	if err := h.router.Dispatch(a, r, actor.Target{Class: "C", ID: id}, socket); err != nil {
		t.Fatal(err)
	}
	if !a.switched || a.Header().Get("Sec-Websocket-Protocol") != "chat" {
		t.Errorf("switched %v, header %v, want true and the protocol", a.switched, a.Header())
	}
}

func TestForwardEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHop(t)
		left := make(chan struct{})
		h.there.dispatch = func(_ http.ResponseWriter, r *http.Request, _ actor.Target, _ actor.SocketID) error {
			<-r.Context().Done()
			close(left)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := h.call(httptest.NewRequestWithContext(ctx, "GET", "/", nil)); !errors.Is(err, actor.ErrCallerLeft) {
			t.Errorf("call of a client that left = %v, want ErrCallerLeft", err)
		}
		<-left
	})
}
