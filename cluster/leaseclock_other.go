//go:build !linux

package cluster

import "time"

// leaseClock is the clock of leases and tickets. Where there is no clock that
// goes on while the machine sleeps and that nobody can set, the wall clock is the
// nearest: a machine whose clock is set back must not be part of a cluster.
func leaseClock() time.Duration { return time.Duration(time.Now().UnixNano()) }
