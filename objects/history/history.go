package history

import (
	"slices"
	"sync"
	"time"
)

// Op is one call as its client saw it: a numbered write (an increment of a
// counter, an event appended to a log, a message said in a room) or a read.
type Op struct {
	Object  string
	Token   string // of the client's own, unlike any other; "" for increments and reads
	Begun   time.Time
	Ended   time.Time // zero if the outcome is unknown
	Number  int64     // that the object gave the write, or the newest that the read saw; 0 if it gives none or the outcome is unknown
	Read    bool      // it changes nothing
	Refused bool      // it certainly has no effect
}

// Acknowledged says whether the client knows that the call was done.
func (o Op) Acknowledged() bool { return !o.Ended.IsZero() }

// History is what the clients of a run did and were told. The zero value is empty
// and ready for use, by many clients at once.
type History struct {
	mu  sync.Mutex // guards the following field
	ops []Op
}

// Begin notes that a write with that token is sent from now on and gives its
// index. Its outcome is unknown until End or Refuse.
func (h *History) Begin(object, token string) int {
	return h.begin(Op{Object: object, Token: token})
}

// BeginRead notes that a read is sent from now on.
func (h *History) BeginRead(object string) int {
	return h.begin(Op{Object: object, Read: true})
}

func (h *History) begin(o Op) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.Begun = time.Now()
	h.ops = append(h.ops, o)
	return len(h.ops) - 1
}

// End notes that a call was acknowledged, with that number.
func (h *History) End(i int, number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[i].Number, h.ops[i].Ended = number, time.Now()
}

// Refuse notes that a call certainly has no effect.
func (h *History) Refuse(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[i].Refused = true
}

// Copy gives the history as it is now.
func (h *History) Copy() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ops)
}

// ByObject sorts calls by object and leaves out those that were refused.
func ByObject(ops []Op) map[string][]Op {
	objects := make(map[string][]Op)
	for _, o := range ops {
		if !o.Refused {
			objects[o.Object] = append(objects[o.Object], o)
		}
	}
	return objects
}
