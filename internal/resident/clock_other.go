//go:build !linux

package resident

import "time"

var start = time.Now()

// systemClocks reads the wall clock and Go's monotonic one. That the machine has slept is seen by the
// wall clock.
func systemClocks() Clocks {
	now := time.Now()
	monotonic := now.Sub(start)
	return Clocks{Wall: time.Duration(now.UnixNano()), Monotonic: monotonic, Boot: monotonic}
}

// Monotonic returns the time of a clock that is never set.
func Monotonic() time.Duration { return systemClocks().Monotonic }
