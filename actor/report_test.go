package actor_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// TestAHandlerThatRunsForLongIsReported: with its own stack and not another's.
func TestAHandlerThatRunsForLongIsReported(t *testing.T) {
	guilty, innocent := newDoor(), newDoor()
	class := behavior{serve: func(_ *actor.State, _ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/guilty" {
			guiltyHandler(guilty)
		} else {
			innocentHandler(innocent)
		}
	}}.class()
	inBubble(t, class, func(b *bubble) {
		b.begin("/guilty", "")
		for i := range 20 {
			b.Begin(b.Target("Thing", fmt.Sprint(i)), http.MethodGet, "/innocent", "")
		}
		pass(4 * time.Second)
		innocent.open()
		synctest.Wait()
		if log := b.Log.String(); log != "" {
			t.Fatalf("the log after 4 s:\n%s", log)
		}
		innocent.shut()
		for i := range 20 {
			b.Begin(b.Target("Thing", fmt.Sprint(i)), http.MethodGet, "/innocent", "")
		}
		pass(2 * time.Second)
		log := b.Log.String()
		if !strings.Contains(log, "guiltyHandler") || strings.Contains(log, "innocentHandler") || strings.Count(log, "\n") != 1 ||
			!strings.Contains(log, "name=a kind=request ran=5s ended=false") {
			t.Errorf("the log after 6 s, want one report of guiltyHandler:\n%s", log)
		}
		innocent.open()
		pass(30 * time.Second)
		if log = b.Log.String()[len(log):]; !strings.Contains(log, "guiltyHandler") || !strings.Contains(log, "ran=30s ended=true") {
			t.Errorf("the log after the time limit, want a report of guiltyHandler:\n%s", log)
		}
		guilty.open()
	})
}

func guiltyHandler(d *door)   { d.wait() }
func innocentHandler(d *door) { d.wait() }

// TestAilment: eight handlers that do not end are too many, and that is told once.
func TestAilment(t *testing.T) {
	dr := newDoor()
	told := 0
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": slow(dr)}, Ailing: func(string) { told++ }}
	inBubbleWith(t, cfg, func(b *bubble) {
		start := func(first, last int) {
			for i := first; i <= last; i++ {
				b.Begin(b.Target("Thing", fmt.Sprint(i)), http.MethodGet, "/slow", "")
			}
			pass(31 * time.Second)
		}
		start(1, 7)
		dr.open()
		synctest.Wait()
		dr.shut()
		start(8, 14) // those before have ended
		if told != 0 {
			t.Fatalf("with 7 handlers that do not end it was told %d times", told)
		}
		start(15, 18)
		if told != 1 {
			t.Errorf("with 11 handlers that do not end it was told %d times, want 1", told)
		}
		dr.open()
	})
}
