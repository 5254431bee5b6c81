package cluster

import "io"

// ShardPicture is the state of a shard at one moment, for a follower that is too
// far behind. WriteTo writes it as a stream with a version and checksums of its
// own; Close lets go of what the picture needs.
type ShardPicture = interface {
	io.WriterTo
	io.Closer
}

// StateMachine holds the state of all shards of a node. Apply must be
// deterministic: no flag, limit, clock, map order or randomness may change what
// the same entries lead to, on any node, ever.
//
// Apply, Restore and Clear of one shard are called one at a time.
type StateMachine interface {
	// Position gives the index of the last log entry of the shard that the state
	// contains, and the header that was stored with it. 0 and nil for a new shard.
	Position(shard uint32) (index uint64, header []byte, err error)

	// Apply executes the batches, in order, and stores index and header with
	// them, in one atomic step that survives a crash as a whole or not at all. It
	// need not be durable before Sync. batches may be empty. The caller calls it
	// in ascending order of index. An error stops the shard on this node: an entry
	// is never skipped.
	Apply(shard uint32, batches [][]byte, index uint64, header []byte) error

	// Sync returns when everything that Apply has executed before is durable.
	Sync() error

	// Snapshot takes a picture of what the last Apply left. It is quick. The shard
	// goes on while the picture is written.
	Snapshot(shard uint32) (ShardPicture, error)

	// Restore replaces the shard's state, position and header included, by what a
	// picture wrote, and returns when that is durable. It need not be one step: the
	// caller has noted durably that it must be done, and does it again after a
	// crash. Damaged content is an error.
	Restore(shard uint32, content io.Reader) error

	// Clear removes everything of the shard and returns when that is durable.
	Clear(shard uint32) error
}
