//go:build !linux

package config

// isMountedReadOnly reports whether the file is known to lie on a file system that is mounted
// read-only.
func isMountedReadOnly(string) bool { return false }
