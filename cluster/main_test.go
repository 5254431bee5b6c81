package cluster

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that nothing is left running, but for a probe of memberlist's
// that is on its way: its Shutdown does not wait for that, which ends in a second.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// fewer gives how many seeds a test tries: of so many, a few where time is short.
func fewer(all uint64) uint64 {
	if testing.Short() {
		return (all + 5) / 6
	}
	return all
}
