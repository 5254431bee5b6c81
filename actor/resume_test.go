package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

const (
	sessionKey  = "0123456789abcdef0123456789abcdef"
	sessionPath = "/join?user=ada&" + actor.SessionParameter + "=" + sessionKey
)

// hall is a class whose sockets have tags and attachments, and which tells all of
// them what it is told, after it wrote it down.
type hall struct {
	hold chan struct{} // /say?held waits for it

	mu      sync.Mutex
	queries []string // of the requests for sockets that it has seen
	ends    []string // close codes that it has heard
	texts   []string // messages, with the ID of their socket
}

func (h *hall) class() actor.Class {
	return behavior{
		serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
			var err error
			switch r.URL.Path {
			case "/flood": // more than is kept for a gateway, in one batch
				for range 90 {
					err = errors.Join(err, s.Storage().Put(r.Context(), "last", nil), s.Broadcast(r.Context(), actor.Message{Kind: actor.Text, Data: make([]byte, 100<<10)}, actor.BroadcastOptions{}))
				}
			case "/say":
				if err = s.Storage().Put(r.Context(), "last", []byte(r.URL.RawQuery)); err == nil {
					err = s.Broadcast(r.Context(), actor.Message{Kind: actor.Text, Data: []byte(r.URL.RawQuery)}, actor.BroadcastOptions{})
				}
				if r.URL.RawQuery == "held" {
					<-h.hold
				}
			case "/tell":
				all, _ := s.Sockets(r.Context(), "ada")
				if err = s.Storage().Put(r.Context(), "last", []byte(r.URL.RawQuery)); err == nil {
					err = all[0].SendText(r.Context(), r.URL.RawQuery)
				}
			case "/list":
				all, _ := s.Sockets(r.Context(), "")
				for _, socket := range all {
					note, _ := socket.Attachment(r.Context())
					fmt.Fprintf(w, "%s %q %s\n", socket.ID(), socket.Tags(), note)
				}
			default:
				h.mu.Lock()
				h.queries = append(h.queries, r.URL.RawQuery)
				h.mu.Unlock()
				_, err = s.AcceptSocket(w, r, actor.SocketOptions{Tags: []string{"ada"}, Attachment: []byte("note")})
			}
			if err != nil {
				fail(w, err)
			}
		},
		message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.texts = append(h.texts, text)
			return s.Storage().Put(ctx, "text", []byte(text))
		},
		closed: func(_ context.Context, _ *actor.State, _ *actor.Socket, info actor.CloseInfo) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.ends = append(h.ends, fmt.Sprint(info.Code))
			return nil
		},
	}.class()
}

func (h *hall) told() (queries, ends, texts []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.queries), slices.Clone(h.ends), slices.Clone(h.texts)
}

// inHall runs a test with two gateways of other nodes, of which those in over are over.
func inHall(t *testing.T, test func(b *bubble, h *hall, first, second *actortest.Gateway, over *atomic.Bool)) {
	t.Helper()
	h, over := new(hall), new(atomic.Bool)
	cfg := actor.Config{
		Classes:     map[string]actor.Class{"Thing": h.class()},
		GatewayOver: func(start uint64) bool { return start == 100 && over.Load() },
	}
	inBubbleWith(t, cfg, func(b *bubble) { test(b, h, b.OtherGateway(100), b.OtherGateway(200), over) })
}

// resumed is what a client finds that comes back after its gateway died: nil, or
// what is wrong.
func resumed(t *testing.T, prepare func(*actor.Host), restart bool) (err error) {
	t.Helper()
	inHall(t, func(b *bubble, h *hall, first, second *actortest.Gateway, over *atomic.Bool) {
		prepare(b.Host)
		old := first.Dial(b.thing, sessionPath)
		list := b.get("/list")
		b.Host.RemoveGateway(100, first)
		b.get("/say?one")
		b.get("/tell?two")
		if restart {
			b.Committer.NextOwnership()
		}
		over.Store(true)
		time.Sleep(20 * time.Second)
		b.get("/say?three")
		now, call := second.Begin(b.thing, sessionPath, nil)
		if err = call.Err(); err != nil {
			return
		}
		synctest.Wait()
		if got, want := now.Received(), []string{"one", "two", "three"}; !slices.Equal(got, want) {
			err = fmt.Errorf("the client that came back got %q, want %q", got, want)
			return
		}
		if got := header(call).Get(actor.SessionHeader); got != "resumed" {
			t.Errorf("%s = %q, want resumed", actor.SessionHeader, got)
		}
		if got := now.Tags(); !slices.Equal(got, []string{"ada"}) {
			t.Errorf("tags %q, want ada", got)
		}
		if got := b.get("/list"); got != list || !strings.Contains(got, old.ID().String()) {
			t.Errorf("sockets %q, want %q", got, list)
		}
		// Its messages count anew, and the object hears them; of the old connection none.
		for _, text := range []string{"a", "b"} {
			if err := now.Send(text); err != nil {
				t.Error(err)
			}
		}
		_ = old.Send("late")
		b.get("/say?four")
		synctest.Wait()
		time.Sleep(time.Minute)
		queries, ends, texts := h.told()
		if !slices.Equal(queries, []string{"user=ada"}) || len(ends) > 0 || !slices.Equal(texts, []string{"a", "b"}) {
			t.Errorf("the object saw requests %q, closes %q, messages %q, want one of user=ada, none, a and b", queries, ends, texts)
		}
		if got := now.Acked(); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("acknowledged %v, want 1 and 2", got)
		}
		if got := now.Received(); got[len(got)-1] != "four" {
			t.Errorf("received %q, want four at the end", got)
		}
	})
	return err
}

func header(c *actortest.Call) http.Header {
	resp, _, _ := c.Wait()
	return resp.Header
}

func TestResume(t *testing.T) {
	for _, restart := range []bool{false, true} {
		if err := resumed(t, func(*actor.Host) {}, restart); err != nil {
			t.Errorf("restart %v: %v", restart, err)
		}
	}
}

// A runtime that does not send what was missed is caught.
func TestResumeCatches(t *testing.T) {
	if err := resumed(t, func(h *actor.Host) { h.Break(actor.FaultForgotten) }, false); err == nil {
		t.Error("with what was missed forgotten: nil, want an error")
	}
}

// Without a resume the object hears of the end: at once if there is no session,
// else after 30 s, once.
func TestSessionsEnd(t *testing.T) {
	inHall(t, func(b *bubble, h *hall, first, _ *actortest.Gateway, over *atomic.Bool) {
		first.Dial(b.thing, sessionPath)
		first.Dial(b.thing, "/join")
		over.Store(true)
		b.Host.RemoveGateway(100, first)
		time.Sleep(2 * time.Second)
		if _, ends, _ := h.told(); !slices.Equal(ends, []string{"1006"}) {
			t.Errorf("after 2 s the object heard %q, want one 1006", ends)
		}
		time.Sleep(27 * time.Second)
		if _, ends, _ := h.told(); len(ends) != 1 {
			t.Errorf("after 29 s the object heard %q, want nothing of the session", ends)
		}
		time.Sleep(3 * time.Second)
		if _, ends, _ := h.told(); !slices.Equal(ends, []string{"1006", "1006"}) {
			t.Errorf("after 32 s the object heard %q, want two 1006", ends)
		}
		if got := b.get("/list"); got != "" {
			t.Errorf("sockets %q, want none", got)
		}
	})
}

// An object that is not in memory hears of the end 30 s after it was loaded again;
// until then the session can be resumed.
func TestSessionsEndAfterALoad(t *testing.T) {
	inHall(t, func(b *bubble, h *hall, first, second *actortest.Gateway, over *atomic.Bool) {
		first.Dial(b.thing, sessionPath)
		time.Sleep(10 * time.Minute) // it has left memory
		over.Store(true)
		b.Host.RemoveGateway(100, first)
		time.Sleep(10 * time.Minute)
		if got := b.get("/list"); got == "" {
			t.Error("the session ended with the load, want 30 s later")
		}
		time.Sleep(32 * time.Second)
		if _, ends, _ := h.told(); !slices.Equal(ends, []string{"1006"}) {
			t.Errorf("the object heard %q, want 1006", ends)
		}
		_, call := second.Begin(b.thing, sessionPath, nil)
		if err := call.Err(); err != nil || header(call).Get(actor.SessionHeader) != "new" {
			t.Errorf("a session that is over: %v, %s %q, want a new one", err, actor.SessionHeader, header(call).Get(actor.SessionHeader))
		}
	})
}

// Who comes back while the old connection is still there takes its place.
func TestResumeTakesOver(t *testing.T) {
	inHall(t, func(b *bubble, h *hall, first, second *actortest.Gateway, _ *atomic.Bool) {
		old := first.Dial(b.thing, sessionPath)
		now := second.Dial(b.thing, sessionPath)
		synctest.Wait()
		if info, ok := old.Closed(); !ok || info.Code != 1008 {
			t.Errorf("the old connection: closed %v, %v, want 1008", info, ok)
		}
		old.Close(actor.CloseInfo{Code: 1006}, nil) // it may tell its end as well
		b.get("/say?hello")
		synctest.Wait()
		if got := now.Received(); !slices.Equal(got, []string{"hello"}) {
			t.Errorf("received %q, want hello", got)
		}
		if _, ends, _ := h.told(); len(ends) > 0 {
			t.Errorf("the object heard %q, want no end", ends)
		}
	})
}

// Another path, and another key, are another session.
func TestSessionsDiffer(t *testing.T) {
	inHall(t, func(b *bubble, h *hall, first, _ *actortest.Gateway, _ *atomic.Bool) {
		first.Dial(b.thing, sessionPath)
		first.Dial(b.thing, strings.Replace(sessionPath, "/join", "/other", 1))
		first.Dial(b.thing, sessionPath+"x")
		if queries, _, _ := h.told(); len(queries) != 3 {
			t.Errorf("the object was asked %d times, want 3", len(queries))
		}
		for _, bad := range []string{"short", sessionKey + "&" + actor.SessionParameter + "=" + sessionKey, strings.Repeat("a", 65), sessionKey + "%20"} {
			_, call := first.Begin(b.thing, "/join?"+actor.SessionParameter+"="+bad, nil)
			b.wantErr(call, bad, actor.ErrSession)
		}
	})
}

// Frames that were dropped because a gateway was too far behind end the session with
// the very batch that drops them: a client that comes back before the object has
// heard of the end, or to the next owner, does not go on with a gap.
func TestResumeNeverAfterACut(t *testing.T) {
	for _, next := range []bool{false, true} {
		t.Run(fmt.Sprint("next owner: ", next), func(t *testing.T) {
			inHall(t, func(b *bubble, h *hall, first, second *actortest.Gateway, _ *atomic.Bool) {
				h.hold = make(chan struct{})
				first.Dial(b.thing, sessionPath)
				b.Host.RemoveGateway(100, first)
				b.get("/flood")
				cut := b.begin("/say?held", "")
				synctest.Wait()
				var call *actortest.Call
				if !next { // its event is before that of the close
					_, call = second.Begin(b.thing, sessionPath, nil)
					synctest.Wait()
				}
				close(h.hold)
				if err := cut.Err(); err != nil {
					t.Fatal(err)
				}
				if next {
					b.Committer.NextOwnership()
					_, call = second.Begin(b.thing, sessionPath, nil)
				}
				if err := call.Err(); err != nil || header(call).Get(actor.SessionHeader) != "new" {
					t.Errorf("after a cut: %v, %s %q, want a new session", err, actor.SessionHeader, header(call).Get(actor.SessionHeader))
				}
				time.Sleep(5 * time.Second)
				// The earlier owner may have told it, too: to no effect.
				if _, ends, _ := h.told(); len(ends) != 1 && (!next || len(ends) != 2) {
					t.Errorf("the object heard the ends %v, want one", ends)
				}
			})
		})
	}
}
