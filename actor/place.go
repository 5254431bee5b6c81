package actor

import (
	"context"
	"slices"
	"sync"
)

// Place is where a call stands among the calls of its stub. Whoever runs the
// object admits them in the order of their numbers, whichever way they came.
type Place struct {
	Start  uint64 // of the caller's node: its start number
	Stub   uint64 // number of the stub on that node since that start
	Number uint64 // of the call in its stub, from 1 on
	// Base is the lowest number that may still be sent: those below it were
	// admitted or given up. So the first of several calls need not wait for
	// anything, and whoever begins to own the object knows where to begin.
	Base uint64
}

type placeKey struct{}

// WithPlace gives a context for Router.Dispatch. place is asked each time the
// call is sent, since its base grows meanwhile.
func WithPlace(ctx context.Context, place func() Place) context.Context {
	return context.WithValue(ctx, placeKey{}, place)
}

// PlaceOf gives the place of the call that ctx belongs to, if it has one.
func PlaceOf(ctx context.Context) (Place, bool) {
	place, ok := ctx.Value(placeKey{}).(func() Place)
	if !ok {
		return Place{}, false
	}
	return place(), true
}

// maxOpenCalls bounds the calls of one stub that are not settled.
const maxOpenCalls = 1024

// sequence numbers the calls of a stub. A call is open until its answer begins,
// or it has failed, or its caller has left: it is not sent again then.
type sequence struct {
	start, stub uint64 // fixed

	mu     sync.Mutex // guards the following fields
	last   uint64
	open   []uint64 // ascending
	direct uint64   // the ownership under which all open calls were posted on this node; 0 = they were not
}

// next numbers a call. ownership is that of this node for the object, 0 if it
// has none. direct says that the call may be posted under it: nothing that was
// called before can come later.
func (s *sequence) next(ownership uint64) (number uint64, direct bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxOpenCalls {
		return 0, false, ErrOverloaded
	}
	direct = ownership != 0 && (len(s.open) == 0 || s.direct == ownership)
	s.direct = 0
	if direct {
		s.direct = ownership
	}
	s.last++
	s.open = append(s.open, s.last)
	return s.last, direct, nil
}

// detour notes that an open call has to go by way of the router after all.
func (s *sequence) detour() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.direct = 0
}

func (s *sequence) settle(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := slices.BinarySearch(s.open, number); ok {
		s.open = slices.Delete(s.open, i, i+1)
	}
}

// place gives the place of a call that is sent now.
func (s *sequence) place(number uint64) Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := Place{Start: s.start, Stub: s.stub, Number: number, Base: number}
	if len(s.open) > 0 {
		p.Base = min(p.Base, s.open[0])
	}
	return p
}
