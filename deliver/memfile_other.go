//go:build !linux

package deliver

import (
	"errors"
	"os"
)

// memoryFile makes none: only Linux has them.
func memoryFile() (*os.File, error) { return nil, errors.ErrUnsupported }
