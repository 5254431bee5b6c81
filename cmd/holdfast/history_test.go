package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// write is one numbered write as its client saw it: an increment of a counter,
// an event appended to a log, a message said in a room.
type write struct {
	object  string
	token   string // of the client's own, unlike any other; "" for an increment
	begun   time.Time
	ended   time.Time // zero if the outcome is unknown
	number  int64     // that the object gave it; 0 if it gives none or the outcome is unknown
	refused bool
}

func (w write) acknowledged() bool { return !w.ended.IsZero() }

// history is what the clients of a run did and were told.
type history struct {
	mu     sync.Mutex // guards the following field
	writes []write
}

// begin notes that a write is sent from now on; its outcome is unknown until end.
func (h *history) begin(object, token string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes = append(h.writes, write{object: object, token: token, begun: time.Now()})
	return len(h.writes) - 1
}

// end notes that a write was acknowledged.
func (h *history) end(i int, number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes[i].number, h.writes[i].ended = number, time.Now()
}

// refuse notes that a write certainly has no effect.
func (h *history) refuse(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes[i].refused = true
}

// copy gives the history as it is now.
func (h *history) copy() []write {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.writes)
}

// atCrash gives the history of a world that ended at some moment between the two
// copies: only what was acknowledged before counts as acknowledged.
func atCrash(before, after []write) []write {
	world := slices.Clone(after)
	for i := range world {
		if i >= len(before) || !before[i].acknowledged() {
			world[i].ended, world[i].number = time.Time{}, 0
		}
	}
	return world
}

// byObject sorts writes by object and leaves out those that were refused.
func byObject(writes []write) map[string][]write {
	objects := make(map[string][]write)
	for _, w := range writes {
		if !w.refused {
			objects[w.object] = append(objects[w.object], w)
		}
	}
	return objects
}

// checkCounter says whether a counter that now stands at value can have answered
// those increments: no number twice, none lost, and an increment that began
// after another was acknowledged has the greater number.
func checkCounter(increments []write, value int64) error {
	var errs []error
	acknowledged := slices.DeleteFunc(slices.Clone(increments), func(w write) bool { return !w.acknowledged() })
	slices.SortFunc(acknowledged, func(a, b write) int { return int(a.number - b.number) })
	for i, w := range acknowledged {
		if i > 0 && w.number == acknowledged[i-1].number {
			errs = append(errs, fmt.Errorf("%s: number %d was given twice", w.object, w.number))
		}
		if w.number < 1 || w.number > int64(len(increments)) {
			errs = append(errs, fmt.Errorf("%s: number %d of %d increments", w.object, w.number, len(increments)))
		}
		if w.number > value {
			errs = append(errs, fmt.Errorf("%s: number %d was acknowledged, the counter is at %d: a write was lost", w.object, w.number, value))
		}
	}
	if value < int64(len(acknowledged)) || value > int64(len(increments)) {
		errs = append(errs, fmt.Errorf("counter is at %d after %d to %d increments", value, len(acknowledged), len(increments)))
	}
	return errors.Join(append(errs, checkOrder(acknowledged))...)
}

// entry is one thing that a log holds.
type entry struct {
	token  string
	number int64 // 0 if the log does not number
}

// checkLog says whether a log can have answered those appends: every one that
// was acknowledged is there, under its number, none is there twice, and none
// stands before one that was acknowledged before it began.
func checkLog(appends []write, log []entry) error {
	var errs []error
	byToken := make(map[string]write, len(appends))
	for _, w := range appends {
		byToken[w.token] = w
	}
	seen := make(map[string]bool, len(log))
	var found []write
	for i, e := range log {
		w, ok := byToken[e.token]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("entry %d, %q, was never appended", i+1, e.token))
			continue
		case seen[e.token]:
			errs = append(errs, fmt.Errorf("%s: %q is there twice", w.object, e.token))
		case e.number != 0 && e.number != int64(i+1):
			errs = append(errs, fmt.Errorf("%s: entry %d has number %d", w.object, i+1, e.number))
		case w.number != 0 && w.number != e.number:
			errs = append(errs, fmt.Errorf("%s: %q was acknowledged as %d and is number %d", w.object, e.token, w.number, e.number))
		}
		seen[e.token] = true
		found = append(found, w)
	}
	for _, w := range appends {
		if w.acknowledged() && !seen[w.token] {
			errs = append(errs, fmt.Errorf("%s: %q was acknowledged and is lost", w.object, w.token))
		}
	}
	return errors.Join(append(errs, checkOrder(found))...)
}

// checkOrder takes writes in the order in which the object did them and finds
// one that had ended before another, done earlier, began.
func checkOrder(done []write) error {
	var earliestEnd *write // among those done after the one that is looked at
	for i := len(done) - 1; i >= 0; i-- {
		w := &done[i]
		if earliestEnd != nil && earliestEnd.ended.Before(w.begun) {
			return fmt.Errorf("%s: %d %q took effect after %d %q, which began when it had been acknowledged",
				w.object, earliestEnd.number, earliestEnd.token, w.number, w.token)
		}
		if w.acknowledged() && (earliestEnd == nil || w.ended.Before(earliestEnd.ended)) {
			earliestEnd = w
		}
	}
	return nil
}

// at makes times of a few seconds for the tests of the checkers.
func at(second int) time.Time { return time.Unix(1_000_000+int64(second), 0) }

func TestCheckCounter(t *testing.T) {
	first := write{object: "c", begun: at(1), ended: at(2), number: 1}
	second := write{object: "c", begun: at(3), ended: at(4), number: 2}
	unknown := write{object: "c", begun: at(1)}
	tests := []struct {
		name       string
		increments []write
		value      int64
		want       string // part of the error; "" = none
	}{
		{"nothing", nil, 0, ""},
		{"in turn", []write{first, second}, 2, ""},
		{"unknown that took effect", []write{first, second, unknown}, 3, ""},
		{"unknown that did not", []write{first, second, unknown}, 2, ""},
		{"unknown in between", []write{first, {object: "c", begun: at(3), ended: at(4), number: 3}, unknown}, 3, ""},
		{"at the same time", []write{first, {object: "c", begun: at(1), ended: at(5), number: 2}}, 2, ""},
		{"lost", []write{first, second}, 1, "lost"},
		{"given twice", []write{first, {object: "c", begun: at(3), ended: at(4), number: 1}}, 2, "twice"},
		{"counted too far", []write{first, second}, 3, "counter is at 3"},
		{"number that nobody can have", []write{first, {object: "c", begun: at(3), ended: at(4), number: 9}}, 9, "number 9"},
		{"number 0", []write{{object: "c", begun: at(3), ended: at(4)}}, 1, "number 0"},
		{"back in time", []write{{object: "c", begun: at(1), ended: at(2), number: 2}, {object: "c", begun: at(3), ended: at(4), number: 1}}, 2, "took effect after"},
		{
			"back in time, not next to each other",
			[]write{{object: "c", begun: at(1), ended: at(2), number: 3}, {object: "c", begun: at(1), ended: at(9), number: 2}, {object: "c", begun: at(3), ended: at(4), number: 1}},
			3, "took effect after",
		},
	}
	for _, test := range tests {
		checkVerdict(t, test.name, checkCounter(test.increments, test.value), test.want)
	}
}

func TestCheckLog(t *testing.T) {
	a := write{object: "l", token: "a", begun: at(1), ended: at(2), number: 1}
	b := write{object: "l", token: "b", begun: at(3), ended: at(4), number: 2}
	unknown := write{object: "l", token: "u", begun: at(1)}
	tests := []struct {
		name    string
		appends []write
		log     []entry
		want    string
	}{
		{"in turn", []write{a, b}, []entry{{"a", 1}, {"b", 2}}, ""},
		{"unknown that took effect", []write{a, unknown, b}, []entry{{"a", 1}, {"b", 2}, {"u", 3}}, ""},
		{"unknown that did not", []write{a, unknown, b}, []entry{{"a", 1}, {"b", 2}}, ""},
		{"without numbers", []write{{token: "a", ended: at(1)}}, []entry{{"a", 0}}, ""},
		{"lost", []write{a, b}, []entry{{"a", 1}}, "lost"},
		{"twice", []write{a, b}, []entry{{"a", 1}, {"b", 2}, {"a", 3}}, "twice"},
		{"unknown that took effect twice", []write{unknown}, []entry{{"u", 1}, {"u", 2}}, "twice"},
		{"gap", []write{a}, []entry{{"a", 2}}, "has number 2"},
		{"renumbered", []write{a, b}, []entry{{"b", 1}, {"a", 2}}, "was acknowledged as"},
		{"from nowhere", []write{a}, []entry{{"a", 1}, {"x", 2}}, "never appended"},
		{"back in time", []write{{token: "a", begun: at(1), ended: at(2)}, {token: "b", begun: at(3), ended: at(4)}}, []entry{{"b", 0}, {"a", 0}}, "took effect after"},
	}
	for _, test := range tests {
		checkVerdict(t, test.name, checkLog(test.appends, test.log), test.want)
	}
}

func checkVerdict(t *testing.T, name string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v, want no error", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}
