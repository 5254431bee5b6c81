package actor

import "time"

// lruEntry is an activation's place in the order of use. The list is circular
// around the host's root: root.next was used longest ago.
type lruEntry struct {
	act        *activation
	prev, next *lruEntry
	used       time.Time // end of its last event
	looked     time.Time // when the sweeper found it busy after that
}

func (e *lruEntry) since() time.Time {
	if e.looked.After(e.used) {
		return e.looked
	}
	return e.used
}

// init makes e the root of an empty list.
func (e *lruEntry) init() { e.prev, e.next = e, e }

func (e *lruEntry) empty() bool { return e.next == e }

func (e *lruEntry) unlink() {
	if e.prev != nil {
		e.prev.next, e.next.prev = e.next, e.prev
		e.prev, e.next = nil, nil
	}
}

// pushBack makes used, in the list of the root e, the one that was used last.
func (e *lruEntry) pushBack(used *lruEntry) {
	used.unlink()
	used.prev, used.next = e.prev, e
	used.prev.next, e.prev = used, used
}
