package objects

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// deadlines is an index in storage of what is due when, with the object's alarm
// at the earliest of it. An entry is a key without a value:
//
//	due/<milliseconds, 15 digits>/<name>
//
// Times are milliseconds of the Unix epoch.
type deadlines struct {
	storage *actor.Storage
}

// maxDeadlinesPerRun bounds the work of one run of an alarm. If more is due the
// alarm fires again at once, and other events get their turn in between.
const maxDeadlinesPerRun = 100

type deadline struct {
	at   int64
	name string
}

func (d deadline) key() string { return fmt.Sprintf("due/%015d/%s", d.at, d.name) }

func (d deadlines) add(ctx context.Context, entry deadline) error {
	return d.storage.Put(ctx, entry.key(), nil)
}

func (d deadlines) remove(ctx context.Context, entry deadline) error {
	_, err := d.storage.Delete(ctx, entry.key())
	return err
}

// first gives the earliest entries, at most limit.
func (d deadlines) first(ctx context.Context, limit int) ([]deadline, error) {
	entries, err := d.storage.List(ctx, actor.ListOptions{Prefix: "due/", Limit: limit})
	if err != nil {
		return nil, err
	}
	found := make([]deadline, len(entries))
	for i, e := range entries {
		at, err := strconv.ParseInt(e.Key[4:19], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("objects: read deadline %q: %w", e.Key, err)
		}
		found[i] = deadline{at, e.Key[20:]}
	}
	return found, nil
}

// arm sets the alarm to the earliest entry. It belongs at the end of every event
// that adds or removes one, and of every run of the alarm.
func (d deadlines) arm(ctx context.Context) error {
	first, err := d.first(ctx, 1)
	if err != nil {
		return err
	}
	set, ok, err := d.storage.Alarm(ctx)
	switch {
	case err != nil:
		return err
	case len(first) > 0 && (!ok || set.UnixMilli() != first[0].at):
		return d.storage.SetAlarm(ctx, time.UnixMilli(first[0].at))
	case len(first) == 0 && ok:
		return d.storage.DeleteAlarm(ctx)
	}
	return nil
}

// now gives the time in milliseconds of the Unix epoch.
func now() int64 { return time.Now().UnixMilli() }
