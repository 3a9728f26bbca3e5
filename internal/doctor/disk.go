package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// fewOctets is how much room should be free for the state.
const fewOctets = 64 << 20

// Existing returns the folder, or the nearest one above it that exists.
func Existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// StateFolder returns a finding about the folder of the state. The files in it must be writable, too.
// If it is a fault, err is the reason. The result missing reports whether a run would have to make the
// folder.
func StateFolder(dir string, files ...string) (f Finding, missing bool, err error) {
	there := Existing(dir)
	missing = there != dir
	err = writable(there, unix.W_OK|unix.X_OK)
	for _, name := range files {
		if err == nil && !missing {
			if err = writable(filepath.Join(dir, name), unix.W_OK); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	if err != nil {
		return Finding{Check: CheckState, State: Fault, Text: dir + ": " + err.Error(),
			Mend: "it must belong to the user that popfetch runs as, on a disk that is not read-only"}, missing, err
	}
	where := dir
	if missing {
		where += ", yet to be made"
	}
	space, spaceErr := durable.SpaceOf(there)
	switch {
	case spaceErr != nil:
		f = ok(CheckState, "%s", where)
	case space.NoFiles:
		f = warning(CheckState, "remove files there (df -i shows it)", "%s: no inode for another file is left", where)
	case space.Free < fewOctets:
		f = warning(CheckState, "make room there; without it nothing is fetched", "%s: only %s are free", where, Size(space.Free))
	default:
		f = ok(CheckState, "%s; %s free", where, Size(space.Free))
	}
	return f, missing, nil
}

func writable(path string, mode uint32) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "writing", Path: path, Err: err}
	}
	return nil
}

// Maildir returns a finding about a Maildir that a run may write. The argument needed is the octets that
// the new mail takes there, by the sizes that the server announces. They may be wrong, so it is no fault
// if they do not fit. It is one if the disk has no room for anything.
func Maildir(path string, room, needed int64) Finding {
	there := Existing(path)
	space, err := durable.SpaceOf(there)
	var f Finding
	noFiles := err == nil && space.NoFiles
	switch {
	case noFiles:
		f = warning(CheckTarget, "remove files there (df -i shows it)", "%s: no inode for another file is left", path)
	case room <= 0 || room < needed:
		f = warning(CheckTarget, "make room there, or fetch into another place",
			"%s: by the sizes that the server announces, new mail needs %s; %s are free for it", yetToBeMade(path, there), Size(needed), Size(room))
	default:
		return ok(CheckTarget, "%s; %s free for mail", yetToBeMade(path, there), Size(room))
	}
	if needed > 0 && (room <= 0 || noFiles) {
		f.State = Fault
	}
	return f
}

// yetToBeMade returns a path for people. The nearest folder that exists is there.
func yetToBeMade(path, there string) string {
	if there != path {
		path += ", yet to be made"
	}
	return path
}

// Program returns a finding about a program that takes the mail, and that can be run.
func Program(atOnce int) Finding {
	return ok(CheckTarget, "the program (mda) can be run, at most %d at once", atOnce)
}
