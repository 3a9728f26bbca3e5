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

// Maildir returns a finding about a Maildir that a run may write. The room for mail there is compared
// with the octets that are to come.
func Maildir(path string, room, coming int64) Finding {
	there := Existing(path)
	if space, err := durable.SpaceOf(there); err == nil && space.NoFiles {
		return full(coming, "remove files there (df -i shows it)", "%s: no inode for another file is left", path)
	}
	if there != path {
		path += ", yet to be made"
	}
	if room <= 0 || room < coming {
		return full(coming, "make room there, or fetch into another place", "%s: new mail needs %s, and %s are free for it", path, Size(coming), Size(room))
	}
	return ok(CheckTarget, "%s; %s free for mail", path, Size(room))
}

// full returns a finding about a full disk. It is a fault as soon as there is mail to come.
func full(coming int64, mend, format string, args ...any) Finding {
	f := warning(CheckTarget, mend, format, args...)
	if coming > 0 {
		f.State = Fault
	}
	return f
}

// Program returns a finding about a program that takes the mail, and that can be run.
func Program(atOnce int) Finding {
	return ok(CheckTarget, "the program (mda) can be run, at most %d at once", atOnce)
}
