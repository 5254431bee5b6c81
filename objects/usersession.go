package objects

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// sessionLife is how long a session lives after its last activity.
const sessionLife = int64(24 * time.Hour / time.Millisecond)

// userSession keeps sessions. Reading one is activity; 24 hours after its last
// activity a session is gone.
//
//	POST   /session       {"userId":…,"data":…}  the new session
//	GET    /session/{id}  the session
//	DELETE /session/{id}  {"deleted":true}
//
// Storage: "session/<id>" the session as it was created, "active/<id>" its last
// activity, which is all that a read writes, and an entry in the deadlines. The
// deadline does not move at each activity: when it comes, the alarm moves it.
type userSession struct {
	storage   *actor.Storage
	deadlines deadlines
}

type session struct {
	ID           string `json:"id"`
	UserID       value  `json:"userId,omitempty"`
	Data         value  `json:"data"`
	CreatedAt    int64  `json:"createdAt"`
	LastActivity int64  `json:"lastActivity"`
}

type activity struct {
	Last int64 `json:"last"`
	Due  int64 `json:"due"` // deadline under which the session stands in the index
}

var errNoSession = &refusal{http.StatusNotFound, "Session not found"}

func newUserSession(_ context.Context, state *actor.State) (http.Handler, error) {
	return &userSession{state.Storage(), deadlines{state.Storage()}}, nil
}

// ServeHTTP implements http.Handler.
func (u *userSession) ServeHTTP(w http.ResponseWriter, r *http.Request) { respond(w, r, u.route) }

func (u *userSession) route(r *http.Request) (any, error) {
	path := r.URL.EscapedPath()
	id, named := pathItem(path, "/session/")
	switch {
	case r.Method == http.MethodPost && path == "/session":
		return u.create(r)
	case r.Method == http.MethodGet && named:
		return u.read(r.Context(), id)
	case r.Method == http.MethodDelete && named:
		return u.delete(r.Context(), id)
	}
	return nil, errNotFound
}

func (u *userSession) create(r *http.Request) (any, error) {
	in, err := readObject(r)
	if err != nil {
		return nil, err
	}
	s := session{ID: newUUID(), UserID: in.get("userId"), Data: in.get("data"), CreatedAt: now()}
	s.LastActivity = s.CreatedAt
	if !truthy(s.Data) {
		s.Data = value("{}")
	}
	ctx := r.Context()
	if err := actor.Put(ctx, u.storage, "session/"+s.ID, s); err != nil {
		return nil, asRefusal(err, errInvalid)
	}
	if err := u.touch(ctx, s.ID, activity{s.LastActivity, s.LastActivity + sessionLife}); err != nil {
		return nil, err
	}
	if err := u.deadlines.add(ctx, deadline{s.LastActivity + sessionLife, s.ID}); err != nil {
		return nil, err
	}
	return s, u.deadlines.arm(ctx)
}

func (u *userSession) touch(ctx context.Context, id string, a activity) error {
	return actor.Put(ctx, u.storage, "active/"+id, a)
}

func (u *userSession) read(ctx context.Context, id string) (any, error) {
	a, err := u.find(ctx, id)
	if err != nil {
		return nil, err
	}
	s, _, err := actor.Get[session](ctx, u.storage, "session/"+id)
	if err != nil {
		return nil, err
	}
	a.Last = now()
	s.LastActivity = a.Last
	return s, u.touch(ctx, id, a)
}

func (u *userSession) delete(ctx context.Context, id string) (any, error) {
	a, err := u.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := u.forget(ctx, deadline{a.Due, id}); err != nil {
		return nil, err
	}
	return struct {
		Deleted bool `json:"deleted"`
	}{true}, u.deadlines.arm(ctx)
}

// find gives the last activity of a session that has not expired.
func (u *userSession) find(ctx context.Context, id string) (activity, error) {
	a, ok, err := actor.Get[activity](ctx, u.storage, "active/"+id)
	if err != nil {
		return a, asRefusal(err, errNoSession)
	}
	if !ok || now() >= a.Last+sessionLife {
		return a, errNoSession
	}
	return a, nil
}

// forget deletes a session and its deadline.
func (u *userSession) forget(ctx context.Context, due deadline) error {
	if _, err := u.storage.DeleteMany(ctx, []string{"session/" + due.name, "active/" + due.name}); err != nil {
		return err
	}
	return u.deadlines.remove(ctx, due)
}

// Alarm implements actor.Alarmer: it deletes sessions that have expired.
func (u *userSession) Alarm(ctx context.Context, _ actor.AlarmInfo) error {
	due, err := u.deadlines.first(ctx, maxDeadlinesPerRun)
	if err != nil {
		return err
	}
	for _, d := range due {
		if d.at > now() {
			break
		}
		if err := u.expire(ctx, d); err != nil {
			return err
		}
	}
	return u.deadlines.arm(ctx)
}

// expire deletes a session whose deadline has come, or gives it a new deadline
// if there was activity since the deadline was set.
func (u *userSession) expire(ctx context.Context, due deadline) error {
	a, _, err := actor.Get[activity](ctx, u.storage, "active/"+due.name)
	if err != nil {
		return err
	}
	a.Due = a.Last + sessionLife
	if a.Due <= due.at {
		return u.forget(ctx, due)
	}
	if err := u.deadlines.remove(ctx, due); err != nil {
		return err
	}
	if err := u.deadlines.add(ctx, deadline{a.Due, due.name}); err != nil {
		return err
	}
	return u.touch(ctx, due.name, a)
}

// pathItem gives the part of a path that follows prefix, up to the next slash.
func pathItem(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	item, _, _ := strings.Cut(rest, "/")
	return item, ok
}
