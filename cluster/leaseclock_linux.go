package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// leaseClock is the clock of leases and tickets. It goes on while the machine
// sleeps, which the monotonic clock of package time does not: a leader that was
// asleep must find its lease over.
func leaseClock() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("cluster: the kernel has no boot-time clock: " + err.Error())
	}
	return time.Duration(t.Nano())
}
