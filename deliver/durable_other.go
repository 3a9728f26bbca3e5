//go:build !linux

package deliver

import (
	"errors"
	"os"
)

// waysOf knows none: only Linux has a call that syncs all and reports errors.
func waysOf(*os.File) ways { return ways{} }

func syncWhole(*os.File) error { return errors.ErrUnsupported }
