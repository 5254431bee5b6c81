package objects

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/actor"
)

// projection is what the events add up to: rows of JSON under names. Storage has
// the rows as of a snapshot, memory those that later events have changed. A start
// reads only the events after the snapshot, so a snapshot is made by itself when
// these become many.
//
// Storage: "row/<projection>/<row>", and "snapshot/<projection>" about the snapshot.
type projection struct {
	// Fixed.
	name    string
	storage *actor.Storage
	rules   func(ctx context.Context, p *projection, f facts) (rows, error)
	shape   func(all object) any // of the rows, in order of their names

	// What came after the snapshot.
	changed rows
	events  int
	bytes   int
}

// rows are changes: nil deletes a row.
type rows map[string]value

type snapshot struct {
	Version   int64 `json:"version"`
	CreatedAt int64 `json:"createdAt"`
}

const (
	eventsPerSnapshot = 100
	bytesPerSnapshot  = 1 << 20
)

func loadProjections(ctx context.Context, storage *actor.Storage) ([]*projection, error) {
	projections := []*projection{
		{name: "user_summary", rules: userSummary, shape: func(all object) any { return all }},
		{name: "order_totals", rules: orderTotals, shape: shapeTotals},
		{name: "activity_log", rules: activityLog, shape: shapeActivities},
	}
	for _, p := range projections {
		p.storage, p.changed = storage, rows{}
		last, _, err := actor.Get[snapshot](ctx, storage, "snapshot/"+p.name)
		if err != nil {
			return nil, err
		}
		for e, err := range scan[event](ctx, storage, eventsFrom(last.Version+1)) {
			if err != nil {
				return nil, err
			}
			f, err := factsOf(e.Value)
			if err != nil {
				return nil, fmt.Errorf("objects: read event %d: %w", e.Value.Version, err)
			}
			change, err := p.fold(ctx, f)
			if err != nil {
				return nil, fmt.Errorf("objects: project event %d: %w", e.Value.Version, err)
			}
			p.take(change)
		}
	}
	return projections, nil
}

// fold gives what an event changes, and changes nothing itself.
func (p *projection) fold(ctx context.Context, f facts) (rows, error) { return p.rules(ctx, p, f) }

// row reads a row as it is now. ok is false if there is none.
func row[T any](ctx context.Context, p *projection, name string) (r T, ok bool, err error) {
	data, changed := p.changed[name]
	switch {
	case !changed:
		return actor.Get[T](ctx, p.storage, "row/"+p.name+"/"+name)
	case data == nil:
		return r, false, nil
	}
	return r, true, json.Unmarshal(data, &r)
}

// take makes the changes that an event has led to.
func (p *projection) take(change rows) {
	maps.Copy(p.changed, change)
	p.events++
	for _, r := range change {
		p.bytes += len(r)
	}
}

// large says whether a snapshot is due.
func (p *projection) large() bool {
	return p.events >= eventsPerSnapshot || p.bytes >= bytesPerSnapshot
}

// save makes a snapshot.
func (p *projection) save(ctx context.Context, version int64) error {
	for name, r := range p.changed {
		key := "row/" + p.name + "/" + name
		var err error
		if r == nil {
			_, err = p.storage.Delete(ctx, key)
		} else {
			err = actor.Put(ctx, p.storage, key, r)
		}
		if err != nil {
			return err
		}
	}
	p.changed, p.events, p.bytes = rows{}, 0, 0
	return actor.Put(ctx, p.storage, "snapshot/"+p.name, snapshot{version, now()})
}

// all gives all rows in order of their names.
func (p *projection) all(ctx context.Context) (object, error) {
	var all object
	prefix := "row/" + p.name + "/"
	for e, err := range scan[value](ctx, p.storage, actor.ListOptions{Prefix: prefix}) {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(e.Key, prefix)
		if _, changed := p.changed[name]; !changed {
			all = append(all, member{name, e.Value})
		}
	}
	for name, r := range p.changed {
		if r != nil {
			all = append(all, member{name, r})
		}
	}
	slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	return all, nil
}
