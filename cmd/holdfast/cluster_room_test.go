package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/actor"
)

// room is a class whose guests hear all that is said since they came in, each
// with its number in the room.
//
//	GET /     a socket, with ?as=NAME: it gets "at N", and then what follows on N
//	  WORD    all get "N NAME WORD"
//	GET /log  {"said":["NAME WORD", …],"left":{NAME: times}}
type room struct {
	state   *actor.State
	storage *actor.Storage
	last    int64
}

// roomLog is what a room knows of its past.
type roomLog struct {
	Said []string
	Left map[string]int // how often it was told that a guest has left
}

func newRoom(ctx context.Context, state *actor.State) (http.Handler, error) {
	r := &room{state: state, storage: state.Storage()}
	var err error
	r.last, _, err = actor.Get[int64](ctx, r.storage, "last")
	return r, err
}

// ServeHTTP implements http.Handler.
func (r *room) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path == "/log" {
		log, err := r.log(q.Context())
		if err = errors.Join(err, json.NewEncoder(w).Encode(log)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	socket, err := r.state.AcceptSocket(w, q, actor.SocketOptions{Tags: []string{q.URL.Query().Get("as")}})
	if err == nil {
		err = socket.SendText(q.Context(), fmt.Sprint("at ", r.last))
	}
	switch {
	case errors.Is(err, actor.ErrSocketClosed): // its gateway has lost the way to this node
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// SocketMessage implements actor.SocketMessenger.
func (r *room) SocketMessage(ctx context.Context, socket *actor.Socket, message actor.Message) error {
	r.last++
	line := socket.Tags()[0] + " " + string(message.Data)
	return errors.Join(
		actor.Put(ctx, r.storage, "last", r.last), actor.Put(ctx, r.storage, fmt.Sprintf("said/%09d", r.last), line),
		r.state.Broadcast(ctx, actor.Message{Kind: actor.Text, Data: fmt.Appendf(nil, "%d %s", r.last, line)}, actor.BroadcastOptions{}))
}

// SocketClose implements actor.SocketCloser.
func (r *room) SocketClose(ctx context.Context, socket *actor.Socket, _ actor.CloseInfo) error {
	key := "left/" + socket.Tags()[0]
	times, _, err := actor.Get[int](ctx, r.storage, key)
	return errors.Join(err, actor.Put(ctx, r.storage, key, times+1))
}

func (r *room) log(ctx context.Context) (roomLog, error) {
	log := roomLog{Left: make(map[string]int)}
	said, err := actor.List[string](ctx, r.storage, actor.ListOptions{Prefix: "said/"})
	for _, e := range said {
		log.Said = append(log.Said, e.Value)
	}
	left, err2 := actor.List[int](ctx, r.storage, actor.ListOptions{Prefix: "left/"})
	for _, e := range left {
		log.Left[strings.TrimPrefix(e.Key, "left/")] = e.Value
	}
	return log, errors.Join(err, err2)
}

// check compares what a guest said and heard with what its room has.
func (l roomLog) check(s *sitting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%v: "+format, append([]any{s}, args...)...))
	}
	lived := s.network.lives.goesOn(s.door, s.life)
	if s.ended != nil && !s.excused && !s.left {
		wrong("the socket was closed: %w", s.ended)
	}
	var mine []string
	for _, line := range l.Said {
		if word, ok := strings.CutPrefix(line, s.name+" "); ok {
			mine = append(mine, word)
		}
	}
	switch {
	case len(mine) > len(s.said) || !slices.Equal(mine, s.said[:len(mine)]):
		wrong("said %q, and the room has %q: want it once, in order", s.said, mine)
	case lived && len(mine) < len(s.said):
		wrong("said %d words, and the room has %d", len(s.said), len(mine))
	}
	if times := l.Left[s.name]; times > 1 || s.left && lived && times == 0 {
		wrong("the room was told %d times that it left, it left: %v", times, s.left)
	}
	if s.at < 0 {
		return errors.Join(errs...)
	}
	if s.at > int64(len(l.Said)) {
		wrong("came in at %d, and the room has %d", s.at, len(l.Said))
		return errors.Join(errs...)
	}
	follows := l.Said[s.at:]
	for i, frame := range s.heard {
		if i >= len(follows) || frame != fmt.Sprintf("%d %s", s.at+int64(i)+1, follows[i]) {
			wrong("came in at %d and heard %q as number %d", s.at, frame, s.at+int64(i)+1)
			return errors.Join(errs...)
		}
	}
	if s.ended == nil && len(s.heard) < len(follows) {
		wrong("came in at %d and heard %d of the %d that followed", s.at, len(s.heard), len(follows))
	}
	return errors.Join(errs...)
}
