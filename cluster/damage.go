package cluster

import (
	"fmt"
	"runtime/debug"

	"github.com/hashicorp/raft"
)

// sound runs f, which opens or reads files through libraries that panic on
// damage, some by touching memory that a truncated file no longer backs, and
// makes an error of it. Whoever starts a node on a damaged disk should read what
// is damaged, not a stack.
func sound(what string, f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(before)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cluster: read %s: %w: %v", what, ErrCorrupt, r)
		}
	}()
	return f()
}

// readThrough reads everything of the control group that its replica will read,
// so that damage shows here and not on a goroutine of the library's.
func readThrough(store ControlStore) error {
	first, err := store.FirstIndex()
	if err != nil {
		return fmt.Errorf("cluster: read control group: %w: %w", ErrCorrupt, err)
	}
	last, err := store.LastIndex()
	if err != nil {
		return fmt.Errorf("cluster: read control group: %w: %w", ErrCorrupt, err)
	}
	for i := first; i > 0 && i <= last; i++ {
		var l raft.Log
		if err := store.GetLog(i, &l); err != nil {
			return fmt.Errorf("cluster: read entry %d of the control group: %w: %w", i, ErrCorrupt, err)
		}
		if l.Index != i {
			return fmt.Errorf("cluster: read entry %d of the control group: it says %d: %w", i, l.Index, ErrCorrupt)
		}
		switch l.Type {
		case raft.LogCommand:
			if _, err := decodeCommand(l.Data); err != nil {
				return fmt.Errorf("cluster: read entry %d of the control group: %w", i, err)
			}
		case raft.LogConfiguration:
			raft.DecodeConfiguration(l.Data) // panics on damage
		default:
		}
	}
	return nil
}
