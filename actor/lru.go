package actor

import "time"

// lruEntry is an activation's place in the order of use. The list is circular
// around the host's root: root.next was used longest ago.
type lruEntry struct {
	act        *activation
	prev, next *lruEntry
	used       time.Time // end of its last event
}

func (root *lruEntry) init() { root.prev, root.next = root, root }

func (root *lruEntry) empty() bool { return root.next == root }

func (e *lruEntry) unlink() {
	if e.prev != nil {
		e.prev.next, e.next.prev = e.next, e.prev
		e.prev, e.next = nil, nil
	}
}

// pushBack makes e the one that was used last.
func (root *lruEntry) pushBack(e *lruEntry) {
	e.unlink()
	e.prev, e.next = root.prev, root
	e.prev.next, root.prev = e, e
}
