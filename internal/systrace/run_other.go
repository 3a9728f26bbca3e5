//go:build !linux || !amd64

package systrace

import (
	"os"
	"time"
)

// Run returns ErrUnsupported on this system.
func Run([]string, []string, *os.File, time.Duration, Watch) (status int, err error) {
	return 0, ErrUnsupported
}
