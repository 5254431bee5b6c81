package cluster

import "github.com/hashicorp/raft"

// tailBytes bounds the newest entries that each group keeps in memory, so that
// sending them to a follower reads no disk.
const tailBytes = 256 << 10

// logTail holds a run of consecutive log entries, bounded by bytes. It has no
// lock of its own.
type logTail struct {
	logs  []raft.Log // consecutive indexes, oldest first
	bytes int        // of their data
}

// push adds entries. An entry that does not follow the newest starts a new run.
func (t *logTail) push(logs []*raft.Log) {
	for _, l := range logs {
		if n := len(t.logs); n > 0 && t.logs[n-1].Index+1 != l.Index {
			t.clear()
		}
		t.logs = append(t.logs, *l)
		t.bytes += len(l.Data)
	}
	drop := 0
	for t.bytes > tailBytes {
		t.bytes -= len(t.logs[drop].Data)
		t.logs[drop] = raft.Log{} // lets go of the data before the slice moves on
		drop++
	}
	t.logs = t.logs[drop:]
}

// get gives the entry at index, if it is in the run.
func (t *logTail) get(index uint64) (raft.Log, bool) {
	if len(t.logs) == 0 || index < t.logs[0].Index || index > t.logs[len(t.logs)-1].Index {
		return raft.Log{}, false
	}
	return t.logs[index-t.logs[0].Index], true
}

// cut removes what a deletion of the log's entries first to last leaves no room
// for: a run with a hole is no run.
func (t *logTail) cut(first, last uint64) {
	if len(t.logs) == 0 {
		return
	}
	oldest, newest := t.logs[0].Index, t.logs[len(t.logs)-1].Index
	switch {
	case last < oldest || first > newest:
	case first > oldest: // the newer part goes
		for _, l := range t.logs[first-oldest:] {
			t.bytes -= len(l.Data)
		}
		clear(t.logs[first-oldest:])
		t.logs = t.logs[:first-oldest]
	case last < newest: // the older part goes
		for i := range last + 1 - oldest {
			t.bytes -= len(t.logs[i].Data)
			t.logs[i] = raft.Log{}
		}
		t.logs = t.logs[last+1-oldest:]
	default:
		t.clear()
	}
}

func (t *logTail) clear() { *t = logTail{} }
