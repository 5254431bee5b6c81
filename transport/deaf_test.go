package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

// A socket is heard although its gateway has lost a message to the same owner
// before, and has had no socket of the object since.
func TestSocketAfterALostMessageIsHeard(t *testing.T) {
	for _, gateway := range []string{"a", "b"} { // the owner's own, and another's
		t.Run(gateway, func(t *testing.T) {
			inFleet(t, RelayConfig{}, GatewayConfig{}, "a b c", func(f *fleet) {
				watcher := newMember(f.nodes["c"].open("r", ""))
				one := f.nodes[gateway].open("r", "")
				f.lose(lostDropped)
				say(t, one, "put one:0")
				synctest.Wait() // it is lost, and the gateway looks for the owner in a moment
				f.own("c")
				f.lose(lostNot)
				time.Sleep(time.Second)
				one.Close()
				time.Sleep(time.Second)
				f.own("a")
				time.Sleep(time.Second) // until all have heard of it
				two := f.nodes[gateway].open("r", "")
				say(t, two, "put two:0")
				time.Sleep(time.Minute)
				if words := watcher.words(); len(words) != 2 {
					t.Errorf("another member heard %q, want both words", words)
				}
			})
		})
	}
}
