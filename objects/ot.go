package objects

import "slices"

// Splice replaces Delete code units at At by Insert. Either may be empty.
type Splice struct {
	At     int
	Delete int
	Insert []uint16
}

// Edit is one change of a text: one or more splices, ascending, not overlapping.
// Positions count UTF-16 code units of the text before the edit. What a splice
// inserts stands before what it deletes; of two splices at the same place the
// first comes first.
type Edit []Splice

// Apply changes text, whose memory it may use, and gives the result. The edit
// must lie within the text.
func (e Edit) Apply(text []uint16) []uint16 {
	// From the end, so that the positions of those not yet done stay right.
	for _, s := range slices.Backward(e) {
		text = slices.Replace(text, s.At, s.At+s.Delete, s.Insert...)
	}
	return text
}

// Growth is the number of code units by which the edit makes a text longer.
func (e Edit) Growth() int {
	growth := 0
	for _, s := range e {
		growth += len(s.Insert) - s.Delete
	}
	return growth
}

// Steps gives edits of one splice each that make the same change one after the
// other. A client's own edit may have come to more than one splice by the time
// at which it is sent.
func (e Edit) Steps() []Edit {
	steps := make([]Edit, len(e))
	shift := 0
	for i, s := range e {
		steps[i] = Edit{{At: s.At + shift, Delete: s.Delete, Insert: s.Insert}}
		shift += steps[i].Growth()
	}
	return steps
}

// Transform takes two edits of the same text and gives the forms in which each
// can follow the other: earlier then later2 makes the same text as later then
// earlier2. Where both insert at the same place the later one gives way: its
// text comes second. Text that one inserts into what the other deletes is kept,
// and what both delete is deleted once.
func Transform(earlier, later Edit) (earlier2, later2 Edit) {
	return earlier.rebase(later, true), later.rebase(earlier, false)
}

// rebase gives the form of e that can follow over. first says whose text comes
// first where both insert at the same place.
func (e Edit) rebase(over Edit, first bool) Edit {
	var out Edit
	for _, s := range e {
		if len(s.Insert) > 0 {
			out = append(out, Splice{At: over.move(s.At, !first), Insert: s.Insert})
		}
		out = over.leave(s.At, s.At+s.Delete, out)
	}
	if len(out) == 0 { // nothing is left to do, but it is still done somewhere
		out = Edit{{At: over.move(e[0].At, true)}}
	}
	return out
}

// leave appends to out the deletion of what over has left of the range from
// start to end: without what it deleted itself, and around what it inserted.
func (e Edit) leave(start, end int, out Edit) Edit {
	for _, s := range e {
		if s.At >= end {
			break
		}
		if s.At > start {
			out = appendDelete(out, e.move(start, true), s.At-start)
		}
		start = max(start, s.At+s.Delete)
	}
	if start < end {
		out = appendDelete(out, e.move(start, true), end-start)
	}
	return out
}

// move says where a position of the text is after e. past says whether what e
// inserts at this very position comes before it.
func (e Edit) move(at int, past bool) int {
	moved := at
	for _, s := range e {
		if s.At > at || s.At == at && !past {
			break
		}
		moved += len(s.Insert) - min(s.Delete, at-s.At)
	}
	return moved
}

// appendDelete adds a deletion, to the last splice if that ends where it begins.
func appendDelete(e Edit, at, count int) Edit {
	if n := len(e); n > 0 && e[n-1].At+e[n-1].Delete == at {
		e[n-1].Delete += count
		return e
	}
	return append(e, Splice{At: at, Delete: count})
}
