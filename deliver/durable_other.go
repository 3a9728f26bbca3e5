//go:build !linux

package deliver

import (
	"errors"
	"os"
)

// syncsWhole is false: only Linux has a call for it that reports errors.
func syncsWhole(*os.File) bool { return false }

func syncWhole(*os.File) error { return errors.ErrUnsupported }
