package actor

// Broken variants of calls with a request key.
const (
	EarlyAnswer    = faultEarlyAnswer
	Rerun          = faultRerun
	OneFingerprint = faultOneFingerprint
	EagerReplay    = faultEagerReplay
)

// BoundRequestKeys sets the bounds of an idle host's objects.
func (h *Host) BoundRequestKeys(keys, bytes int) { h.maxKeys, h.maxKeyBytes = keys, bytes }
