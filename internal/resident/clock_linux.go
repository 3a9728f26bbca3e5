package resident

import (
	"time"

	"golang.org/x/sys/unix"
)

// systemClocks reads the clocks of the system. One that cannot be read stands still at zero, and then
// does not show a jump of its own.
func systemClocks() Clocks {
	read := func(clock int32) time.Duration {
		var at unix.Timespec
		if unix.ClockGettime(clock, &at) != nil {
			return 0
		}
		return time.Duration(at.Nano())
	}
	return Clocks{Wall: read(unix.CLOCK_REALTIME), Monotonic: read(unix.CLOCK_MONOTONIC), Boot: read(unix.CLOCK_BOOTTIME)}
}

// Monotonic returns the time of CLOCK_MONOTONIC, which a service manager compares with its own.
func Monotonic() time.Duration { return systemClocks().Monotonic }
