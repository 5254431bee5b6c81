package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"
)

// ask is what a client wants of an object.
type ask struct {
	verb  string // increment, get, put, append, list
	key   string
	value string
}

// told is what the object answered. A number is a counter's value or the version
// that a write made or a read saw.
type told struct {
	number int64
	text   string // value of a key, or tokens of a log
}

// fate is how a call ended.
type fate int

const (
	fateUnknown fate = iota // also while it is under way
	fateKnown
	fateRefused // certainly without effect
	fateSeen    // the client was not told, but the effect was found afterwards
)

// line is one call of the ledger.
type line struct {
	client int
	object string // class/name
	ask    ask
	told   told
	fate   fate
	begun  int64 // moments of the run: all are different
	ended  int64
}

// ledger is what all clients of a run asked for and were told.
type ledger struct {
	mu     sync.Mutex // guards the following fields
	moment int64
	lines  []line
}

// begin notes that a call is sent from now on.
func (l *ledger) begin(client int, object string, a ask) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moment++
	l.lines = append(l.lines, line{client: client, object: object, ask: a, begun: l.moment})
	return len(l.lines) - 1
}

// end notes what came of it.
func (l *ledger) end(at int, answer told, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moment++
	entry := &l.lines[at]
	entry.told, entry.fate, entry.ended = answer, f, l.moment
}

// counts gives how many calls ended how.
func (l *ledger) counts() (known, refused, unknown int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.lines {
		switch entry.fate {
		case fateKnown:
			known++
		case fateRefused:
			refused++
		case fateUnknown, fateSeen:
			unknown++
		}
	}
	return known, refused, unknown
}

// settle takes what an object has in the end, in the order in which it was written,
// and decides by it which calls with unknown outcomes took effect: with many of
// them the search for an order would take for ever. Values are written once. The
// error is a write that was acknowledged and is not there, or not in its place.
func (l *ledger) settle(object string, values []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := make(map[string]int64, len(values))
	for i, value := range values {
		at[value] = int64(i + 1)
	}
	var errs []error
	for i := range l.lines {
		entry := &l.lines[i]
		if entry.object != object || entry.ask.value == "" {
			continue
		}
		number, there := at[entry.ask.value]
		switch {
		case entry.fate == fateKnown && number != entry.told.number:
			errs = append(errs, fmt.Errorf("%s: %s was acknowledged as number %d and is number %d: a write was lost", object, entry.ask.value, entry.told.number, number))
		case entry.fate == fateUnknown && there:
			entry.fate, entry.told = fateSeen, told{number: number}
		case entry.fate == fateUnknown:
			entry.fate = fateRefused
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w (and %d more)", errs[0], len(errs)-1)
	}
	return nil
}

// reads says whether a call changes nothing.
func (a ask) reads() bool { return a.verb == "get" || a.verb == "list" }

// check says whether each object can have answered all that in some order which
// agrees with what came before what. A call whose outcome is unknown may take
// effect at any time after it began, or never.
func (l *ledger) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	histories := make(map[string][]porcupine.Operation)
	for _, entry := range l.lines {
		op := porcupine.Operation{ClientId: entry.client, Input: entry.ask, Call: entry.begun, Output: entry.told, Return: entry.ended}
		switch {
		case entry.fate == fateRefused, entry.fate == fateUnknown && entry.ask.reads():
			continue
		case entry.fate == fateSeen:
			op.Return = l.moment + int64(len(l.lines))
		case entry.fate == fateUnknown:
			// Nothing is seen after the end of time: an effect there is none.
			op.Output, op.Return = nil, l.moment+int64(len(l.lines))
		}
		histories[entry.object] = append(histories[entry.object], op)
	}
	var errs []error
	for _, object := range slices.Sorted(maps.Keys(histories)) {
		class, _, _ := strings.Cut(object, "/")
		model, ok := models()[class]
		if !ok {
			errs = append(errs, fmt.Errorf("object %s: nobody knows how to check it", object))
			continue
		}
		if !porcupine.CheckOperations(model, histories[object]) {
			errs = append(errs, fmt.Errorf("object %s: no order explains what clients were told in %d calls%s", object, len(histories[object]), tail(histories[object])))
		}
	}
	return errors.Join(errs...)
}

// tail describes the last calls of a history that is wrong.
func tail(history []porcupine.Operation) string {
	const most = 12
	var b strings.Builder
	for _, op := range history[max(0, len(history)-most):] {
		fmt.Fprintf(&b, "\n  %d–%d client %d %+v: %+v", op.Call, op.Return, op.ClientId, op.Input, op.Output)
	}
	return b.String()
}

// models gives for each class what its objects may do.
func models() map[string]porcupine.Model {
	return map[string]porcupine.Model{"Counter": model(counting), "EventStore": model(logging), "Probe": model(registering)}
}

// state is what an object holds: a counter its number, a log its tokens, a probe
// two registers and how often they were written.
type modelState struct {
	number int64
	a, b   string
}

// model makes a model of a step. A known answer must be what the step gives.
func model(step func(modelState, ask) (modelState, told)) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return modelState{} },
		Step: func(state, input, output any) (bool, any) {
			next, want := step(state.(modelState), input.(ask))
			return output == nil || output.(told) == want, next
		},
	}
}

func counting(s modelState, a ask) (modelState, told) {
	if a.verb == "increment" {
		s.number++
	}
	return s, told{number: s.number}
}

func logging(s modelState, a ask) (modelState, told) {
	if a.verb == "list" {
		return s, told{number: s.number, text: s.a}
	}
	s.number++
	s.a += a.value + " "
	return s, told{number: s.number}
}

func registering(s modelState, a ask) (modelState, told) {
	register := &s.a
	if a.key == "b" {
		register = &s.b
	}
	if a.verb == "get" {
		return s, told{number: s.number, text: *register}
	}
	s.number++
	*register = a.value
	return s, told{number: s.number}
}

func TestLedgerSettle(t *testing.T) {
	l := &ledger{}
	for _, value := range []string{"x", "y", "z"} {
		l.begin(0, "EventStore/l", ask{verb: "append", value: value})
	}
	l.end(2, told{number: 1}, fateKnown)
	if err := l.settle("EventStore/l", []string{"z", "y"}); err != nil {
		t.Errorf("settle() = %v, want no error", err)
	}
	want := []fate{fateRefused, fateSeen, fateKnown}
	for i, entry := range l.lines {
		if entry.fate != want[i] {
			t.Errorf("fate of %s = %v, want %v", entry.ask.value, entry.fate, want[i])
		}
	}
	if err := l.check(); err != nil {
		t.Errorf("check() = %v, want no error", err)
	}
	if err := l.settle("EventStore/l", []string{"y"}); err == nil {
		t.Error("settle() without an entry that was acknowledged = nil, want an error")
	}
	l.end(1, told{number: 3}, fateSeen)
	if err := l.check(); err == nil {
		t.Error("check() of an entry found at a place that it cannot have = nil, want an error")
	}
}

func TestLedgerCheck(t *testing.T) {
	put, other := ask{"put", "a", "x"}, ask{"put", "b", "y"}
	increment, get := ask{verb: "increment"}, ask{verb: "get", key: "a"}
	add, list := ask{verb: "append", value: "x"}, ask{verb: "list"}
	call := func(object string, a ask, begun, ended, number int64, text string) line {
		return line{object: object, ask: a, told: told{number, text}, fate: fateKnown, begun: begun, ended: ended}
	}
	unknown := func(object string, a ask, begun int64) line { return line{object: object, ask: a, begun: begun} }
	refused := line{object: "Counter/c", ask: increment, fate: fateRefused, begun: 1, ended: 2}
	tests := []struct {
		name  string
		lines []line
		want  string
	}{
		{"counted", []line{call("Counter/c", increment, 1, 2, 1, ""), call("Counter/c", get, 3, 4, 1, "")}, ""},
		{"at the same time", []line{call("Counter/c", increment, 1, 4, 2, ""), call("Counter/c", increment, 2, 3, 1, "")}, ""},
		{"given twice", []line{call("Counter/c", increment, 1, 2, 1, ""), call("Counter/c", increment, 3, 4, 1, "")}, "Counter/c"},
		{"lost", []line{call("Counter/c", increment, 1, 2, 1, ""), call("Counter/c", get, 3, 4, 0, "")}, "Counter/c"},
		{"unknown, later seen", []line{unknown("Counter/c", increment, 1), call("Counter/c", get, 2, 3, 0, ""), call("Counter/c", get, 4, 5, 1, "")}, ""},
		{"unknown, never seen", []line{unknown("Counter/c", increment, 1), call("Counter/c", get, 4, 5, 0, "")}, ""},
		{"unknown, seen and gone", []line{unknown("Counter/c", increment, 1), call("Counter/c", get, 2, 3, 1, ""), call("Counter/c", get, 4, 5, 0, "")}, "Counter/c"},
		{"refused, and seen", []line{refused, call("Counter/c", get, 4, 5, 1, "")}, "Counter/c"},
		{"unknown read", []line{unknown("Counter/c", get, 1), call("Counter/c", increment, 2, 3, 1, "")}, ""},
		{"stale read", []line{call("Probe/p", put, 1, 2, 1, ""), call("Probe/p", other, 3, 4, 2, ""), call("Probe/p", get, 5, 6, 1, "x")}, "Probe/p"},
		{"registers", []line{call("Probe/p", put, 1, 2, 1, ""), call("Probe/p", other, 3, 4, 2, ""), call("Probe/p", get, 5, 6, 2, "x")}, ""},
		{"log", []line{call("EventStore/l", add, 1, 2, 1, ""), call("EventStore/l", list, 3, 4, 1, "x ")}, ""},
		{"log that lost an entry", []line{call("EventStore/l", add, 1, 2, 1, ""), call("EventStore/l", list, 3, 4, 0, "")}, "EventStore/l"},
		{"log that forgot and went on", []line{call("EventStore/l", add, 1, 2, 1, ""), call("EventStore/l", add, 3, 4, 1, "")}, "EventStore/l"},
		{"nobody's", []line{call("Clock/x", get, 1, 2, 1, "")}, "nobody knows"},
	}
	for _, test := range tests {
		checkVerdict(t, test.name, (&ledger{moment: 9, lines: test.lines}).check(), test.want)
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
