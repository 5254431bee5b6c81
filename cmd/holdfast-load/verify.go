package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/objects/history"
)

const (
	verifiers     = 8    // objects that are read at a time at the end
	eventsAtATime = 1000 // of a log
	verifyPause   = 250 * time.Millisecond
)

// verdict is what the checks of the end have found.
type verdict struct {
	violations history.Violations
	unread     []string // objects that nobody could read, and why
	talk       []string // what is wrong with what was heard in rooms
}

// verify reads every object and compares it with what clients were told.
func (l *load) verify(ctx context.Context) verdict {
	objects := history.ByObject(l.history.Copy())
	var (
		mu      sync.Mutex // guards v
		v       verdict
		readers sync.WaitGroup
		next    = make(chan string)
	)
	for i := range verifiers {
		reader := newReader(l.doors, i, l.options.timeout)
		readers.Go(func() {
			defer reader.close()
			for object := range next {
				found, err := reader.check(ctx, object, objects[object])
				mu.Lock()
				v.violations = append(v.violations, found...)
				if err != nil {
					v.unread = append(v.unread, fmt.Sprintf("%s: %v", object, err))
				}
				mu.Unlock()
			}
		})
	}
	for _, object := range l.objects {
		next <- object
	}
	close(next)
	readers.Wait()
	for _, r := range l.rooms {
		v.talk = append(v.talk, r.check()...)
	}
	return v
}

// reader reads objects through any door that answers.
type reader struct{ doors []*client }

// newReader makes a reader that begins with the door of that number.
func newReader(doors []door, first int, timeout time.Duration) *reader {
	r := &reader{}
	for i := range doors {
		r.doors = append(r.doors, newClient(doors[(first+i)%len(doors)].url, timeout))
	}
	return r
}

func (r *reader) close() {
	for _, c := range r.doors {
		c.close()
	}
}

// check reads an object and gives what contradicts its history.
func (r *reader) check(ctx context.Context, object string, ops []history.Op) (history.Violations, error) {
	if !isLog(object) {
		var stored struct{ Value int64 }
		if err := r.fetch(ctx, object+"/get", &stored); err != nil {
			return nil, err
		}
		return history.CheckCounter(ops, stored.Value), nil
	}
	var log []history.Entry
	for {
		var stored struct {
			Events []struct {
				Data    string
				Version int64
			}
		}
		path := fmt.Sprintf("%s/events?from=%d&to=%d", object, len(log)+1, len(log)+eventsAtATime)
		if err := r.fetch(ctx, path, &stored); err != nil {
			return nil, err
		}
		if len(stored.Events) == 0 {
			return history.CheckLog(ops, log), nil
		}
		for _, e := range stored.Events {
			log = append(log, history.Entry{Token: e.Data, Number: e.Version})
		}
	}
}

// fetch asks one door after the other until one answers or ctx ends.
func (r *reader) fetch(ctx context.Context, path string, answer any) error {
	cause := "no time was left"
	for {
		for i, c := range r.doors {
			o := c.do(ctx, http.MethodGet, "/objects/"+path, "")
			if o.fate == fateDone {
				r.doors[0], r.doors[i] = c, r.doors[0] // the next call begins with it
				return json.Unmarshal(o.body, answer)
			}
			if ctx.Err() == nil {
				cause = o.cause
			}
		}
		if !pause(ctx, nil, verifyPause) {
			return fmt.Errorf("cannot be read: %s", cause)
		}
	}
}
