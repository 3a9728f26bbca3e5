package config

import "golang.org/x/sys/unix"

// isMountedReadOnly reports whether the file lies on a file system that is mounted read-only.
func isMountedReadOnly(path string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(path, &stat) == nil && stat.Flags&unix.ST_RDONLY != 0
}
