package transport

import "time"

// Events are optional functions that the package calls as things happen: the
// seam for metrics. They must not block. A class is "" where the request named
// none that exists, so that the number of its values is bounded.
type Events struct {
	ConnOpened  func() // a client's connection was accepted
	ConnClosed  func()
	ConnRefused func()                                             // there was no room for one
	Requests    func(change int)                                   // under way: one more or less
	RequestDone func(class string, status int, took time.Duration) // status 101 for a socket, 0 for an answer that was cut off

	SocketOpened func(class string)
	SocketClosed func(class string, code int) // code: what the peer sent, what was sent to it, or 1006
	MessageIn    func(bytes int)              // handed to the object
	AutoReplied  func()                       // answered without the object
	FramesOut    func(frames, bytes int)      // written to one socket, in one write
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

func (e Events) requestDone(class string, status int, took time.Duration) {
	if e.RequestDone != nil {
		e.RequestDone(class, status, took)
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
