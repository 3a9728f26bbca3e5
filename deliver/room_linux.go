package deliver

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// reserve is kept free of messages: other programs need room, and so does the seen-table, which may lie there too. Of a small
// file system it is a sixteenth.
const reserve = 8 << 20

// roomIn tells how many octets may be written to the file system of a folder, save for the reserve.
func roomIn(dir string) (octets int64, err error) {
	var stat unix.Statfs_t
	err = uninterrupted(func() error { return unix.Statfs(dir, &stat) })
	if err != nil {
		return 0, fmt.Errorf("looking for room in %s: %w", dir, err)
	}
	if stat.Blocks == 0 || stat.Bsize <= 0 || stat.Blocks > math.MaxInt64/uint64(stat.Bsize) {
		return math.MaxInt64, nil // some network and layered file systems do not tell
	}
	free, total := int64(stat.Bavail)*stat.Bsize, int64(stat.Blocks)*stat.Bsize
	return max(0, free-min(reserve, total/16)), nil
}
