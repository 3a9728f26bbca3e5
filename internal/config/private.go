package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CheckPrivate refuses a file with a secret that somebody else can reach and read, as Secret.Resolve
// does. For a link, the file that it leads to counts.
func CheckPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return checkSecretFile(info, path)
}

// checkSecretFile is checkPrivate for a file that holds nothing but a secret. Secrets of containers
// are readable by their mode: what protects them is a folder that others cannot enter, or a file
// system that is mounted, read-only, for one container.
func checkSecretFile(info fs.FileInfo, path string) error {
	err := checkPrivate(info, path, path)
	if err == nil || isBehindClosedFolder(path) || isMountedReadOnly(path) {
		return nil
	}
	return fmt.Errorf("%w, or move it below a folder that only you can enter or to a read-only mount", err)
}

// isBehindClosedFolder reports whether a folder on the way to the file can be entered by nobody but
// its owner, who is this user or root.
func isBehindClosedFolder(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	if real, err = filepath.Abs(real); err != nil {
		return false
	}
	for folder := filepath.Dir(real); ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return false
		}
		owner := ownerOf(info)
		if info.Mode().Perm()&0o011 == 0 && (owner == 0 || owner == os.Geteuid()) {
			return true
		}
		if folder == filepath.Dir(folder) {
			return false
		}
	}
}

// checkPrivate refuses a file that others can read, because of its mode or because they own it. The
// error calls the file what. Files of root are accepted, since root can read everything. A pipe or
// a device has no contents to protect.
func checkPrivate(info fs.FileInfo, what, path string) error {
	owner := ownerOf(info)
	switch {
	case !info.Mode().IsRegular():
		return nil
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others can read %s (mode %#o); run chmod 600 %s", what, info.Mode().Perm(), path)
	case owner != 0 && owner != os.Geteuid():
		return fmt.Errorf("its owner, user %d, can read %s; run popfetch as that user, or chown %s", owner, what, path)
	}
	return nil
}

// checkNotWritten refuses a configuration that everybody can write, because popfetch runs the
// commands in it. The group may write it. Many systems give each user a group of their own, and a
// umask that allows it.
func checkNotWritten(info fs.FileInfo, path string) error {
	if info.Mode().IsRegular() && info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("everybody can write the file (mode %#o), and so choose the commands that it runs; run chmod o-w %s", info.Mode().Perm(), path)
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return os.Geteuid()
}
