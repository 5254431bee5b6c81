package history

import (
	"strings"
	"testing"
	"time"
)

// at makes times of a few seconds for the tests of the checkers.
func at(second int) time.Time { return time.Unix(1_000_000+int64(second), 0) }

func TestCheckCounter(t *testing.T) {
	first := Op{Object: "c", Begun: at(1), Ended: at(2), Number: 1}
	second := Op{Object: "c", Begun: at(3), Ended: at(4), Number: 2}
	unknown := Op{Object: "c", Begun: at(1)}
	tests := []struct {
		name       string
		increments []Op
		value      int64
		want       string // part of the error; "" = none
	}{
		{"nothing", nil, 0, ""},
		{"in turn", []Op{first, second}, 2, ""},
		{"unknown that took effect", []Op{first, second, unknown}, 3, ""},
		{"unknown that did not", []Op{first, second, unknown}, 2, ""},
		{"unknown in between", []Op{first, {Object: "c", Begun: at(3), Ended: at(4), Number: 3}, unknown}, 3, ""},
		{"at the same time", []Op{first, {Object: "c", Begun: at(1), Ended: at(5), Number: 2}}, 2, ""},
		{"lost", []Op{first, second}, 1, "lost"},
		{"given twice", []Op{first, {Object: "c", Begun: at(3), Ended: at(4), Number: 1}}, 2, "twice"},
		{"counted too far", []Op{first, second}, 3, "counter is at 3"},
		{"number that nobody can have", []Op{first, {Object: "c", Begun: at(3), Ended: at(4), Number: 9}}, 9, "number 9"},
		{"number 0", []Op{{Object: "c", Begun: at(3), Ended: at(4)}}, 1, "number 0"},
		{"back in time", []Op{{Object: "c", Begun: at(1), Ended: at(2), Number: 2}, {Object: "c", Begun: at(3), Ended: at(4), Number: 1}}, 2, "took effect after"},
		{
			"back in time, not next to each other",
			[]Op{{Object: "c", Begun: at(1), Ended: at(2), Number: 3}, {Object: "c", Begun: at(1), Ended: at(9), Number: 2}, {Object: "c", Begun: at(3), Ended: at(4), Number: 1}},
			3, "took effect after",
		},
	}
	for _, test := range tests {
		checkVerdict(t, test.name, CheckCounter(test.increments, test.value).Err(), test.want)
	}
}

func TestCheckLog(t *testing.T) {
	a := Op{Object: "l", Token: "a", Begun: at(1), Ended: at(2), Number: 1}
	b := Op{Object: "l", Token: "b", Begun: at(3), Ended: at(4), Number: 2}
	unknown := Op{Object: "l", Token: "u", Begun: at(1)}
	tests := []struct {
		name    string
		appends []Op
		log     []Entry
		want    string
	}{
		{"in turn", []Op{a, b}, []Entry{{"a", 1}, {"b", 2}}, ""},
		{"unknown that took effect", []Op{a, unknown, b}, []Entry{{"a", 1}, {"b", 2}, {"u", 3}}, ""},
		{"unknown that did not", []Op{a, unknown, b}, []Entry{{"a", 1}, {"b", 2}}, ""},
		{"without numbers", []Op{{Token: "a", Ended: at(1)}}, []Entry{{"a", 0}}, ""},
		{"lost", []Op{a, b}, []Entry{{"a", 1}}, "lost"},
		{"twice", []Op{a, b}, []Entry{{"a", 1}, {"b", 2}, {"a", 3}}, "twice"},
		{"unknown that took effect twice", []Op{unknown}, []Entry{{"u", 1}, {"u", 2}}, "twice"},
		{"gap", []Op{a}, []Entry{{"a", 2}}, "has number 2"},
		{"renumbered", []Op{a, b}, []Entry{{"b", 1}, {"a", 2}}, "was acknowledged as"},
		{"from nowhere", []Op{a}, []Entry{{"a", 1}, {"x", 2}}, "never appended"},
		{"back in time", []Op{{Token: "a", Begun: at(1), Ended: at(2)}, {Token: "b", Begun: at(3), Ended: at(4)}}, []Entry{{"b", 0}, {"a", 0}}, "took effect after"},
	}
	for _, test := range tests {
		checkVerdict(t, test.name, CheckLog(test.appends, test.log).Err(), test.want)
	}
}

// Reads of a counter see what was acknowledged, or seen, before they began, and
// nothing that was not asked for yet.
func TestCheckCounterReads(t *testing.T) {
	first := Op{Object: "c", Begun: at(1), Ended: at(2), Number: 1}
	second := Op{Object: "c", Begun: at(5), Ended: at(6), Number: 2}
	read := func(begun, ended int, saw int64) Op {
		return Op{Object: "c", Read: true, Begun: at(begun), Ended: at(ended), Number: saw}
	}
	tests := []struct {
		name string
		ops  []Op
		want string
	}{
		{"in turn", []Op{read(0, 1, 0), first, read(3, 4, 1), second, read(7, 8, 2)}, ""},
		{"at the same time", []Op{first, second, read(5, 7, 1), read(5, 7, 2)}, ""},
		{"after an unknown write", []Op{first, {Object: "c", Begun: at(3)}, read(4, 5, 1)}, ""},
		{"that nobody was answered", []Op{first, second, {Object: "c", Read: true, Begun: at(7)}}, ""},
		{"stale", []Op{first, second, read(7, 8, 1)}, "a read saw 1 when 2"},
		{"back behind another read", []Op{first, second, read(5, 6, 2), read(7, 8, 1)}, "a read saw 1 when 2"},
		{"back behind a read of an unknown write", []Op{first, {Object: "c", Begun: at(3)}, read(4, 5, 2), read(6, 7, 1)}, "a read saw 1 when 2"},
		{"too early", []Op{first, read(3, 4, 2), second}, "before it was asked for"},
	}
	for _, test := range tests {
		sent := 0
		for _, o := range test.ops {
			if !o.Read {
				sent++
			}
		}
		checkVerdict(t, test.name, CheckCounter(test.ops, int64(sent)).Err(), test.want)
	}
}

func TestCheckLogReads(t *testing.T) {
	a := Op{Object: "l", Token: "a", Begun: at(1), Ended: at(2), Number: 1}
	b := Op{Object: "l", Token: "b", Begun: at(3)} // its client was not told
	read := func(begun, ended int, saw int64) Op {
		return Op{Object: "l", Read: true, Begun: at(begun), Ended: at(ended), Number: saw}
	}
	both := []Entry{{"a", 1}, {"b", 2}}
	tests := []struct {
		name string
		ops  []Op
		log  []Entry
		want string
	}{
		{"in turn", []Op{a, read(3, 4, 1), b, read(5, 6, 2)}, both, ""},
		{"stale", []Op{a, b, read(3, 4, 0)}, both, "a read saw 0"},
		{"back behind another read", []Op{a, b, read(4, 5, 2), read(6, 7, 1)}, both, "a read saw 1 when 2"},
		{"of what is gone", []Op{a, b, read(4, 5, 2)}, both[:1], "the log has 1"},
	}
	for _, test := range tests {
		checkVerdict(t, test.name, CheckLog(test.ops, test.log).Err(), test.want)
	}
}

// Each violation says which call shows it, so that whoever counts by time can.
func TestViolations(t *testing.T) {
	first := Op{Object: "c", Begun: at(1), Ended: at(2), Number: 1}
	second := Op{Object: "c", Begun: at(3), Ended: at(4), Number: 1}
	got := CheckCounter([]Op{first, second}, 2)
	if len(got) != 1 || got[0].Kind != Twice || !got[0].Op.Begun.Equal(at(3)) {
		t.Errorf("CheckCounter() of a number given twice = %+v, want one violation by the second call", got)
	}
	got = CheckLog([]Op{{Object: "l", Token: "a", Begun: at(1), Ended: at(2), Number: 1}}, nil)
	if len(got) != 1 || got[0].Kind != Lost || got[0].Op.Token != "a" {
		t.Errorf("CheckLog() of a lost write = %+v, want one violation by that write", got)
	}
}

// A history that is written by many keeps all, and forgets what was refused only
// when it is sorted.
func TestHistory(t *testing.T) {
	var h History
	done, refused := h.Begin("c", ""), h.Begin("c", "")
	unknown, read := h.Begin("l", "a"), h.BeginRead("l")
	h.End(done, 7)
	h.Refuse(refused)
	h.End(read, 3)
	ops := h.Copy()
	if len(ops) != 4 || ops[unknown].Acknowledged() || !ops[done].Acknowledged() || ops[done].Number != 7 || !ops[read].Read {
		t.Errorf("Copy() = %+v", ops)
	}
	objects := ByObject(ops)
	if len(objects["c"]) != 1 || len(objects["l"]) != 2 {
		t.Errorf("ByObject() = %+v, want one call of c and two of l", objects)
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
