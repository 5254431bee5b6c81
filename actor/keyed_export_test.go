package actor

// BoundRequestKeys sets the bounds of an idle host's objects.
func (h *Host) BoundRequestKeys(keys, bytes int) { h.maxKeys, h.maxKeyBytes = keys, bytes }
