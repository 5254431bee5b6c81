package actor

// fault makes a broken variant of a host. Only tests choose one, to show that
// their checkers catch it.
type fault int

const (
	faultNone           fault = iota
	faultUngated              // outputs wait for no write
	faultUnproved             // outputs wait for no proof
	faultReordered            // a proof lets the first output go last
	faultUnmarked             // marks are not durable
	faultUncounted            // marks that are found are no strikes
	faultHasty                // one panic is a strike
	faultUnordered            // calls of one stub have no place among each other
	faultEarlyAnswer          // the answer under a request key is committed before the writes
	faultRerun                // a call that has started runs again
	faultOneFingerprint       // every request with the same key is the same request
	faultEagerReplay          // an answer is given again without a proof
)
