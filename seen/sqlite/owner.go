package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/seen"
)

// checkFolder refuses, if root runs popfetch, a state folder that belongs to another user, or would
// be created in one that does. That happens with sudo, which may leave HOME as it was. The owner of
// the folder could put links into it, and could not use the files that root creates there.
func checkFolder(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var stat unix.Stat_t
	err := unix.Stat(dir, &stat)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		err = unix.Stat(dir, &stat)
	}
	if err != nil || stat.Uid == 0 { // a folder that cannot be looked at cannot be created either
		return nil
	}
	return fmt.Errorf("%s belongs to user %d: %w; run popfetch as that user, or name a folder of root's", dir, stat.Uid, seen.ErrOwner)
}

// checkFiles refuses files that another user may have put beside the table or in its place: files
// of other users, and symbolic links, which SQLite would follow. A link in place of the table
// itself is refused by regular. The locks are opened with O_NOFOLLOW.
func checkFiles(dir string) error {
	for _, name := range []string{fileName, fileName + "-wal", fileName + "-shm", fileName + "-journal", checkedName} {
		path := filepath.Join(dir, name)
		var stat unix.Stat_t
		switch err := unix.Lstat(path, &stat); {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		case stat.Mode&unix.S_IFMT == unix.S_IFLNK && name != fileName:
			return fmt.Errorf("%s is a symbolic link: %w; remove it", path, errForeign)
		case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
			return fmt.Errorf("%s belongs to user %d: %w; run popfetch as that user", path, stat.Uid, seen.ErrOwner)
		}
	}
	return nil
}
