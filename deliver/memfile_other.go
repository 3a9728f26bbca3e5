//go:build !linux

package deliver

import (
	"errors"
	"os"
)

// memoryFile returns an error: only Linux has files in memory.
func memoryFile() (*os.File, error) { return nil, errors.ErrUnsupported }
