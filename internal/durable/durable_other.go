//go:build !linux

package durable

import (
	"errors"
	"math"
	"os"
)

// WaysOf knows none: only Linux has a call that syncs all and reports errors.
func WaysOf(*os.File) Ways { return Ways{} }

// SyncWhole is not supported.
func SyncWhole(*os.File) error { return errors.ErrUnsupported }

// SpaceOf knows nothing: each system has calls of its own for that.
func SpaceOf(string) (Space, error) { return Space{Free: math.MaxInt64}, nil }
