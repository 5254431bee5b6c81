package transport

import (
	"errors"
	"strings"

	"github.com/holdfast-dev/holdfast/actor"
)

// Header fields between nodes. A client's own fields of these names never pass the door.
const (
	headerClass  = "Holdfast-Class"
	headerObject = "Holdfast-Object" // 64 hex digits
	headerName   = "Holdfast-Name"   // percent-encoded; absent where there is none
	headerSocket = "Holdfast-Socket" // 32 hex digits; absent where none is asked for
	headerClient = "Holdfast-Client" // address of the client
	headerError  = "Holdfast-Error"  // a word of peerWord; the call has no answer
	headerSwitch = "Holdfast-Switch" // the object accepted the socket
)

// peerWord is an error between nodes. The order matters as in problemOf: the
// first that fits is sent.
type peerWord struct {
	word string
	err  error
}

func peerWords() []peerWord {
	return []peerWord{
		{"outcome_unknown", actor.ErrOutcomeUnknown},
		{"handler_timeout", actor.ErrHandlerTimeout},
		{"aborted", actor.ErrAborted},
		{"mailbox_full", actor.ErrMailboxFull},
		{"stuck", actor.ErrStuck},
		{"overloaded", actor.ErrOverloaded},
		{"not_owner", actor.ErrNotOwner},
		{"closing", actor.ErrClosing},
		{"storage_full", actor.ErrStorageFull},
		{"refused", actor.ErrRefused},
		{"body_timeout", actor.ErrBodyTimeout},
		{"bad_body", actor.ErrBody},
		{"unknown_class", actor.ErrUnknownClass},
		{"bad_id", actor.ErrBadID},
	}
}

const (
	wordFault    = "fault:"
	wordInternal = "internal"
)

// errPeer is a failure of the owner that says nothing about the call.
var errPeer = errors.New("transport: the owner failed")

// peerError gives the word for an error.
func peerError(err error) string {
	if fault, ok := errors.AsType[*actor.FaultError](err); ok {
		return wordFault + fault.ID
	}
	for _, w := range peerWords() {
		if errors.Is(err, w.err) {
			return w.word
		}
	}
	return wordInternal
}

// errorOfPeer gives the error for a word. One that this version does not know
// proves nothing, so the outcome is unknown.
func errorOfPeer(word string) error {
	if id, ok := strings.CutPrefix(word, wordFault); ok {
		return &actor.FaultError{ID: id}
	}
	for _, w := range peerWords() {
		if w.word == word {
			return w.err
		}
	}
	if word == wordInternal {
		return errPeer
	}
	return actor.ErrOutcomeUnknown
}
