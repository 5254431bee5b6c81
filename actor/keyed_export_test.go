package actor

// Broken variants of calls with a request key.
const (
	EarlyAnswer    = faultEarlyAnswer
	Rerun          = faultRerun
	OneFingerprint = faultOneFingerprint
	EagerReplay    = faultEagerReplay
)

// BoundRequestKeys lowers the bound of an idle host's objects.
func (h *Host) BoundRequestKeys(n int) { h.maxKeys = n }
