package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// readEvery is how many calls of a client there are for each read.
const readEvery = 4

// The classes that are written to.
const (
	classCounter = "Counter"
	classLog     = "EventStore"
)

// objectNames gives names that no run had before: the checks need objects that
// are new.
func objectNames(run string, count int) []string {
	names := make([]string, count)
	for i := range names {
		class := classCounter
		if i%2 == 1 {
			class = classLog
		}
		names[i] = fmt.Sprintf("%s/load-%s-%d", class, run, i)
	}
	return names
}

// worker is the client of one object at one door.
type worker struct {
	// Fixed after it was made.
	load   *load
	door   string
	object string
	client *client
	prefix string // of its tokens

	calls int
}

// run makes calls at the pace of the load until that ends. A call that takes
// longer delays the next ones; they are not made up for.
func (w *worker) run(ctx context.Context) {
	defer w.client.close()
	if !pause(ctx, w.load.stopped, rand.N(w.load.options.every)) { // not all at once
		return
	}
	pace := time.NewTicker(w.load.options.every)
	defer pace.Stop()
	for {
		w.step(ctx)
		select {
		case <-pace.C:
		case <-w.load.stopped:
			return
		case <-ctx.Done():
			return
		}
	}
}

// step makes a call, and makes it once more if it did not run.
func (w *worker) step(ctx context.Context) {
	w.calls++
	call := w.write
	if w.calls%readEvery == 0 {
		call = w.read
	}
	begun := time.Now()
	o := call(ctx)
	if ctx.Err() != nil {
		return // the run was given up
	}
	w.load.tally.called(w.door, begun, o)
	if o.fate != fateRefused || !pause(ctx, w.load.stopped, o.retryAfter) {
		return
	}
	if o = call(ctx); ctx.Err() == nil {
		w.load.tally.calledAgain(w.door, begun, o)
	}
}

// write makes a numbered write.
func (w *worker) write(ctx context.Context) outcome {
	path, body, token := "/increment", "", ""
	if isLog(w.object) {
		token = w.prefix + strconv.Itoa(w.calls)
		path, body = "/events", fmt.Sprintf(`{"eventType":"load","data":%q}`, token)
	}
	op := w.load.history.Begin(w.object, token)
	o := w.done(op, w.client.do(ctx, http.MethodPost, "/objects/"+w.object+path, body))
	if o.fate == fateDone {
		w.load.tally.wrote(w.object)
	}
	return o
}

// read asks for the newest number.
func (w *worker) read(ctx context.Context) outcome {
	path := "/get"
	if isLog(w.object) {
		path = "/events?from=" + strconv.FormatInt(math.MaxInt32, 10) // none of them, only how many there are
	}
	op := w.load.history.BeginRead(w.object)
	return w.done(op, w.client.do(ctx, http.MethodGet, "/objects/"+w.object+path, ""))
}

func isLog(object string) bool { return strings.HasPrefix(object, classLog+"/") }

// done writes the end of a call down.
func (w *worker) done(op int, o outcome) outcome {
	switch o.fate {
	case fateRefused:
		w.load.history.Refuse(op)
	case fateDone:
		number, err := numberIn(o.body)
		if err != nil {
			return outcome{fate: fateWrong, cause: err.Error()}
		}
		w.load.history.End(op, number)
	case fateUnknown, fateWrong: // as it stands
	}
	return o
}

// numberIn gives the number in an answer of a counter or a log.
func numberIn(body []byte) (int64, error) {
	var answer struct{ Value, Version, CurrentVersion *int64 }
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("200 with %.40q, which is no JSON", body)
	}
	for _, number := range []*int64{answer.Value, answer.Version, answer.CurrentVersion} {
		if number != nil {
			return *number, nil
		}
	}
	return 0, fmt.Errorf("200 with %.40q, in which there is no number", body)
}

// pause waits and says whether that was not cut short.
func pause(ctx context.Context, stopped <-chan struct{}, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stopped:
	case <-ctx.Done():
	}
	return false
}
