package actor

import "errors"

// Outcomes of a commit. An error that is neither of the first three is unknown
// too: whoever cannot prove that a batch was not applied must not say so.
var (
	// ErrRefused means that the batch was certainly not applied and never will be.
	ErrRefused = errors.New("actor: batch refused, certainly not applied")
	// ErrNotOwner is a refusal because this node does not own the object's shard now.
	ErrNotOwner = errors.New("actor: this node does not own the object's shard")
	// ErrOverloaded is a refusal because a named bound was reached; nothing ran.
	ErrOverloaded = errors.New("actor: overloaded")
	// ErrStorageFull is a refusal because the node's disk has no room left for writes.
	ErrStorageFull = errors.New("actor: the disk of the owner is full")
	// ErrOutcomeUnknown means that nobody can say yet whether the batch was or
	// will be applied. It is not a failure and must not be shown as one.
	ErrOutcomeUnknown = errors.New("actor: outcome unknown")
)

// Committer is all that the runtime asks of the world: to own an object for a
// while and to make its batches durable. An implementation may be called from
// any goroutine.
type Committer interface {
	// Ownership gives the number of the ownership under which this node may act
	// for the object now. A later ownership of the same shard has a greater
	// number. The error is ErrNotOwner: nothing ran.
	Ownership(object ID) (uint64, error)

	// Commit makes an encoded batch durable under that ownership. Batches of one
	// object take effect in the order of the calls; once one that was taken is not
	// applied, no later one of the same ownership is. One that is refused for want
	// of room is not taken: its answer comes before Commit returns, the ownership
	// stands, and the caller seals nothing on top of it. Commit does not block on I/O, keeps the
	// batch, and calls done exactly once, from any goroutine, also before it
	// returns: nil after Store.Apply has executed the batch, an error that Is
	// ErrRefused, ErrNotOwner, ErrOverloaded or ErrStorageFull if it certainly
	// was not applied, any other error if the outcome is unknown. There is no
	// time-out: done comes when the outcome is known or lost for good. For the
	// batches of one object that were taken it comes in the order of the calls.
	Commit(object ID, ownership uint64, batch []byte, done func(error))

	// Prove proves that the ownership held at a moment after the call began, which
	// lets go whatever depends only on committed state. done is called exactly
	// once: as a rule before Prove returns; otherwise, when the proof took its
	// time, from any goroutine. After an error nothing may be released. Prove
	// itself does not block, and done does not.
	Prove(object ID, ownership uint64, done func(error))
}
