package actor

import (
	"fmt"
	"sync/atomic"
)

// maxStuck is how many handlers that do not end a node bears. Their goroutines,
// and what those hold, stay until the process ends.
const maxStuck = 8

// ailment counts the handlers that do not end, and tells once that there are too many.
type ailment struct {
	stuck atomic.Int64
	told  atomic.Bool
	tell  func(reason string) // may be nil
}

func (a *ailment) begin() {
	if a.stuck.Add(1) >= maxStuck && a.told.CompareAndSwap(false, true) && a.tell != nil {
		a.tell(fmt.Sprintf("%d handlers ran into their time limit and do not end", maxStuck))
	}
}

func (a *ailment) end() { a.stuck.Add(-1) }
