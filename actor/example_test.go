package actor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// Poll is an object: one question, votes, and sockets that watch. It closes a
// day after its first vote.
type Poll struct {
	state *actor.State
	votes map[string]int // what the storage has, read at the start
}

// NewPoll is the constructor of the class. It runs before any event.
func NewPoll(ctx context.Context, state *actor.State) (http.Handler, error) {
	p := &Poll{state: state, votes: make(map[string]int)}
	entries, err := actor.List[int](ctx, state.Storage(), actor.ListOptions{Prefix: "vote:"})
	for _, e := range entries {
		p.votes[strings.TrimPrefix(e.Key, "vote:")] = e.Value
	}
	return p, err
}

// ServeHTTP answers one call at a time, so it needs no lock. The answer leaves
// when the vote is durable; the watchers hear of it then too, not before.
func (p *Poll) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method + " " + r.URL.Path {
	case "GET /":
		err = json.NewEncoder(w).Encode(p.votes)
	case "GET /watch":
		_, err = p.state.AcceptSocket(w, r, actor.SocketOptions{})
	case "POST /vote":
		err = p.vote(r.Context(), r.FormValue("for"))
	default:
		http.NotFound(w, r)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (p *Poll) vote(ctx context.Context, choice string) error {
	st := p.state.Storage()
	if closed, _, err := actor.Get[bool](ctx, st, "closed"); err != nil || closed {
		return errors.Join(err, errors.New("the poll is closed"))
	}
	if len(p.votes) == 0 {
		if err := st.SetAlarm(ctx, time.Now().Add(24*time.Hour)); err != nil {
			return err
		}
	}
	// All three are one step: nobody sees one without the others.
	if err := actor.Put(ctx, st, "vote:"+choice, p.votes[choice]+1); err != nil {
		return err
	}
	p.votes[choice]++
	return p.tell(ctx, choice)
}

// Alarm closes the poll, even if the node was down at that time.
func (p *Poll) Alarm(ctx context.Context, _ actor.AlarmInfo) error {
	if err := actor.Put(ctx, p.state.Storage(), "closed", true); err != nil {
		return err
	}
	return p.tell(ctx, "closed")
}

func (p *Poll) tell(ctx context.Context, text string) error {
	return p.state.Broadcast(ctx, actor.Message{Kind: actor.Text, Data: []byte(text)}, actor.BroadcastOptions{})
}

// A class is a constructor and, if need be, a few settings.
func Example() {
	classes := map[string]actor.Class{
		"Poll": {New: NewPoll, HandlerTimeout: 5 * time.Second},
	}
	_ = classes // for actor.Config
}

// A call to another service is an outside wait: other events of the object run
// meanwhile, so what was read before may have changed.
func ExampleState_Outside() {
	_ = func(ctx context.Context, state *actor.State, url string) error {
		var status int
		err := state.Outside(ctx, func(context.Context) error {
			resp, err := http.Get(url) //nolint:gosec // an example
			if err == nil {
				status = resp.StatusCode
				err = resp.Body.Close()
			}
			return err
		})
		if err != nil {
			return err
		}
		return actor.Put(ctx, state.Storage(), "status", status)
	}
}

// A transaction is undone as a whole when its function returns an error.
func ExampleStorage_Transaction() {
	_ = func(ctx context.Context, state *actor.State, from, to string, amount int) error {
		return state.Storage().Transaction(ctx, func(ctx context.Context, tx *actor.Transaction) error {
			has, _, err := actor.Get[int](ctx, tx, from)
			if err != nil {
				return err
			}
			gets, _, err := actor.Get[int](ctx, tx, to)
			if err != nil {
				return err
			}
			if err := actor.Put(ctx, tx, to, gets+amount); err != nil {
				return err
			}
			if has < amount {
				return errors.New("not enough") // takes back the line above
			}
			return actor.Put(ctx, tx, from, has-amount)
		})
	}
}

func TestTheExampleWorks(t *testing.T) {
	inBubble(t, actor.Class{New: NewPoll}, func(b *bubble) {
		watcher := b.NewGateway().Dial(b.thing, "/watch")
		for _, choice := range []string{"tea", "coffee", "tea"} {
			b.wantBody(b.begin("/vote?for="+choice, ""), "a vote", "")
		}
		want(t, "the result", b.get("/"), `{"coffee":1,"tea":2}`+"\n")
		pass(25 * time.Hour)
		want(t, "the result after a day", b.get("/"), `{"coffee":1,"tea":2}`+"\n")
		resp, body, err := b.begin("/vote?for=tea", "").Wait()
		if err != nil || resp.StatusCode != http.StatusBadRequest || body != "the poll is closed\n" {
			t.Errorf("a late vote = %d %q, %v, want 400", resp.StatusCode, body, err)
		}
		synctest.Wait()
		wantReceived(t, watcher, "tea coffee tea closed")
	})
}
