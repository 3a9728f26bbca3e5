package deliver

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile makes a file in memory that has no name. Some sandboxes do not allow it.
func memoryFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	if err := unix.Fchmod(fd, 0o600); err != nil {
		return nil, errors.Join(os.NewSyscallError("fchmod", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "message in memory"), nil
}
