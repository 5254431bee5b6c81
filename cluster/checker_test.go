package cluster

import (
	"strings"
	"testing"
)

// TestHistoryCheck makes sure that the checker finds what it is for.
func TestHistoryCheck(t *testing.T) {
	type answer struct {
		batch string
		err   error
	}
	for _, tt := range []struct {
		name    string
		answers []answer
		state   string
		want    string // part of the error; empty: no error
	}{
		{"all is well", []answer{{"a", nil}, {"b", nil}}, "abc", ""},
		{"unknown may be missing", []answer{{"a", nil}, {"b", ErrUnknown}}, "a", ""},
		{"unknown may be there", []answer{{"a", nil}, {"b", ErrUnknown}}, "ab", ""},
		{"refused is missing", []answer{{"c", ErrNotOwner}}, "ab", ""},
		{"later ownership goes on", []answer{{"a", nil}, {"c", ErrUnknown}, {"x", nil}}, "abx", ""},
		{"acknowledged is missing", []answer{{"a", nil}, {"b", nil}}, "a", "acknowledged and is missing"},
		{"refused took effect", []answer{{"a", nil}, {"b", ErrNotOwner}}, "ab", "was refused"},
		{"twice", []answer{{"a", nil}}, "aa", "took effect twice"},
		{"order", []answer{{"a", nil}, {"b", nil}}, "ba", "after a later proposal"},
		{"gap", []answer{{"a", nil}, {"b", ErrUnknown}}, "ac", "of the same ownership"},
		{"invented", []answer{{"a", nil}}, "az", "never proposed"},
		{"answered twice", []answer{{"a", nil}, {"a", nil}}, "a", "answered twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory()
			done := map[string]func(error){}
			for _, batch := range []string{"a", "b", "c"} {
				done[batch] = h.note(1, batch)
			}
			done["x"] = h.note(5, "x")
			for _, a := range tt.answers {
				done[a.batch](a.err)
			}
			err := h.check(strings.Split(tt.state, ""))
			if tt.want == "" && err != nil {
				t.Errorf("check = %v, want nil", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("check = %v, want an error with %q", err, tt.want)
			}
		})
	}
}
