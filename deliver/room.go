package deliver

import (
	"fmt"

	"github.com/popfetch/popfetch/internal/durable"
)

// reserve is kept free of messages: other programs need room, and so does the seen-table, which may
// lie on the same disk. On a small file system the reserve is a sixteenth.
const reserve = 8 << 20

// roomIn returns how many octets may be written to the file system of a folder, less the reserve.
func roomIn(dir string) (octets int64, err error) {
	space, err := durable.SpaceOf(dir)
	switch {
	case err != nil:
		return 0, fmt.Errorf("looking for room: %w", err)
	case space.Total == 0:
		return space.Free, nil // nobody knows
	}
	return max(0, space.Free-min(reserve, space.Total/16)), nil
}
