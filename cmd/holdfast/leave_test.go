package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/placement"
)

// errandTime is how long an errand is outside.
const errandTime = 300 * time.Millisecond

// newErrand makes an object whose call to /run/NAME writes, is outside for a while,
// asks another object, which asks this one back, and writes again.
func newErrand(_ context.Context, s *actor.State) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verb, other, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		var err error
		switch verb {
		case "run":
			err = errors.Join(
				actor.Put(r.Context(), s.Storage(), "begun", time.Now().UnixNano()),
				s.Outside(r.Context(), func(context.Context) error { time.Sleep(errandTime); return nil }),
				errandTo(r.Context(), s, other, "/ask/"+s.Name()),
				actor.Put(r.Context(), s.Storage(), "done", time.Now().UnixNano()))
		case "ask":
			err = errandTo(r.Context(), s, other, "/tell")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}), nil
}

func errandTo(ctx context.Context, s *actor.State, name, path string) error {
	ns, err := s.Namespace("Errand")
	if err != nil {
		return err
	}
	stub, err := ns.Named(name)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := stub.Do(ctx, request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", path, response.StatusCode)
	}
	return errors.Join(err, response.Body.Close())
}

// TestCallsEndBeforeTheirShardMoves: a node that drains lets the calls end that are
// under way, also while they wait for others, whose shards move, too; and calls that
// come meanwhile go to the next owner.
func TestCallsEndBeforeTheirShardMoves(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flaws flaws
		want  error
	}{
		{"sound", flaws{}, nil},
		{"calls are not waited for", inActor(actor.FaultRude), errCutOff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, 1, tt.flaws)
				defer s.close()
				if err := runErrands(t, s); !errors.Is(err, tt.want) {
					t.Errorf("calls to shards that move: %v, want %v", err, tt.want)
				}
			})
		})
	}
}

var errCutOff = errors.New("a call was cut off")

func runErrands(t *testing.T, s *simulation) error {
	t.Helper()
	if err := s.form("a", "b", "c"); err != nil {
		return err
	}
	// Of each shard three that run errands, and one that they ask.
	names := make([][]string, simShards)
	ids, _ := s.nodes["a"].node.host.IDs("Errand")
	for i := range 100 {
		name := fmt.Sprint("errand", i)
		id, err := ids.Named(name)
		if err != nil {
			return err
		}
		names[shardOfObject(id)] = append(names[shardOfObject(id)], name)
	}
	client := newClient(t, s.network.dial)
	defer client.CloseIdleConnections()
	var began []<-chan error
	call := func(door, name, path string) {
		answered := make(chan error, 1)
		began = append(began, answered)
		go func() {
			_, err := tryCall(t.Context(), client, http.MethodPost, "http://"+door+":80/objects/Errand/"+name+path, "")
			answered <- err
		}()
	}
	for shard, these := range names {
		for i, door := range []string{"a", "b", "c"} {
			call(door, these[i], "/run/"+these[3])                      // which is on the same shard
			call(door, these[i], "/run/"+names[(shard+1)%simShards][3]) // which is on another
		}
	}
	time.Sleep(errandTime / 2)
	owner := s.owner(0)
	drained := make(chan error, 1)
	go func() { drained <- s.nodes[owner].node.Drain(context.WithoutCancel(t.Context())) }()
	time.Sleep(errandTime / 4)
	for shard, these := range names {
		call("abc"[shard%3:shard%3+1], these[0], "/tell")
	}
	if err := <-drained; err != nil {
		return err
	}
	for shard := range placement.ShardID(simShards) {
		if s.owner(shard) == owner {
			return fmt.Errorf("%s is drained and owns shard %d", owner, shard)
		}
	}
	var errs []error
	for _, answered := range began {
		if err := <-answered; err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", errCutOff, err))
		}
	}
	return errors.Join(errs...)
}
