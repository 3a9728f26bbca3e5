package systrace

import (
	"golang.org/x/sys/unix"
)

// shape has the positions of a call's arguments, for the fields of Call. none means that the call
// has no such argument.
type shape struct {
	name       string
	fd         int // a descriptor
	dir, path  int // the first name, and the folder that it is relative to
	dir2, to   int // the same for the second name
	data       int // the address of the octets to write; the next argument is their number
	offset     int
	size       int
	flags      int
	appendsOff bool // it writes at the descriptor's current offset
}

const none = -1

func fdShape(name string) shape {
	return shape{name: name, dir: none, path: none, dir2: none, to: none, data: none, offset: none, size: none, flags: none}
}

func nameShape(name string, dir, path int) shape {
	s := fdShape(name)
	s.fd, s.dir, s.path = none, dir, path
	return s
}

func namesShape(name string, dir, path, dir2, to int) shape {
	s := nameShape(name, dir, path)
	s.dir2, s.to = dir2, to
	return s
}

func openShape(name string, dir, path, flags int) shape {
	s := nameShape(name, dir, path)
	s.flags = flags
	return s
}

func writeShape(name string, offset int) shape {
	s := fdShape(name)
	s.data, s.offset, s.appendsOff = 1, offset, offset == none
	return s
}

func sizeShape(name string, size int) shape {
	s := fdShape(name)
	s.size = size
	return s
}

// shapes has the calls that Run reports, by number. These calls change files and folders, make them
// durable, or send data.
var shapes = map[uint64]shape{
	unix.SYS_OPEN:      openShape("open", none, 0, 1),
	unix.SYS_OPENAT:    openShape("openat", 0, 1, 2),
	unix.SYS_CREAT:     openShape("creat", none, 0, none),
	unix.SYS_CLOSE:     fdShape("close"),
	unix.SYS_WRITE:     writeShape("write", none),
	unix.SYS_PWRITE64:  writeShape("pwrite64", 3),
	unix.SYS_SENDTO:    writeShape("sendto", none),
	unix.SYS_SENDMSG:   fdShape("sendmsg"),
	unix.SYS_WRITEV:    fdShape("writev"),
	unix.SYS_PWRITEV:   fdShape("pwritev"),
	unix.SYS_CONNECT:   fdShape("connect"),
	unix.SYS_SHUTDOWN:  fdShape("shutdown"),
	unix.SYS_FTRUNCATE: sizeShape("ftruncate", 1),
	unix.SYS_FALLOCATE: sizeShape("fallocate", 2),
	unix.SYS_FSYNC:     fdShape("fsync"),
	unix.SYS_FDATASYNC: fdShape("fdatasync"),
	unix.SYS_SYNCFS:    fdShape("syncfs"),
	unix.SYS_FLOCK:     fdShape("flock"),
	unix.SYS_FCHMOD:    fdShape("fchmod"),
	unix.SYS_TRUNCATE:  nameShape("truncate", none, 0),
	unix.SYS_CHMOD:     nameShape("chmod", none, 0),
	unix.SYS_MKDIR:     nameShape("mkdir", none, 0),
	unix.SYS_MKDIRAT:   nameShape("mkdirat", 0, 1),
	unix.SYS_RMDIR:     nameShape("rmdir", none, 0),
	unix.SYS_UNLINK:    nameShape("unlink", none, 0),
	unix.SYS_UNLINKAT:  nameShape("unlinkat", 0, 1),
	unix.SYS_RENAME:    namesShape("rename", none, 0, none, 1),
	unix.SYS_RENAMEAT:  namesShape("renameat", 0, 1, 2, 3),
	unix.SYS_RENAMEAT2: namesShape("renameat2", 0, 1, 2, 3),
	unix.SYS_LINK:      namesShape("link", none, 0, none, 1),
	unix.SYS_LINKAT:    namesShape("linkat", 0, 1, 2, 3),
	unix.SYS_SYMLINKAT: nameShape("symlinkat", 1, 2),
}
