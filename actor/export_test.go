package actor

// BreakOutputGate makes a broken variant of the host for tests: what leaves its
// objects waits for no write.
func (h *Host) BreakOutputGate() { h.ungated = true }
