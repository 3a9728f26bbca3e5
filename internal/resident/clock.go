package resident

import "time"

// Clocks are readings of the clocks at one moment. Each counts from a moment of its own.
type Clocks struct {
	Wall      time.Duration // can be set
	Monotonic time.Duration // stands still while the machine sleeps
	Boot      time.Duration // like Monotonic, but goes on
}

// leastJump is the least difference between two clocks that counts. Less is made by a clock that is
// being corrected, and makes no poll come notably late.
const leastJump = 10 * time.Second

// jumped reports whether the machine has slept or the clock was set between two readings. passed is
// the time that the monotonic clock has missed, at least zero.
func jumped(before, now Clocks) (passed time.Duration, yes bool) {
	monotonic := now.Monotonic - before.Monotonic
	set := now.Wall - before.Wall - monotonic
	slept := now.Boot - before.Boot - monotonic
	return max(set, slept, 0), set.Abs() >= leastJump || slept >= leastJump
}
