package deliver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrForeign means that root was told to deliver into a folder of another user.
var ErrForeign = errors.New("deliver: root does not deliver into another user's folder")

// checkOwner refuses a Maildir of another user if we are root. The owner of the folder, or of the
// one above it, could replace it by a link to anywhere. The owner could not read the delivered mail
// either. The Maildir itself may be a link, and many are; its folders may not (see openFolder).
// Everybody else has the rights of one user only, and needs no check.
func (m *Maildir) checkOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}
	checked := []string{above(m.path)}
	if real, err := filepath.EvalSymlinks(m.path); err == nil {
		checked = append(checked, above(real), real)
	}
	for _, name := range folders {
		checked = append(checked, filepath.Join(m.path, name))
	}
	return ownedByRoot("the Maildir "+m.path, "a folder of root's", checked)
}

// checkOwner refuses an mbox of another user if we are root, for the same reasons.
func (m *Mbox) checkOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return ownedByRoot("the mbox "+m.path, "a file of root's", []string{above(m.path), m.path})
}

// ownedByRoot returns ErrForeign if one of the paths belongs to another user. The target and what
// to name in its place are for the text.
func ownedByRoot(target, other string, paths []string) error {
	for _, path := range paths {
		var stat unix.Stat_t
		if unix.Stat(path, &stat) != nil || stat.Uid == 0 { // what is missing is made as root's, or reported later
			continue
		}
		owner, login := strconv.Itoa(int(stat.Uid)), "#"+strconv.Itoa(int(stat.Uid))
		if known, err := user.LookupId(owner); err == nil {
			owner, login = known.Username, known.Username
		}
		return fmt.Errorf("%s: %s belongs to user %s: %w; run popfetch as that user (sudo -u %s popfetch), or name %s",
			target, path, owner, ErrForeign, login, other)
	}
	return nil
}

// above returns the nearest folder above path that exists.
func above(path string) string {
	dir := filepath.Dir(path)
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// openFolder opens a folder of a Maildir. It follows no link: if others can write the Maildir, a
// link could lead the messages elsewhere.
func openFolder(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}
