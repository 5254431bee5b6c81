package transport

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

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
	headerPlace  = "Holdfast-Place"  // of a stub's call, see formatPlace; absent in others
	headerOwner  = "Holdfast-Owner"  // with an error: who owns the object instead, see formatHint
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
		{"answer_too_large", actor.ErrAnswerTooLarge},
		{"partially_applied", actor.ErrPartiallyApplied},
		{"key_in_progress", actor.ErrKeyInProgress},
		{"key_reused", actor.ErrKeyReused},
		{"too_many_keys", actor.ErrTooManyRequestKeys},
		{"bad_key", actor.ErrRequestKey},
		{"bad_session", actor.ErrSession},
		{"keyed_body", actor.ErrKeyedBody},
		{"body_timeout", actor.ErrBodyTimeout},
		{"bad_body", actor.ErrBody},
		{"unknown_class", actor.ErrUnknownClass},
		{"bad_id", actor.ErrBadID},
	}
}

const (
	wordFault       = "fault:"
	wordQuarantined = "quarantined:" // and for how long, in milliseconds
	wordInternal    = "internal"
)

// errPeer is a failure of the owner that says nothing about the call.
var errPeer = errors.New("transport: the owner failed")

// peerError gives the word for an error.
func peerError(err error) string {
	if fault, ok := errors.AsType[*actor.FaultError](err); ok {
		return wordFault + fault.ID
	}
	if q, ok := errors.AsType[*actor.QuarantineError](err); ok {
		return wordQuarantined + strconv.FormatInt(q.Wait.Milliseconds(), 10)
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
	if text, ok := strings.CutPrefix(word, wordQuarantined); ok {
		wait, _ := strconv.ParseInt(text, 10, 32) // whatever it says, the object is refused
		return &actor.QuarantineError{Wait: time.Duration(wait) * time.Millisecond}
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

var errPeerForm = fmt.Errorf("%w: transport: a header between nodes that this version does not know", actor.ErrRefused)

// formatPlace gives start number, stub, number and base, in decimal.
func formatPlace(p actor.Place) string {
	return fmt.Sprintf("%d %d %d %d", p.Start, p.Stub, p.Number, p.Base)
}

func parsePlace(text string) (p actor.Place, err error) {
	fields := strings.Split(text, " ")
	into := []*uint64{&p.Start, &p.Stub, &p.Number, &p.Base}
	if len(fields) != len(into) {
		return actor.Place{}, errPeerForm
	}
	for i, field := range fields {
		if *into[i], err = strconv.ParseUint(field, 10, 64); err != nil {
			return actor.Place{}, errPeerForm
		}
	}
	if p.Base == 0 || p.Base > p.Number {
		return actor.Place{}, errPeerForm
	}
	return p, nil
}

// formatHint gives the ownership in decimal and the name of the node.
func formatHint(h Hint) string { return strconv.FormatUint(h.Ownership, 10) + " " + h.Node }

// parseHint gives no hint for what it cannot read: a hint is never needed.
func parseHint(text string) (Hint, bool) {
	number, node, ok := strings.Cut(text, " ")
	ownership, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || ownership == 0 || node == "" {
		return Hint{}, false
	}
	return Hint{Node: node, Ownership: ownership}, true
}
