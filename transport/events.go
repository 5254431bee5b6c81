package transport

import (
	"errors"
	"os"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// Events are optional functions that the package calls as things happen: the
// seam for metrics. They must not block. A class is "" where the request named
// none that exists, so that the number of its values is bounded.
type Events struct {
	ConnOpened  func() // a client's connection was accepted
	ConnClosed  func()
	ConnRefused func()           // there was no room for one
	Requests    func(change int) // under way: one more or less
	// RequestDone tells of a request: status is 101 for a socket, 0 for an answer that
	// was cut off; problem is one of Problems if the runtime answered, and not the
	// object, else "".
	RequestDone func(class string, status int, problem string, took time.Duration)

	Forwarded   func(end ForwardEnd, took time.Duration) // a call was sent to another node, once
	Retried     func()                                   // a call that did not run was sent again
	OwnerWaited func(took time.Duration)                 // a call was not served at its first try: for so long it looked for an owner

	SocketOpened    func(class string)
	SocketClosed    func(class string, code int) // code: what the peer sent, what was sent to it, or 1006
	SocketOverrun   func()                       // the client reads too slowly: its socket is closed
	SocketsGivenUp  func(sockets int)            // no owner was found for their object: they are closed
	SocketLinkEnded func(end LinkEnd)            // either end of a link that was up
	MessageIn       func(bytes int)              // handed to the object
	AutoReplied     func()                       // answered without the object
	FramesOut       func(frames, bytes int)      // written to one socket, in one write
}

// ForwardEnd says how a call to another node ended.
type ForwardEnd uint8

// Ends of a call to another node.
const (
	ForwardAnswered ForwardEnd = iota
	ForwardRefused             // it certainly did not run, and may be sent again
	ForwardFailed              // the owner answered with an error of its own
	ForwardUnknown             // nobody knows whether it ran
	ForwardCut                 // the answer broke off after its head
	ForwardLeft                // the caller left
)

// String gives the end's name as it stands in metrics.
func (e ForwardEnd) String() string {
	return [...]string{"answered", "refused", "failed", "unknown", "cut", "caller_left"}[e]
}

// ForwardEnds gives all of them.
func ForwardEnds() []ForwardEnd {
	return []ForwardEnd{ForwardAnswered, ForwardRefused, ForwardFailed, ForwardUnknown, ForwardCut, ForwardLeft}
}

// forwardEnd puts the error of a call into a word.
func forwardEnd(err error) ForwardEnd {
	_, refused := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		return ForwardAnswered
	case errors.Is(err, errCutOff):
		return ForwardCut
	case errors.Is(err, actor.ErrCallerLeft):
		return ForwardLeft
	case errors.Is(err, actor.ErrOutcomeUnknown):
		return ForwardUnknown
	case refused:
		return ForwardRefused
	default:
		return ForwardFailed
	}
}

// LinkEnd says why a socket link ended.
type LinkEnd uint8

// Ends of a socket link.
const (
	LinkIdle    LinkEnd = iota // no socket needed it
	LinkClosing                // this node stops
	LinkBehind                 // the peer took too little of it
	LinkSilent                 // nothing came for several beats, or nothing could be sent
	LinkBroken                 // the peer closed it, or the network did
	LinkGarbled                // it carried what this version does not understand
)

// String gives the end's name as it stands in metrics.
func (e LinkEnd) String() string {
	return [...]string{"idle", "closing", "behind", "silent", "broken", "garbled"}[e]
}

// LinkEnds gives all of them.
func LinkEnds() []LinkEnd {
	return []LinkEnd{LinkIdle, LinkClosing, LinkBehind, LinkSilent, LinkBroken, LinkGarbled}
}

// linkEnd puts the cause of a socket link's end into a word.
func linkEnd(cause error) LinkEnd {
	switch {
	case errors.Is(cause, errLinkIdle):
		return LinkIdle
	case errors.Is(cause, ErrClosed):
		return LinkClosing
	case errors.Is(cause, errBehind):
		return LinkBehind
	case errors.Is(cause, os.ErrDeadlineExceeded):
		return LinkSilent
	case errors.Is(cause, errSocketWire):
		return LinkGarbled
	default:
		return LinkBroken
	}
}

func (e Events) connOpened() {
	if e.ConnOpened != nil {
		e.ConnOpened()
	}
}

func (e Events) connRefused() {
	if e.ConnRefused != nil {
		e.ConnRefused()
	}
}

func (e Events) requests(change int) {
	if e.Requests != nil {
		e.Requests(change)
	}
}

func (e Events) connClosed() {
	if e.ConnClosed != nil {
		e.ConnClosed()
	}
}

func (e Events) requestDone(class string, status int, problem string, took time.Duration) {
	if e.RequestDone != nil {
		e.RequestDone(class, status, problem, took)
	}
}

func (e Events) forwarded(err error, took time.Duration) {
	if e.Forwarded != nil {
		e.Forwarded(forwardEnd(err), took)
	}
}

func (e Events) retried() {
	if e.Retried != nil {
		e.Retried()
	}
}

func (e Events) ownerWaited(took time.Duration) {
	if e.OwnerWaited != nil {
		e.OwnerWaited(took)
	}
}

func (e Events) socketOpened(class string) {
	if e.SocketOpened != nil {
		e.SocketOpened(class)
	}
}

func (e Events) socketClosed(class string, code int) {
	if e.SocketClosed != nil {
		e.SocketClosed(class, code)
	}
}

func (e Events) socketOverrun() {
	if e.SocketOverrun != nil {
		e.SocketOverrun()
	}
}

func (e Events) socketsGivenUp(sockets int) {
	if e.SocketsGivenUp != nil && sockets > 0 {
		e.SocketsGivenUp(sockets)
	}
}

func (e Events) socketLinkEnded(cause error) {
	if e.SocketLinkEnded != nil {
		e.SocketLinkEnded(linkEnd(cause))
	}
}

func (e Events) messageIn(bytes int) {
	if e.MessageIn != nil {
		e.MessageIn(bytes)
	}
}

func (e Events) autoReplied() {
	if e.AutoReplied != nil {
		e.AutoReplied()
	}
}

func (e Events) framesOut(frames, bytes int) {
	if e.FramesOut != nil {
		e.FramesOut(frames, bytes)
	}
}
