package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/placement"
)

// Times of the bomb: it runs for long, and the crash is in the middle.
const (
	bombRuns  = 2 * time.Second
	bombFalls = 700 * time.Millisecond
)

// newBomb makes a class whose calls to /tick take their time. That the process
// ends meanwhile is the test's part.
func newBomb() actor.Class {
	return actor.Class{New: func(context.Context, *actor.State) (http.Handler, error) {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/tick" {
				time.Sleep(bombRuns)
			}
		}), nil
	}}
}

// TestPoisonInACluster: an object whose runs end the processes of two owners is
// refused by the third, until somebody forgives it, wherever he asks.
func TestPoisonInACluster(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flaws flaws
		want  error
	}{
		{"sound", flaws{}, nil},
		{"marks that are lost", flaws{commit: loseMarks}, errNotQuarantined},
		{"marks that are not durable", inActor(actor.FaultUnmarked), errNotQuarantined},
		{"marks that count for nothing", inActor(actor.FaultUncounted), errNotQuarantined},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, 1, tt.flaws)
				defer s.close()
				b := bombing{simulation: s, client: newClient(t, s.network.dial)}
				defer b.client.CloseIdleConnections()
				if err := b.run(); !errors.Is(err, tt.want) {
					t.Errorf("the object that ends its nodes: %v, want %v", err, tt.want)
				}
			})
		})
	}
}

var errNotQuarantined = errors.New("an object that ended two processes is not refused")

// loseMarks acknowledges what is about poison and does nothing of it.
func loseMarks(c actor.Committer, object actor.ID, ownership uint64, batch []byte, done func(error)) {
	if b, err := actor.DecodeBatch(batch); err == nil && b.Poison != nil {
		go done(nil)
		return
	}
	c.Commit(object, ownership, batch, done)
}

// bombing is a cluster in which an object ends the processes of its owners.
type bombing struct {
	*simulation

	client *http.Client
	target actor.Target
}

func (b *bombing) run() error {
	if err := b.form("a", "b", "c"); err != nil {
		return err
	}
	ids, _ := b.nodes["a"].node.host.IDs("Bomb")
	id, err := ids.Named("x")
	if err != nil {
		return err
	}
	b.target = actor.Target{Class: "Bomb", ID: id, Name: "x"}
	if err := b.handOver(); err != nil {
		return fmt.Errorf("while its shard is handed over: %w", err)
	}
	for crash := range 2 {
		if err := b.blow(); err != nil {
			return fmt.Errorf("crash %d: %w", crash+1, err)
		}
	}
	owner, other, err := b.ownerAndOther()
	if err != nil {
		return err
	}
	if err := b.refused(other); err != nil {
		return err
	}
	var view quarantineView
	if err := b.admin(http.MethodGet, owner, "/quarantine", &view); err != nil {
		return err
	}
	if len(view.Objects) != 1 || view.Objects[0].Class != "Bomb" || view.Objects[0].Name != "x" || view.Objects[0].Strikes != 2 {
		return fmt.Errorf("the owner lists %+v, want Bomb x with 2 strikes", view.Objects)
	}
	var done pardoned
	if err := b.admin(http.MethodPost, other, "/objects/Bomb/x/clear-quarantine", &done); err != nil {
		return err
	}
	if done.ID != id.String() {
		return fmt.Errorf("pardoned %+v, want %s", done, id)
	}
	_, err = b.call(other, "/")
	return err
}

// handOver has the object's owner drain while the object runs, which is no strike.
func (b *bombing) handOver() error {
	owner, _, err := b.ownerAndOther()
	if err != nil {
		return err
	}
	ticked := b.tick(owner)
	if err := b.nodes[owner].node.Drain(context.Background()); err != nil {
		return err
	}
	<-ticked
	next, _, err := b.ownerAndOther()
	if err != nil {
		return err
	}
	if next == owner {
		return errors.New("the drained node owns the shard")
	}
	if _, err := b.call(next, "/"); err != nil {
		return err
	}
	p, err := b.nodes[next].node.store.Poison(b.target.ID)
	if err != nil {
		return err
	}
	if p != (actor.PoisonRecord{}) {
		return fmt.Errorf("the next owner found %+v, want nothing", p)
	}
	if err := b.nodes[owner].halt(); err != nil {
		return err
	}
	return b.back(owner)
}

// blow lets the owner's process end while the object runs.
func (b *bombing) blow() error {
	owner, other, err := b.ownerAndOther()
	if err != nil {
		return err
	}
	ticked := b.tick(other)
	b.nodes[owner].crash(false)
	<-ticked
	if err := b.eventually("owners", b.patience(), b.owned); err != nil {
		return err
	}
	// Each owner looks at the marks when the object is called the next time.
	if _, err := b.call(other, "/"); err != nil && !isStatus(err, http.StatusServiceUnavailable) {
		return err
	}
	return b.back(owner)
}

// back starts a node again and waits for the others to have it.
func (b *bombing) back(name string) error {
	b.nodes[name].begin()
	return errors.Join(b.nodes[name].wait(b.patience()), b.eventually("a whole cluster", b.patience(), func() error { return b.settled("a", "b", "c") }))
}

// tick calls the object and returns when it has run for long enough to be marked.
func (b *bombing) tick(door string) (over <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = b.call(door, "/tick") // the fate is unknown, or it ends
	}()
	time.Sleep(bombFalls)
	return done
}

func (b *bombing) ownerAndOther() (owner, other string, err error) {
	err = b.eventually("an owner", b.patience(), func() error {
		if owner = b.owner(placement.ShardID(shardOfObject(b.target.ID))); owner == "" {
			return errors.New("nobody")
		}
		return nil
	})
	rest := slices.DeleteFunc(b.up(), func(name string) bool { return name == owner })
	return owner, rest[0], err
}

// refused checks the answer of a node that does not own the object.
func (b *bombing) refused(door string) error {
	resp, err := b.call(door, "/")
	if err == nil {
		return errNotQuarantined
	}
	if !isStatus(err, http.StatusServiceUnavailable) {
		return err
	}
	seconds, err := strconv.Atoi(resp.Get("Retry-After"))
	if err != nil || seconds < 2 || seconds > 30 {
		return fmt.Errorf("Retry-After is %q, want what is left of 30 s", resp.Get("Retry-After"))
	}
	return nil
}

func isStatus(err error, status int) bool {
	failure, ok := errors.AsType[*statusError](err)
	return ok && failure.status == status
}

// call calls the object through a node and gives the header of the answer.
func (b *bombing) call(door, path string) (http.Header, error) {
	return b.ask(http.MethodGet, "http://"+door+":80/objects/Bomb/x"+path, nil)
}

func (b *bombing) admin(method, node, path string, into any) error {
	_, err := b.ask(method, "http://"+node+":81"+path, into)
	return err
}

func (b *bombing) ask(method, url string, into any) (http.Header, error) {
	request, err := http.NewRequestWithContext(b.t.Context(), method, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := b.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = &statusError{method: method, url: url, status: response.StatusCode, body: string(body)}
	}
	if err == nil && into != nil {
		err = json.Unmarshal(body, into)
	}
	return response.Header, err
}
