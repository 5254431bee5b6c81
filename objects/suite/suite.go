package suite

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"
)

// Target is what is tested. Every case uses objects of its own, with random
// names, so a target may be used again, and by several at the same time.
type Target struct {
	// URL gives the base URL of a node, such as http://127.0.0.1:8080. It may give
	// another node each time it is called.
	URL func() string

	// Dial connects to the host of a URL. nil is the machine's own network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Elapse lets time pass; in a bubble it sleeps. With nil the cases that wait
	// for hours are skipped.
	Elapse func(d time.Duration)

	// Restart stops all nodes and starts them again on their data, and returns
	// when they answer. With nil the cases that need it are skipped.
	Restart func()

	// Unsteady says that owners may change while the cases run, as they do on a
	// machine whose processes do not get their turn in time. A call that was refused
	// because no node owned the object is then made again, as clients should.
	Unsteady bool
}

// Case is one test.
type Case struct {
	Name string
	Run  func(t *testing.T, target Target)
}

// Run runs all cases as subtests.
func Run(t *testing.T, target Target) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, target) })
	}
}

// Cases gives all cases.
func Cases() []Case {
	return slices.Concat(
		class("Counter", counterCases()),
		class("UserSession", userSessionCases()),
		class("ChatRoom", chatRoomCases()),
		class("DocumentEditor", documentEditorCases()),
		class("GameSession", gameSessionCases()),
		class("CoordinationService", coordinationCases()),
		class("EventStore", eventStoreCases()),
	)
}

// script is what a case does with an object that nobody has used before.
type script struct {
	name string
	run  func(o *object)
}

func class(name string, scripts []script) []Case {
	cases := make([]Case, len(scripts))
	for i, s := range scripts {
		cases[i] = Case{name + "/" + s.name, func(t *testing.T, target Target) {
			t.Helper()
			s.run(newObject(t, target, name))
		}}
	}
	return cases
}
