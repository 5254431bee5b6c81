package objects_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-dev/holdfast/objects/suite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestClasses runs the suite on one node in memory, with time that jumps.
func TestClasses(t *testing.T) {
	for _, c := range suite.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(func() { time.Sleep(time.Second) }) // net/http lingers after a body that it did not read
				d := newDoor(t)
				c.Run(t, suite.Target{
					URL:  func() string { return "http://door" },
					Dial: d.dial,
					Elapse: func(elapsed time.Duration) {
						time.Sleep(elapsed)
						synctest.Wait()
					},
					Restart: d.restart,
				})
			})
		})
	}
}
