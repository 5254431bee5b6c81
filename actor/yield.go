package actor

// Yield is called before this node gives a shard to another by its own choice:
// the handlers that run have done nothing wrong, so the next owner shall not find
// their marks. Those that are stuck keep theirs. It does not wait: what it
// proposes comes before the end of the ownership.
func (h *Host) Yield(shard uint32) {
	for _, act := range h.ofShard(shard) {
		act.mu.Lock()
		act.yielded = true
		if s := act.suspect; s != nil && s.running != nil && s.running != act.stuck {
			act.unmarkLocked(s.running)
		}
		commit := act.saveLocked()
		act.mu.Unlock()
		commit()
	}
}
