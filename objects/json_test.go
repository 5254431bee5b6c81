package objects

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"unicode/utf16"
)

func TestObjectKeepsWhatWasWritten(t *testing.T) {
	tests := []struct{ given, want string }{
		{`{}`, `{}`},
		{`{"b":1.50,"a":1e3}`, `{"b":1.50,"a":1e3}`},
		{` { "b" : [ 1 , { } ] } `, `{"b":[1,{}]}`},
		{`{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{`{"\u0061<":"<\u0062\ud800>"}`, `{"a<":"<\u0062\ud800>"}`},
		{"{\"a\":\"\xff\"}", "{\"a\":\"\uFFFD\"}"},
		{`[1]`, `{}`},
		{`"x"`, `{}`},
	}
	for _, test := range tests {
		o, err := parseObject([]byte(test.given))
		if got := string(encode(o)); err != nil || got != test.want {
			t.Errorf("parseObject(%s) = %s, %v, want %s", test.given, got, err, test.want)
		}
	}
	for _, bad := range []string{``, ` `, `null`, ` null `, `{`, `{"a"}`, `{} {}`, `{"a":01}`, `nul`, `'a'`} {
		if o, err := parseObject([]byte(bad)); err == nil {
			t.Errorf("parseObject(%s) = %s, want an error", bad, encode(o))
		}
	}
}

func TestObjectSetKeepsOrder(t *testing.T) {
	o, err := parseObject([]byte(`{"b":1,"a":2,"b":3}`))
	if err != nil {
		t.Fatal(err)
	}
	copied := slices.Clone(o)
	o.set("b", value("4"))
	o.set("c", value("5"))
	if got, want := string(encode(o)), `{"b":1,"a":2,"b":4,"c":5}`; got != want {
		t.Errorf("set() made %s, want %s", got, want)
	}
	if got, want := string(encode(copied)), `{"b":1,"a":2,"b":3}`; got != want {
		t.Errorf("set() made %s of a copy, want %s", got, want)
	}
}

func TestValues(t *testing.T) {
	for v, want := range map[string]bool{
		`null`: false, `false`: false, `0`: false, `-0.0`: false, `0e9`: false, `""`: false, ``: false,
		`true`: true, `1`: true, `"0"`: true, `{}`: true, `[]`: true, `1e-400`: false, `-1`: true,
	} {
		if got := truthy(value(v)); got != want {
			t.Errorf("truthy(%s) = %v, want %v", v, got, want)
		}
	}
	for v, want := range map[string]bool{
		`"a"`: true, `"\ud83d\ude00"`: true, `"\\ud83d"`: true, `"\uD83D\uDE00\n"`: true,
		`"\ud83d"`: false, `"\ude00\ud83d"`: false, `"\ud83dx\ude00"`: false, `"\ud83d\ud83d\ude00"`: false, `"\ud83d\n"`: false,
		`1`: false, `null`: false, ``: false, `["a"]`: false,
	} {
		if _, got := textOf(value(v)); got != want {
			t.Errorf("textOf(%s) = %v, want %v", v, got, want)
		}
	}
	o := object{{"a", value("1.0")}, {"b", value("1.5")}, {"c", value("9007199254740992")}, {"d", value(`"1"`)}, {"e", value("-2e1")}}
	for name, want := range map[string]int{"a": 1, "e": -20} {
		if got, ok := o.integer(name); got != want || !ok {
			t.Errorf("integer(%s) = %d, %v, want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"b", "c", "d", "f"} {
		if got, ok := o.integer(name); ok {
			t.Errorf("integer(%s) = %d, want none", name, got)
		}
	}
}

func TestRankOrdersPriorities(t *testing.T) {
	priorities := []float64{math.MaxFloat64, 1e10, 5, 1.5, 1, 0.5, math.SmallestNonzeroFloat64, 0, -math.SmallestNonzeroFloat64, -1, -1.5, -1e10, -math.MaxFloat64}
	for i, p := range priorities[1:] {
		if higher := rank(priorities[i]); higher >= rank(p) {
			t.Errorf("rank(%g) = %s is not before rank(%g) = %s", priorities[i], higher, p, rank(p))
		}
	}
	if got, want := rank(math.Copysign(0, -1)), rank(0); got != want {
		t.Errorf("rank(-0) = %s, want %s as for 0", got, want)
	}
}

func FuzzParseObject(f *testing.F) {
	f.Add([]byte(`{"type":"insert","position":0,"content":"\ud83d\ude00","version":1}`))
	f.Add([]byte(`{"a":{"b":[1,2]},"a":null}`))
	f.Add([]byte("{\"\xff\":1}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parseObject(data)
		if err != nil {
			return
		}
		again, err := parseObject(encode(o))
		if err != nil {
			t.Fatalf("parseObject(%q) = %v, want no error: it was encoded here", encode(o), err)
		}
		if !bytes.Equal(encode(o), encode(again)) {
			t.Fatalf("parseObject(%q) = %s", encode(o), encode(again))
		}
		for _, m := range o {
			s, ok := textOf(m.value)
			if ok && string(utf16.Decode(utf16.Encode([]rune(s)))) != s {
				t.Fatalf("textOf(%s) = %q, which UTF-16 cannot hold", m.value, s)
			}
		}
	})
}

func FuzzParseOperation(f *testing.F) {
	f.Add([]byte(`{"type":"insert","position":0,"content":"x","version":0}`))
	f.Add([]byte(`{"type":"replace","position":2,"length":3,"content":"😀","version":0,"by":1}`))
	f.Add([]byte(`{"type":"delete","position":1e0,"length":3.0,"version":-0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := parseObject(data)
		if err != nil {
			return
		}
		op, err := parseOperation(in)
		if err != nil {
			return
		}
		text := units("0123456789")
		if op.splice.At+op.splice.Delete > len(text) {
			return
		}
		past := insert(5, "!")
		_, e := Transform(past, Edit{op.splice})
		text = past.Apply(text)
		applied, err := parseOperation(op.as(e, text))
		if err != nil {
			t.Fatalf("parseOperation(%s) = %v, want no error: it was made here", encode(op.as(e, text)), err)
		}
		want := e.Apply(slices.Clone(text))
		if got := (Edit{applied.splice}).Apply(slices.Clone(text)); !slices.Equal(got, want) {
			t.Fatalf("%s makes %q, want %q", encode(applied.given), chars(got), chars(want))
		}
	})
}
