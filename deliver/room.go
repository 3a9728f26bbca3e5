package deliver

import (
	"fmt"

	"github.com/popfetch/popfetch/internal/durable"
)

// reserve is how many octets are kept free. Other programs need room, and so does the seen-table,
// which may lie on the same disk. On a small file system the reserve is a sixteenth of its size.
const reserve = 8 << 20

// roomIn returns how many octets may be written to the file system of a folder, without the
// reserve.
func roomIn(dir string) (octets int64, err error) {
	space, err := durable.SpaceOf(dir)
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading how much room there is: %w", err)
	case space.Total == 0:
		return space.Free, nil // the size is not known
	}
	return max(0, space.Free-min(reserve, space.Total/16)), nil
}
