package sqlite

import (
	"bufio"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shared are the file systems that other machines may write to at the same time, or whose memory
// maps are unreliable. The package unix has no names for the last four.
var shared = map[uint32]bool{
	unix.NFS_SUPER_MAGIC: true, unix.SMB_SUPER_MAGIC: true, unix.CIFS_SUPER_MAGIC: true, unix.SMB2_SUPER_MAGIC: true,
	unix.FUSE_SUPER_MAGIC: true, unix.V9FS_MAGIC: true, unix.AFS_SUPER_MAGIC: true, unix.AFS_FS_MAGIC: true,
	unix.CEPH_SUPER_MAGIC: true, unix.CODA_SUPER_MAGIC: true, unix.OCFS2_SUPER_MAGIC: true, unix.NCP_SUPER_MAGIC: true,
	0x01161970: true, // GFS2
	0x0bd00bd0: true, // Lustre
	0x47504653: true, // GPFS
	0x786f4256: true, // VirtualBox' shared folders
}

// lookAtPlace returns the kind of a folder's file system and its free octets. If the file system
// does not know them, free is the largest number.
func lookAtPlace(dir string) (place, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return place{}, err
	}
	p := place{shared: shared[uint32(stat.Type)], free: math.MaxInt64}
	if stat.Blocks > 0 && stat.Bavail < math.MaxInt64/uint64(stat.Bsize) {
		p.free = int64(stat.Bavail) * stat.Bsize
	}
	return p, nil
}

// holdsLock reports whether a process holds a lock of any file; true if the kernel does not tell. The
// file is not compared: some file systems show other numbers here than to stat(2).
func holdsLock(process int) bool {
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return true
	}
	defer locks.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(locks)
	for lines.Scan() { // 1: FLOCK  ADVISORY  WRITE 4711 fd:01:393227 0 EOF
		if words := strings.Fields(lines.Text()); len(words) > 4 && words[4] == strconv.Itoa(process) {
			return true
		}
	}
	return lines.Err() != nil
}
