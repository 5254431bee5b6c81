package objects

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/holdfast-dev/holdfast/actor"
)

// eventStore keeps events for ever, in order, and projections of them.
//
//	POST /events             {"eventType":…,"data":…,"expectedVersion":n}  {"eventId":…,"version":n,…}
//	GET  /events             ?from=version&to=version&type=…  {"events":[…],…}
//	GET  /projection/{name}  user_summary, order_totals or activity_log
//	POST /snapshot           {"projectionName":…}  {"snapshotCreated":true,"version":n}
//
// Storage: "event/<version, 16 digits>" one event each; see projection for the rest.
type eventStore struct {
	storage     *actor.Storage
	projections []*projection
	version     int64 // of the newest event
	updatedAt   int64 // when it came, or the object started
}

// event is an event as it is stored and given out.
type event struct {
	ID        string   `json:"id"`
	Type      value    `json:"type,omitempty"`
	Data      value    `json:"data,omitempty"`
	Version   int64    `json:"version"`
	Timestamp int64    `json:"timestamp"`
	Metadata  metadata `json:"metadata"`
}

type metadata struct {
	CorrelationID string  `json:"correlationId"`
	CausationID   *string `json:"causationId"`
}

var (
	errConflict     = &refusal{http.StatusConflict, "Concurrency conflict"}
	errNoProjection = &refusal{http.StatusNotFound, "Projection not found"}
)

func newEventStore(ctx context.Context, state *actor.State) (http.Handler, error) {
	s := &eventStore{storage: state.Storage(), updatedAt: now()}
	newest, err := actor.List[event](ctx, s.storage, actor.ListOptions{Prefix: "event/", Reverse: true, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(newest) > 0 {
		s.version, s.updatedAt = newest[0].Value.Version, newest[0].Value.Timestamp
	}
	s.projections, err = loadProjections(ctx, s.storage)
	return s, err
}

// eventsFrom gives the events with at least that version.
func eventsFrom(version int64) actor.ListOptions {
	return actor.ListOptions{Prefix: "event/", Start: eventKey(version)}
}

func eventKey(version int64) string { return fmt.Sprintf("event/%016d", version) }

// ServeHTTP implements http.Handler.
func (s *eventStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.EscapedPath() == "/events" {
		s.list(w, r)
		return
	}
	respond(w, r, s.route)
}

func (s *eventStore) route(r *http.Request) (any, error) {
	path := r.URL.EscapedPath()
	name, named := pathItem(path, "/projection/")
	switch {
	case r.Method == http.MethodPost && path == "/events":
		return s.append(r)
	case r.Method == http.MethodGet && named:
		return s.project(r.Context(), name)
	case r.Method == http.MethodPost && path == "/snapshot":
		return s.snapshot(r)
	}
	return nil, errNotFound
}

func (s *eventStore) append(r *http.Request) (any, error) {
	in, err := readObject(r)
	if err != nil {
		return nil, err
	}
	if expected := in.get("expectedVersion"); expected != nil && string(expected) != "null" {
		switch version, ok := numberOf(expected); {
		case !ok:
			return nil, errInvalid
		case version != float64(s.version):
			return nil, errConflict
		}
	}
	e := event{newUUID(), in.get("eventType"), in.get("data"), s.version + 1, now(), metadata{CorrelationID: newUUID()}}
	if err := s.take(r.Context(), e); err != nil {
		return nil, err
	}
	return struct {
		EventID   string `json:"eventId"`
		Version   int64  `json:"version"`
		Timestamp int64  `json:"timestamp"`
	}{e.ID, e.Version, e.Timestamp}, nil
}

// take stores an event if every projection can take it.
func (s *eventStore) take(ctx context.Context, e event) error {
	f, err := factsOf(e)
	if err != nil {
		return err
	}
	changes := make([]rows, len(s.projections))
	for i, p := range s.projections {
		if changes[i], err = p.fold(ctx, f); err != nil {
			return err
		}
	}
	if err := actor.Put(ctx, s.storage, eventKey(e.Version), e); err != nil {
		return asRefusal(err, errInvalid)
	}
	s.version, s.updatedAt = e.Version, e.Timestamp
	for i, p := range s.projections {
		p.take(changes[i])
		if p.large() {
			if err := p.save(ctx, e.Version); err != nil {
				return err
			}
		}
	}
	return nil
}

// list writes events as it reads them: there may be more than fit into memory.
func (s *eventStore) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	current := s.version // events that come while this waits for the client are not given
	from, fromOK := parseInt(query.Get("from"), 0)
	to, toOK := parseInt(query.Get("to"), current)
	kind := query.Get("type")
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 32<<10) // it remembers an error: that the client is gone
	count := 0
	separator := `{"events":[`
	for e, err := range scan[event](r.Context(), s.storage, eventsFrom(max(from, 1))) {
		if err != nil {
			panic(err) // half an answer may be out: it must not look like a whole one
		}
		if !fromOK || !toOK || e.Value.Version > min(to, current) {
			break
		}
		if is, _ := textOf(e.Value.Type); kind != "" && is != kind {
			continue
		}
		_, _ = out.WriteString(separator)
		if _, err := out.Write(encode(e.Value)); err != nil {
			return
		}
		separator = ","
		count++
	}
	if count == 0 {
		_, _ = out.WriteString(separator)
	}
	_, _ = fmt.Fprintf(out, `],"totalEvents":%d,"currentVersion":%d}`, count, current)
	_ = out.Flush()
}

func (s *eventStore) find(name string) (*projection, error) {
	for _, p := range s.projections {
		if p.name == name {
			return p, nil
		}
	}
	return nil, errNoProjection
}

func (s *eventStore) project(ctx context.Context, name string) (any, error) {
	p, err := s.find(name)
	if err != nil {
		return nil, err
	}
	var data any = struct{}{}
	if s.version > 0 {
		all, err := p.all(ctx)
		if err != nil {
			return nil, err
		}
		data = p.shape(all)
	}
	return struct {
		Projection       string `json:"projection"`
		Data             any    `json:"data"`
		LastEventVersion int64  `json:"lastEventVersion"`
		UpdatedAt        int64  `json:"updatedAt"`
	}{name, data, s.version, s.updatedAt}, nil
}

func (s *eventStore) snapshot(r *http.Request) (any, error) {
	in, err := readObject(r)
	if err != nil {
		return nil, err
	}
	name, _ := in.text("projectionName")
	p, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return struct {
		SnapshotCreated bool  `json:"snapshotCreated"`
		Version         int64 `json:"version"`
	}{true, s.version}, p.save(r.Context(), s.version)
}

// parseInt reads a number as JavaScript's parseInt does: what follows the digits
// is ignored. An empty text is the default. ok is false where there is no number.
func parseInt(s string, whenEmpty int64) (n int64, ok bool) {
	if s == "" {
		return whenEmpty, true
	}
	s = strings.TrimSpace(s)
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	for i := 0; i < len(digits) && '0' <= digits[i] && digits[i] <= '9'; i++ {
		n, ok = min(n, math.MaxInt64/10-1)*10+int64(digits[i]-'0'), true
	}
	if strings.HasPrefix(s, "-") {
		n = -n
	}
	return n, ok
}
