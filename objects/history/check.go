package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Kind is what is wrong with a history.
type Kind int

// Kinds of violations.
const (
	Lost    Kind = iota // a write was acknowledged, and is not there
	Twice               // a number was given twice, or a write took effect twice
	Stale               // a read did not see what had been acknowledged, or seen, before it began
	Order               // a write took effect before another that had been acknowledged when it began
	Invalid             // an answer that no object can have given
)

// ViolationError is one thing that no object which keeps its promises can have answered.
type ViolationError struct {
	Kind Kind
	Op   Op // the call that shows it; the zero Op where it is none of the client's
	text string
}

// Error implements error.
func (v ViolationError) Error() string { return v.text }

// Violations are all that is wrong with the history of one object.
type Violations []ViolationError

// Err gives them as one error, nil if there are none.
func (v Violations) Err() error {
	errs := make([]error, len(v))
	for i := range v {
		errs[i] = v[i]
	}
	return errors.Join(errs...)
}

func (v *Violations) add(kind Kind, o Op, format string, args ...any) {
	*v = append(*v, ViolationError{Kind: kind, Op: o, text: fmt.Sprintf(format, args...)})
}

// CheckCounter says whether a counter that was 0 and now stands at value can have
// answered those calls: no number twice, none lost, and a call that began after
// another was acknowledged saw what that one did.
func CheckCounter(ops []Op, value int64) Violations {
	var found Violations
	sent := 0
	var writes, done []Op
	for _, o := range ops {
		if !o.Read {
			sent++
		}
		if o.Acknowledged() {
			done = append(done, o)
			if !o.Read {
				writes = append(writes, o)
			}
		}
	}
	slices.SortStableFunc(writes, func(a, b Op) int { return cmp.Compare(a.Number, b.Number) })
	for i, o := range writes {
		if i > 0 && o.Number == writes[i-1].Number {
			found.add(Twice, o, "%s: number %d was given twice", o.Object, o.Number)
		}
		if o.Number < 1 || o.Number > int64(sent) {
			found.add(Invalid, o, "%s: number %d of %d increments", o.Object, o.Number, sent)
		}
		if o.Number > value {
			found.add(Lost, o, "%s: number %d was acknowledged, the counter is at %d: a write was lost", o.Object, o.Number, value)
		}
	}
	if value < int64(len(writes)) || value > int64(sent) {
		found.add(Invalid, Op{}, "counter is at %d after %d to %d increments", value, len(writes), sent)
	}
	return append(found, checkOrder(inOrder(done))...)
}

// inOrder sorts calls as a counter must have done them: by number, and what reads
// a number after what gave it.
func inOrder(done []Op) []Op {
	slices.SortStableFunc(done, func(a, b Op) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(readsLast(a), readsLast(b)), a.Begun.Compare(b.Begun))
	})
	return done
}

func readsLast(o Op) int {
	if o.Read {
		return 1
	}
	return 0
}

// Entry is one thing that a log holds.
type Entry struct {
	Token  string
	Number int64 // 0 if the log does not number
}

// CheckLog says whether a log can have answered those calls: every write that was
// acknowledged is there, under its number, none is there twice, none stands before
// one that was acknowledged before it began, and no read was stale. Reads give the
// number of the newest entry.
func CheckLog(ops []Op, log []Entry) Violations {
	var found Violations
	byToken := make(map[string]Op, len(ops))
	var reads []Op
	for _, o := range ops {
		switch {
		case !o.Read:
			byToken[o.Token] = o
		case o.Acknowledged():
			reads = append(reads, o)
		}
	}
	seen := make(map[string]bool, len(log))
	var done []Op
	for i, e := range log {
		o, ok := byToken[e.Token]
		if !ok {
			found.add(Invalid, Op{}, "entry %d, %q, was never appended", i+1, e.Token)
			continue
		}
		switch {
		case seen[e.Token]:
			found.add(Twice, o, "%s: %q is there twice", o.Object, e.Token)
		case e.Number != 0 && e.Number != int64(i+1):
			found.add(Invalid, o, "%s: entry %d has number %d", o.Object, i+1, e.Number)
		case o.Number != 0 && o.Number != e.Number:
			found.add(Lost, o, "%s: %q was acknowledged as %d and is number %d", o.Object, e.Token, o.Number, e.Number)
		}
		seen[e.Token] = true
		o.Number = int64(i + 1) // where it is: also if nobody was told, or told wrong
		done = append(done, o)
	}
	for _, o := range ops {
		if !o.Read && o.Acknowledged() && !seen[o.Token] {
			found.add(Lost, o, "%s: %q was acknowledged and is lost", o.Object, o.Token)
		}
	}
	for _, o := range reads {
		if o.Number > int64(len(log)) {
			found.add(Lost, o, "%s: entry %d was read, the log has %d", o.Object, o.Number, len(log))
		}
	}
	return append(found, checkOrder(inOrder(append(done, reads...)))...)
}

// checkOrder takes calls in the order in which the object did them and finds those
// that began when another, done later, had ended already.
func checkOrder(done []Op) Violations {
	var found Violations
	var earliestEnd *Op // among those done after the one that is looked at
	for i := len(done) - 1; i >= 0; i-- {
		o := &done[i]
		if earliestEnd != nil && earliestEnd.Ended.Before(o.Begun) {
			switch {
			case o.Read:
				found.add(Stale, *o, "%s: a read saw %d when %d had been acknowledged before it began", o.Object, o.Number, earliestEnd.Number)
			case earliestEnd.Read:
				found.add(Invalid, *o, "%s: a read saw %d before it was asked for", o.Object, earliestEnd.Number)
			default:
				found.add(Order, *o, "%s: %d %q took effect after %d %q, which began when it had been acknowledged",
					o.Object, earliestEnd.Number, earliestEnd.Token, o.Number, o.Token)
			}
		}
		if o.Acknowledged() && (earliestEnd == nil || o.Ended.Before(earliestEnd.Ended)) {
			earliestEnd = o
		}
	}
	return found
}
