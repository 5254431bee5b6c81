package main

import (
	"strings"
	"testing"
)

// What comes out of the sockets of a room must be parts of one order, each without
// a hole.
func TestRoomCheck(t *testing.T) {
	tests := []struct {
		name    string
		sockets []string // what each heard, a letter a message
		want    string   // part of what is found; "" = nothing
	}{
		{"nobody", nil, ""},
		{"all the same", []string{"abc", "abc"}, ""},
		{"parts", []string{"abcdef", "cd", "", "f"}, ""},
		{"parts that only touch", []string{"abc", "cde"}, ""},
		{"a hole", []string{"abcd", "abd"}, `after "b" one socket heard "c" and another "d"`},
		{"a hole for all but one", []string{"abd", "abd", "abcd"}, "one socket heard"},
		{"another order", []string{"abc", "acb"}, "one socket heard"},
		{"a hole before the end of a part", []string{"abc", "ac"}, "one socket heard"},
		{"joined at a hole", []string{"abx", "cbx"}, `before "b" one socket heard "a" and another "c"`},
		{"twice", []string{"abc", "abbc"}, `heard "b" twice`},
		{"twice, later", []string{"abca"}, `heard "a" twice`},
	}
	for _, test := range tests {
		r := newRoom("room")
		for _, heard := range test.sockets {
			s := r.open()
			for _, letter := range heard {
				r.hear(s, string(letter))
			}
		}
		got := strings.Join(r.check(), "\n")
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: check gives %q, want %q", test.name, got, test.want)
		}
	}
}
