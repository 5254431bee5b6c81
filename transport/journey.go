package transport

import (
	"errors"
	"time"
)

// errCutOff means that an answer broke off after its head.
var errCutOff = errors.New("transport: the answer broke off")

// journey is what a router tells of a call's way to the owner of its object.
type journey struct {
	events *Events
	sends  int
	astray time.Time // since when it looks for an owner that takes it; zero: it never had to
	sent   time.Time // when it was sent last, if it went astray before
}

// send notes that the call is given to whoever may be the owner.
func (j *journey) send() {
	if j.sends++; j.sends > 1 {
		j.events.retried()
	}
	if !j.astray.IsZero() {
		j.sent = time.Now()
	}
}

// wait notes that nobody has taken the call, and that it waits for better news.
func (j *journey) wait() {
	if j.astray.IsZero() {
		j.astray = time.Now()
	}
}

// over tells how long the call looked for an owner, until it found the one who has
// taken it or gave up. One that was served at once tells nothing.
func (j *journey) over() {
	if j.astray.IsZero() {
		return
	}
	found := j.sent
	if found.IsZero() {
		found = time.Now()
	}
	j.events.ownerWaited(found.Sub(j.astray))
}
