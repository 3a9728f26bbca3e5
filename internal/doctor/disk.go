package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

const (
	// fewOctets is how much room should be free for the state.
	fewOctets = 64 << 20
	// firstOctets is about what making the state takes.
	firstOctets = 192 << 10
	// fileOctets is what the first file of the state takes.
	fileOctets = 8 << 10
)

// Existing returns the folder, or the nearest one above it that exists. It may be a link to nothing,
// below which no folder can be made.
func Existing(dir string) string {
	for {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// StateFolder is the folder of the state, and what a run needs there.
type StateFolder struct {
	Dir    string
	Table  string   // a file's name; a run makes the file if it is missing
	Others []string // names of other files; like the table, they must be writable if they are there
	Needed int64    // octets to record the new mail; zero: none has to be recorded
}

// Examine returns a finding about the folder. If it is a fault, err is the reason. The result create
// reports whether a run would fail at making the folder or the table.
func (s *StateFolder) Examine() (f Finding, create bool, err error) {
	there := Existing(s.Dir)
	missing := !resolves(s.Dir)
	if mend, err := s.writable(there); err != nil {
		return Finding{Check: CheckState, State: Fault, Text: s.Dir + ": " + err.Error(), Mend: mend}, missing, err
	}
	where := yetToBeMade(s.Dir, there)
	space, err := durable.SpaceOf(there)
	if err != nil {
		return ok(CheckState, "%s", where), false, nil
	}
	needed, table := s.Needed, resolves(filepath.Join(s.Dir, s.Table))
	if !table {
		needed = max(needed, firstOctets)
	}
	switch {
	case space.NoFiles:
		f = warning(CheckState, "remove files there (df -i shows it)", "%s: no inode for another file is left", where)
	case space.Free < needed:
		f = warning(CheckState, "make room there, or name another state_dir", "%s: only %s are free, and a run needs %s", where, Size(space.Free), Size(needed))
		missing = !table && space.Free < fileOctets
	case space.Free < fewOctets:
		return warning(CheckState, "make room there; without it nothing is fetched", "%s: only %s are free", where, Size(space.Free)), false, nil
	default:
		return ok(CheckState, "%s; %s free", where, Size(space.Free)), false, nil
	}
	f.State = Fault
	return f, missing, fmt.Errorf("%s: %w", f.Text, unix.ENOSPC)
}

// writable returns why something of the state cannot be written, and what to do about it.
func (s *StateFolder) writable(there string) (mend string, err error) {
	if !resolves(there) {
		return "make the folder that the link leads to, or mount its disk",
			&fs.PathError{Op: "following the link", Path: there, Err: unix.ENOENT}
	}
	err = writable(there, unix.W_OK|unix.X_OK)
	for _, name := range append([]string{s.Table}, s.Others...) {
		if err == nil && there == s.Dir {
			if err = writable(filepath.Join(s.Dir, name), unix.W_OK); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	return "it must belong to the user that popfetch runs as, on a disk that is not read-only", err
}

// resolves reports whether something is there, behind all links.
func resolves(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
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
	case room <= 0 && needed == 0:
		f = warning(CheckTarget, "make room there", "%s: there is no room for mail", yetToBeMade(path, there))
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

// Program returns a finding about a program that takes the mail, and that can be run. The key names it.
func Program(key string, atOnce int) Finding {
	return ok(CheckTarget, "the program (%s) can be run, at most %d at once", key, atOnce)
}

// Server returns a finding about a server that takes the mail, and that was tried. The key names it.
func Server(key, address string, atOnce int) Finding {
	return ok(CheckTarget, "%s (%s) can be reached, at most %d at once", address, key, atOnce)
}

// Stream returns a finding about standard output as a target.
func Stream() Finding { return ok(CheckTarget, "standard output") }
