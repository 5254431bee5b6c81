package objects

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf16"
)

func units(s string) []uint16 { return utf16.Encode([]rune(s)) }

func chars(u []uint16) string { return string(utf16.Decode(u)) }

func insert(at int, text string) Edit { return Edit{{At: at, Insert: units(text)}} }

func remove(at, count int) Edit { return Edit{{At: at, Delete: count}} }

func replace(at, count int, text string) Edit {
	return Edit{{At: at, Delete: count, Insert: units(text)}}
}

func TestTransformKeepsWhatBothMeant(t *testing.T) {
	tests := []struct {
		name           string
		text           string
		earlier, later Edit
		want           string
	}{
		{"inserts at the same place", "ab", insert(1, "X"), insert(1, "Y"), "aXYb"},
		{"insert before a delete", "abc", insert(0, "X"), remove(1, 1), "Xac"},
		{"delete at the place of an insert", "abc", insert(1, "X"), remove(1, 1), "aXc"},
		{"insert at the end of a delete", "abc", insert(2, "X"), remove(1, 1), "aXc"},
		{"insert into a delete", "abcdef", insert(3, "X"), remove(1, 4), "aXf"},
		{"insert into a deleted range", "abcdef", remove(1, 4), insert(3, "X"), "aXf"},
		{"overlapping deletes", "abcdef", remove(1, 3), remove(2, 3), "af"},
		{"the same delete", "abc", remove(1, 1), remove(1, 1), "ac"},
		{"a delete within a delete", "abcdef", remove(2, 1), remove(1, 4), "af"},
		{"replaces of the same range", "abc", replace(1, 1, "X"), replace(1, 1, "Y"), "aXYc"},
		{"overlapping replaces", "abcdef", replace(1, 3, "X"), replace(2, 3, "Y"), "aXYf"},
		{"replace around an insert", "abcdef", insert(3, "X"), replace(1, 4, "Y"), "aYXf"},
		{"insert into a replaced range", "abcdef", replace(1, 4, "Y"), insert(3, "X"), "aYXf"},
		{"insert where a replace begins", "abcd", insert(1, "X"), replace(1, 2, "Y"), "aXYd"},
		{"replace where an insert is", "abcd", replace(1, 2, "Y"), insert(1, "X"), "aYXd"},
		{"replace next to a delete", "abcd", remove(0, 2), replace(2, 1, "X"), "Xd"},
	}
	for _, test := range tests {
		earlier2, later2 := Transform(test.earlier, test.later)
		got := chars(later2.Apply(test.earlier.Apply(units(test.text))))
		if got != test.want {
			t.Errorf("%s: earlier, then later: %q, want %q", test.name, got, test.want)
		}
		got = chars(earlier2.Apply(test.later.Apply(units(test.text))))
		if got != test.want {
			t.Errorf("%s: later, then earlier: %q, want %q", test.name, got, test.want)
		}
	}
}

// randomEdit makes an edit with up to most splices of a text of that length;
// what it inserts is marked, so that no two inserts are equal.
func randomEdit(r *rand.Rand, length, most int, mark rune) Edit {
	var e Edit
	at := 0
	for range 1 + r.IntN(most) {
		s := Splice{At: at + r.IntN(length-at+1)}
		if r.IntN(3) > 0 {
			s.Delete = r.IntN(min(length-s.At, 5) + 1)
		}
		for range r.IntN(3) {
			s.Insert = append(s.Insert, uint16(mark+rune(r.IntN(20))))
		}
		e = append(e, s)
		at = s.At + s.Delete
	}
	return e
}

func randomText(r *rand.Rand, length int) []uint16 {
	text := make([]uint16, length)
	for i := range text {
		text[i] = uint16('a' + r.IntN(26))
	}
	return text
}

func TestTransformMeets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		text := randomText(r, r.IntN(12))
		a, b := randomEdit(r, len(text), 3, 0x100), randomEdit(r, len(text), 3, 0x200)
		if err := checkMeet(text, a, b); err != nil {
			t.Fatal(err)
		}
	}
}

// checkMeet says whether both orders of two edits give the same text, with all
// that either inserts and nothing that either deletes.
func checkMeet(text []uint16, a, b Edit) error {
	a2, b2 := Transform(a, b)
	ab := b2.Apply(a.Apply(slices.Clone(text)))
	ba := a2.Apply(b.Apply(slices.Clone(text)))
	if !slices.Equal(ab, ba) {
		return fmt.Errorf("Transform(%v, %v) of %q: %q one way, %q the other", a, b, chars(text), chars(ab), chars(ba))
	}
	want := len(text)
	deleted := make([]bool, len(text))
	for _, s := range slices.Concat(a, b) {
		want += len(s.Insert)
		for i := range s.Delete {
			if !deleted[s.At+i] {
				deleted[s.At+i] = true
				want--
			}
		}
	}
	if len(ab) != want || a.Growth()+b2.Growth() != want-len(text) {
		return fmt.Errorf("Transform(%v, %v) of %q: %q has %d code units, want %d", a, b, chars(text), chars(ab), len(ab), want)
	}
	for _, e := range []Edit{a2, b2} {
		if !ordered(e) {
			return fmt.Errorf("Transform(%v, %v): %v is not in order", a, b, e)
		}
	}
	return nil
}

// ordered says whether no splice begins before the end of the one before.
func ordered(e Edit) bool {
	for i := 1; i < len(e); i++ {
		if e[i].At < e[i-1].At+e[i-1].Delete {
			return false
		}
	}
	return true
}

func TestStepsMakeTheSameChange(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	for range 5_000 {
		text := randomText(r, r.IntN(12))
		e := randomEdit(r, len(text), 4, 0x100)
		want := e.Apply(slices.Clone(text))
		got := slices.Clone(text)
		for _, step := range e.Steps() {
			got = step.Apply(got)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("Steps() of %v make %q of %q, want %q", e, chars(got), chars(text), chars(want))
		}
	}
}

func FuzzTransform(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(10))
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, length uint8) {
		r := rand.New(rand.NewPCG(seed1, seed2))
		text := randomText(r, int(length))
		if err := checkMeet(text, randomEdit(r, len(text), 4, 0x100), randomEdit(r, len(text), 4, 0x200)); err != nil {
			t.Fatal(err)
		}
	})
}

// shared is what an editing client and the server agree on, without any network:
// the server's order of edits and who made them.
type shared struct {
	text    []uint16
	history []Edit // history[i] made version i+1
	authors []int
}

// take transforms an edit of a version, applies it and makes a version of it.
func (s *shared) take(author int, e Edit, version int) {
	for _, past := range s.history[version:] {
		_, e = Transform(past, e)
	}
	s.text = e.Apply(s.text)
	s.history = append(s.history, e)
	s.authors = append(s.authors, author)
}

// editor is a client by the protocol: it shows its own edits at once and has
// one of them unacknowledged; the others wait.
type editor struct {
	id      int
	text    []uint16
	version int
	sent    Edit   // as it went to the server; nil if none is on its way
	base    int    // version to which sent belongs
	pending []Edit // sent and those that wait, each in the form that follows the ones before
	arrived bool   // the server has taken sent
}

func (c *editor) edit(e Edit) {
	c.text = e.Apply(c.text)
	c.pending = append(c.pending, e)
	if len(c.pending) == 1 {
		c.sent, c.base, c.arrived = e, c.version, false
	}
}

// hear takes the next version from the server. With naive set it does not
// transform what waits behind the edit on its way: a variant that must fail.
func (c *editor) hear(s *shared, naive bool) {
	incoming, author := s.history[c.version], s.authors[c.version]
	c.version++
	if author == c.id {
		c.pending, c.sent = c.pending[1:], nil
		if len(c.pending) > 0 {
			c.pending = slices.Concat(c.pending[0].Steps(), c.pending[1:])
			c.sent, c.base, c.arrived = c.pending[0], c.version, false
		}
		return
	}
	for i := range c.pending {
		if naive && i > 0 {
			break
		}
		incoming, c.pending[i] = Transform(incoming, c.pending[i])
	}
	c.text = incoming.Apply(c.text)
}

func converge(seed uint64, naive bool) (err error) {
	defer func() {
		if p := recover(); p != nil { // an edit that lies outside of its text
			err = fmt.Errorf("seed %d: %v", seed, p)
		}
	}()
	r := rand.New(rand.NewPCG(seed, 3))
	start := randomText(r, 20)
	s := &shared{text: slices.Clone(start)}
	editors := make([]*editor, 4)
	for i := range editors {
		editors[i] = &editor{id: i, text: slices.Clone(start)}
	}
	for step := range 400 {
		c := editors[r.IntN(len(editors))]
		switch action := r.IntN(5); {
		case action < 2 && step < 300:
			c.edit(randomEdit(r, len(c.text), 1, rune(0x1000+0x100*c.id)))
		case action == 2 && c.sent != nil && !c.arrived:
			c.arrived = true
			s.take(c.id, c.sent, c.base)
		case c.version < len(s.history):
			c.hear(s, naive)
		}
	}
	for busy := true; busy; {
		busy = false
		for _, c := range editors {
			if c.sent != nil && !c.arrived {
				c.arrived, busy = true, true
				s.take(c.id, c.sent, c.base)
			}
			for c.version < len(s.history) {
				busy = true
				c.hear(s, naive)
			}
		}
	}
	for _, c := range editors {
		if !slices.Equal(c.text, s.text) {
			return fmt.Errorf("seed %d: client %d has %q, the server %q", seed, c.id, chars(c.text), chars(s.text))
		}
	}
	return nil
}

func TestEditorsConverge(t *testing.T) {
	for seed := range uint64(300) {
		if err := converge(seed, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEditorsConvergeFindsABrokenClient(t *testing.T) {
	for seed := range uint64(300) {
		if converge(seed, true) != nil {
			return
		}
	}
	t.Error("converge found nothing wrong with clients that do not transform what waits")
}

func BenchmarkApplyToLargeDocument(b *testing.B) {
	text := make([]uint16, 100<<10)
	e := replace(50<<10, 1, "x")
	for b.Loop() {
		text = e.Apply(text)
	}
}
