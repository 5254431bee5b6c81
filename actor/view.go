package actor

import (
	"slices"
	"strings"
)

// Tags of stored values: the first byte of each. Others are reserved.
const (
	tagRaw  byte = 0
	tagJSON byte = 1
)

// view is what an object sees beyond the committed state: its writes that are
// gathered in the current batch, and those of sealed batches that are not
// committed yet. It is guarded by the activation's mutex.
type view struct {
	current   uint64 // number of the batch that is gathered now; sealed ones have lower numbers
	committed uint64 // all batches up to this one are in the Store

	dirty map[string]dirtyValue // newest write of each key that the Store may not have yet
	wiped uint64                // newest batch that deleted everything; hides the Store until it is committed

	// Of the current batch.
	keys  []string // keys that it writes; may name one twice, or one that was rolled back
	bytes int      // that its writes take at most when they are encoded
	wipe  bool

	sealed queue[sealedBatch]
	undo   []undoWrite // of the transactions under way
	txs    int
}

type dirtyValue struct {
	value []byte // tag byte and bytes; nil = deleted
	batch uint64 // that wrote it
}

type sealedBatch struct {
	number uint64
	keys   []string
}

type undoWrite struct {
	key string
	old dirtyValue
	had bool
}

func newView() view { return view{current: 1} }

// get answers from the view. known is false when the Store must be asked.
func (v *view) get(key string) (value []byte, known bool) {
	if d, ok := v.dirty[key]; ok {
		return d.value, true
	}
	return nil, v.wiped > v.committed
}

// writeOverhead is the most that the encoding adds to a key and a value.
const writeOverhead = 10

func writeBytes(key string, value []byte) int { return len(key) + len(value) + writeOverhead }

// growth gives what a write adds to the size of the current batch.
func (v *view) growth(key string, value []byte) int {
	n := writeBytes(key, value)
	if d, ok := v.dirty[key]; ok && d.batch == v.current {
		n -= writeBytes(key, d.value)
	}
	return n
}

// set writes a key; a nil value deletes it.
func (v *view) set(key string, value []byte) {
	v.bytes += v.growth(key, value)
	old, had := v.dirty[key]
	if v.txs > 0 {
		v.undo = append(v.undo, undoWrite{key, old, had})
	}
	if v.dirty == nil {
		v.dirty = make(map[string]dirtyValue)
	}
	v.dirty[key] = dirtyValue{value, v.current}
	if !had || old.batch != v.current {
		v.keys = append(v.keys, key)
	}
}

// deleteAll hides everything written before.
func (v *view) deleteAll() {
	clear(v.dirty)
	v.keys, v.bytes = nil, 0
	v.wipe, v.wiped = true, v.current
}

// begin starts a transaction and gives the mark to which it can be rolled back.
func (v *view) begin() int {
	v.txs++
	return len(v.undo)
}

// end ends a transaction. The writes of one that is kept still belong to the
// transactions around it.
func (v *view) end(mark int, keep bool) {
	if !keep {
		for i := len(v.undo) - 1; i >= mark; i-- {
			v.revert(v.undo[i])
		}
		v.undo = v.undo[:mark]
	}
	if v.txs--; v.txs == 0 {
		v.undo = nil
	}
}

func (v *view) revert(u undoWrite) {
	v.bytes -= writeBytes(u.key, v.dirty[u.key].value)
	if !u.had || u.old.batch <= v.committed { // the Store has what was there before
		delete(v.dirty, u.key)
		return
	}
	v.dirty[u.key] = u.old
	if u.old.batch == v.current {
		v.bytes += writeBytes(u.key, u.old.value)
	}
}

// take seals the writes of the current batch, in ascending order of keys.
func (v *view) take() (writes []Write, wipe bool) {
	slices.Sort(v.keys)
	v.keys = slices.Compact(v.keys)
	for _, key := range v.keys {
		if d, ok := v.dirty[key]; ok && d.batch == v.current {
			writes = append(writes, Write{Key: key, Value: d.value, Delete: d.value == nil})
		}
	}
	wipe = v.wipe
	v.sealed.push(sealedBatch{v.current, v.keys})
	v.current++
	v.keys, v.bytes, v.wipe = nil, 0, false
	return writes, wipe
}

// commit forgets the writes of batches up to number: the Store has them now.
func (v *view) commit(number uint64) {
	for b := v.sealed.peek(); b != nil && b.number <= number; b = v.sealed.peek() {
		for _, key := range b.keys {
			if d, ok := v.dirty[key]; ok && d.batch == b.number {
				delete(v.dirty, key)
			}
		}
		v.sealed.pop()
	}
	v.committed = number
	if len(v.dirty) == 0 {
		v.dirty = nil
	}
}

// pick gives a copy of the view's writes in a range, ascending by key, and
// whether the Store is hidden behind them.
func (v *view) pick(r Range) (writes []Write, hidden bool) {
	for key, d := range v.dirty {
		if key >= r.From && (!r.HasTo || key < r.To) {
			writes = append(writes, Write{Key: key, Value: d.value, Delete: d.value == nil})
		}
	}
	slices.SortFunc(writes, func(a, b Write) int { return strings.Compare(a.Key, b.Key) })
	return writes, v.wiped > v.committed
}
