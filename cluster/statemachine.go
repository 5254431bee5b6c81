package cluster

// StateMachine holds the state of all shards of a node. Apply must be
// deterministic: no flag, limit, clock, map order or randomness may change what
// the same entries lead to, on any node, ever.
type StateMachine interface {
	// Position gives the index of the last log entry of the shard that the state
	// contains, and the header that was stored with it. 0 and nil for a new shard.
	Position(shard uint32) (index uint64, header []byte, err error)

	// Apply executes the batches, in order, and stores index and header with
	// them, in one atomic step that survives a crash as a whole or not at all. It
	// need not be durable before Sync. batches may be empty. The caller calls it
	// for one shard from one goroutine, in ascending order of index. An error
	// stops the shard on this node: an entry is never skipped.
	Apply(shard uint32, batches [][]byte, index uint64, header []byte) error

	// Sync returns when everything that Apply has executed before is durable.
	Sync() error
}
