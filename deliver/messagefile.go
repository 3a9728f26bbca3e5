package deliver

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// messageFile is the file of a message that is being delivered. It costs less than an os.File. That
// needs a finalizer and locks for each message, and it asks the kernel about a poller, which files
// do not have.
type messageFile struct {
	folder *os.File
	name   string
	fd     int // -1 once closed
}

// openMessages counts the files that are open, of all accounts.
var openMessages atomic.Int32

// createMessage makes a new file in folder. It does not look up the folder's path again.
func createMessage(folder *os.File, name string) (*messageFile, error) {
	f := &messageFile{folder: folder, name: name, fd: -1}
	err := durable.Uninterrupted(func() (err error) {
		f.fd, err = unix.Openat(int(folder.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return nil, f.failed("open", err)
	}
	openMessages.Add(1)
	return f, nil
}

// Write writes all of p, or returns an error.
func (f *messageFile) Write(p []byte) (written int, err error) {
	for written < len(p) {
		n, err := unix.Write(f.fd, p[written:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && n == 0:
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, f.failed("write", err)
		}
		written += n
	}
	return written, nil
}

// Sync makes what was written durable.
func (f *messageFile) Sync() error {
	if f.fd < 0 {
		return f.failed("fsync", fs.ErrClosed)
	}
	return f.failed("fsync", durable.Uninterrupted(func() error { return unix.Fsync(f.fd) }))
}

// Close closes the file. It returns fs.ErrClosed if it was called before.
func (f *messageFile) Close() error {
	if f.fd < 0 {
		return f.failed("close", fs.ErrClosed)
	}
	fd := f.fd
	f.fd = -1
	openMessages.Add(-1)
	err := unix.Close(fd)
	if errors.Is(err, unix.EINTR) { // then Linux has closed it
		err = nil
	}
	return f.failed("close", err)
}

// remove deletes the file from its folder.
func (f *messageFile) remove() error {
	return f.failed("remove", durable.Uninterrupted(func() error { return unix.Unlinkat(int(f.folder.Fd()), f.name, 0) }))
}

// failed returns err with the name of the file, or nil if err is nil.
func (f *messageFile) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(f.folder.Name(), f.name), Err: err}
}

// rename moves a file from one open folder to another. os.Rename would first check whether newName
// exists. That check is not needed, because newName carries a counter.
func rename(from *os.File, name string, to *os.File, newName string) error {
	err := durable.Uninterrupted(func() error { return unix.Renameat(int(from.Fd()), name, int(to.Fd()), newName) })
	if err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(from.Name(), name), New: filepath.Join(to.Name(), newName), Err: err}
	}
	return nil
}
