package actor

import (
	"errors"
	"fmt"
)

// Errors that a class meets.
var (
	// ErrNoGate means that the context does not name an event that holds the
	// object's gate: the event has ended, waits outside, or belongs to another object.
	ErrNoGate = errors.New("actor: this event does not hold the object's gate; use the context of the running event, outside of Outside")
	// ErrEnded means that the activation is over; nothing that its events still do has an effect.
	ErrEnded = errors.New("actor: the activation has ended")
	// ErrInTransaction refuses an outside wait in a transaction.
	ErrInTransaction = errors.New("actor: not possible in a transaction")
	// ErrRolledBack is returned by a transaction that is over.
	ErrRolledBack = errors.New("actor: the transaction is over")
	// ErrKey refuses a key.
	ErrKey = fmt.Errorf("actor: a key is 1 to %d bytes of valid UTF-8", MaxKeyBytes)
	// ErrValueTooLarge refuses a value.
	ErrValueTooLarge = fmt.Errorf("actor: value larger than %d bytes", MaxValueBytes)
	// ErrBatchTooLarge refuses a write that would make the event's batch too large.
	ErrBatchTooLarge = fmt.Errorf("actor: more than %d bytes written between two outside waits", MaxBatchBytes)
	// ErrTooManyKeys refuses a multi-key call.
	ErrTooManyKeys = fmt.Errorf("actor: more than %d keys in one call", MaxKeysPerCall)
	// ErrListTooLarge refuses a list whose result would not fit.
	ErrListTooLarge = fmt.Errorf("actor: list of more than %d bytes; use Limit", MaxListBytes)
	// ErrListOptions refuses contradictory options.
	ErrListOptions = errors.New("actor: list takes Start or StartAfter, not both, and a Limit that is not negative")
	// ErrEncoding means that a stored value was not written by the typed helpers.
	ErrEncoding = errors.New("actor: the stored value is not JSON")
	// ErrNoAlarm refuses to set an alarm for a class that has no Alarm method.
	ErrNoAlarm = errors.New("actor: the class has no Alarm method")
	// ErrAlarmTime refuses a time at or before the Unix epoch.
	ErrAlarmTime = errors.New("actor: an alarm needs a time after the Unix epoch")
	// ErrNotUpgrade refuses AcceptSocket for a request that did not ask for a WebSocket.
	ErrNotUpgrade = errors.New("actor: the request does not ask for a WebSocket")
	// ErrTooManySockets refuses one more socket.
	ErrTooManySockets = fmt.Errorf("actor: more than %d sockets on one object", MaxSockets)
	// ErrTags refuses the tags of a socket.
	ErrTags = fmt.Errorf("actor: a socket has at most %d tags of 1 to %d bytes", MaxTags, MaxTagBytes)
	// ErrProtocol refuses a subprotocol.
	ErrProtocol = fmt.Errorf("actor: a socket's subprotocol is one of those that the client offered, of at most %d bytes", MaxProtocolBytes)
	// ErrAttachmentTooLarge refuses an attachment.
	ErrAttachmentTooLarge = fmt.Errorf("actor: attachment larger than %d bytes", MaxAttachmentBytes)
	// ErrAutoReply refuses an automatic reply.
	ErrAutoReply = fmt.Errorf("actor: request and reply of an automatic reply have at most %d bytes each", MaxAutoReplyBytes)
	// ErrSocketClosed means that the socket is closed.
	ErrSocketClosed = errors.New("actor: the socket is closed")
	// ErrCloseCode refuses a close code or reason that may not be sent.
	ErrCloseCode = fmt.Errorf("actor: a close code is 1000 or 3000 to 4999, or one of 1001 to 1014 that RFC 6455 lets be sent; a reason needs a code and has at most %d bytes of UTF-8", MaxReasonBytes)
	// ErrFrameTooLarge refuses a message to a socket.
	ErrFrameTooLarge = fmt.Errorf("actor: message larger than %d bytes", MaxFrameBytes)
	// ErrNotText refuses a text message that is not valid UTF-8.
	ErrNotText = errors.New("actor: a text message must be valid UTF-8")
	// ErrUnknownClass means that no class has that name.
	ErrUnknownClass = errors.New("actor: unknown class")
)

// Errors that a caller of an object meets, besides those of committer.go.
var (
	// ErrMailboxFull is an ErrOverloaded: the object has too much to do.
	ErrMailboxFull = fmt.Errorf("%w: the object's mailbox is full", ErrOverloaded)
	// ErrStuck is an ErrOverloaded: a handler of the object ran into its time limit and has not returned since.
	ErrStuck = fmt.Errorf("%w: a handler of the object does not end", ErrOverloaded)
	// ErrClosing means that the node is stopping; nothing ran.
	ErrClosing = errors.New("actor: the node is stopping")
	// ErrBodyTimeout means that the request's body did not arrive in time; nothing ran.
	ErrBodyTimeout = errors.New("actor: the request body did not arrive in time")
	// ErrBody means that the request's body could not be read; nothing ran.
	ErrBody = errors.New("actor: the request body could not be read")
	// ErrSession refuses a session key; nothing ran.
	ErrSession = fmt.Errorf("actor: a session key is %d to %d letters, digits, '-' or '_', given once", minSessionKey, maxSessionKey)
	// ErrRequestKey refuses an Idempotency-Key; nothing ran.
	ErrRequestKey = fmt.Errorf("actor: an Idempotency-Key is one string of 1 to %d visible ASCII characters, in quotes or without", maxRequestKey)
	// ErrKeyedBody refuses a body that is too long to be compared; nothing ran.
	ErrKeyedBody = fmt.Errorf("actor: a call with an Idempotency-Key has a body of at most %d bytes", bodyBytes)
	// ErrKeyReused refuses a call whose key belongs to another request; nothing ran.
	ErrKeyReused = errors.New("actor: the Idempotency-Key was used for another request")
	// ErrKeyInProgress refuses a call while the one with its key runs; nothing ran.
	ErrKeyInProgress = errors.New("actor: a call with this Idempotency-Key is running")
	// ErrPartiallyApplied refuses a call because the one with its key has begun and
	// broke off: some of its writes may have taken effect. Nothing ran now.
	ErrPartiallyApplied = errors.New("actor: a call with this Idempotency-Key broke off after it had begun")
	// ErrTooManyRequestKeys refuses a call because the object keeps as many answers as it may; nothing ran.
	ErrTooManyRequestKeys = fmt.Errorf("actor: the object keeps the answers of %d calls with an Idempotency-Key, or %d bytes of them", MaxRequestKeys, MaxRequestKeyBytes)
	// ErrAnswerTooLarge means that the answer to a call with a key cannot be kept.
	// What the call had written since its last outside wait is dropped.
	ErrAnswerTooLarge = fmt.Errorf("actor: the answer to a call with an Idempotency-Key is larger than %d bytes, or its header larger than %d", MaxKeyedAnswerBytes, maxKeyedHeaderBytes)
	// ErrCallerLeft means that nobody waits for the answer any more. The event, if
	// it has begun, goes on.
	ErrCallerLeft = errors.New("actor: the caller left")
	// ErrHandlerTimeout means that a handler held the gate for longer than its class
	// allows. What it had written since its last outside wait is dropped.
	ErrHandlerTimeout = errors.New("actor: the handler did not end in time")
	// ErrAborted means that the object ended its activation itself.
	ErrAborted = errors.New("actor: the object aborted its activation")
)

// FaultError is a failure of the object's own code: a panic, or a constructor
// that returned an error. ID stands in the node's log beside the details, which
// are not for the caller.
type FaultError struct {
	ID string
}

// Error names the fault by its ID.
func (e *FaultError) Error() string { return "actor: the object failed, fault " + e.ID }

// isRefusal says that an error means: certainly not applied, certainly not run.
func isRefusal(err error) bool {
	for _, refusal := range []error{ErrRefused, ErrNotOwner, ErrOverloaded, ErrStorageFull, ErrClosing} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
