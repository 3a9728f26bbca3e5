//go:build !linux

package durable

import (
	"errors"
	"math"
	"os"
)

// WaysOf returns none: only Linux has a call that syncs all files and reports errors.
func WaysOf(*os.File) Ways { return Ways{} }

// SyncWhole always fails.
func SyncWhole(*os.File) error { return errors.ErrUnsupported }

// SpaceOf returns an unknown size, since each system has its own call for it.
func SpaceOf(string) (Space, error) { return Space{Free: math.MaxInt64}, nil }
