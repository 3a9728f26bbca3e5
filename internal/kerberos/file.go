package kerberos

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFile limits the ticket cache and krb5.conf.
const maxFile = 4 << 20

// readFile reads a regular file that check, if there is one, allows. It does not wait for the other
// end of a pipe.
func readFile(path string, check func(path string, info fs.FileInfo) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if check != nil {
		if err := check(path, info); err != nil {
			return nil, err
		}
	}
	octets, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(octets) > maxFile {
		err = fmt.Errorf("%s has more than %d octets", path, maxFile)
	}
	return octets, err
}

// checkOwn refuses a cache that somebody else may have written. It has the keys by which a service
// proves itself, and anybody may make a file in /tmp.
func checkOwn(path string, info fs.FileInfo) error {
	owner := os.Geteuid()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(stat.Uid)
	}
	switch {
	case owner != 0 && owner != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d; run popfetch as that user, or set KRB5CCNAME to a cache of your own", path, owner)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write %s (mode %#o); remove it, and run kinit", path, info.Mode().Perm())
	}
	return nil
}
