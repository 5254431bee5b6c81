package actor

// Fault is a deliberate mistake. Tests of checkers build broken hosts with it, to
// show that the mistake would be noticed; nothing else does.
type Fault int

// What a broken host does wrong.
const (
	// FaultUngated lets outputs wait for no write.
	FaultUngated Fault = iota + 1
	// FaultUnproved lets outputs wait for no proof of the ownership.
	FaultUnproved
	// FaultReordered lets a proof send the first output last.
	FaultReordered
	// FaultUnmarked keeps marks of suspect handlers in memory only.
	FaultUnmarked
	// FaultUncounted takes marks that are found for no strikes.
	FaultUncounted
	// FaultHasty takes one panic for a strike.
	FaultHasty
	// FaultUnordered gives calls of one stub no place among each other.
	FaultUnordered
	// FaultEarlyAnswer commits the answer under a request key before the writes.
	FaultEarlyAnswer
	// FaultRerun runs a call again that has started.
	FaultRerun
	// FaultOneFingerprint takes every request with the same key for the same request.
	FaultOneFingerprint
	// FaultEagerReplay gives an answer again without a proof.
	FaultEagerReplay
	// FaultForgotten does not send again what a client missed that resumes its session.
	FaultForgotten
	// FaultRude has Leave wait for nothing.
	FaultRude
)

// WithFault gives the configuration of a host that makes that mistake; 0 is none.
func (c Config) WithFault(f Fault) Config {
	c.fault = f
	return c
}
