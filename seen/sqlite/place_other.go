//go:build !linux

package sqlite

import "math"

// lookAtPlace knows nothing: that takes calls which differ on each system.
func lookAtPlace(string) (place, error) { return place{free: math.MaxInt64}, nil }
