package seen

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// checkedFor is how long a database that was found whole counts as whole, as long as nobody else changes it. To look through
// one of 200,000 records takes longer than all else that a run without new messages does.
const checkedFor = 24 * time.Hour

// checked is what is known of a database that was looked through: until when that need not be done again, and the file as this program
// left it. It is kept in a file of its own, whose loss costs nothing but time.
type checked struct {
	until                 int64 // in seconds since 1970
	inode, octets, change int64 // change is the time of the last one, in nanoseconds since 1970
}

func checkedOf(info fs.FileInfo, until int64) checked {
	c := checked{until: until, octets: info.Size(), change: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		c.inode = int64(stat.Ino) //nolint:gosec // it is only compared
	}
	return c
}

const checkedName = fileName + "-checked"

const checkedFormat = "%d %d %d %d\n"

// readChecked returns the zero value where there is none that can be read.
func readChecked(path string) (c checked) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return checked{}
	}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := fmt.Fscanf(f, checkedFormat, &c.until, &c.inode, &c.octets, &c.change); err != nil {
		return checked{}
	}
	return c
}

// holds tells whether the database need not be looked through: it is as it was left, and that is not long ago.
func (c checked) holds(info fs.FileInfo, now time.Time) bool {
	left := c.until - now.Unix()
	return left > 0 && left <= int64(checkedFor/time.Second) && c == checkedOf(info, c.until)
}

// leaveChecked notes how the database is left, which was found whole. If that is not noted, it is looked through next time.
func (s *Store) leaveChecked() {
	note := filepath.Join(s.dir, checkedName)
	info, err := os.Lstat(s.path)
	if err != nil || !os.SameFile(info, s.file) || readChecked(note) == checkedOf(info, s.whole) {
		return
	}
	// The kernel gives all changes within some milliseconds the same time. With one of ours no later change looks like none.
	if err := os.Chtimes(s.path, time.Time{}, time.Now()); err != nil {
		return
	}
	if info, err = os.Lstat(s.path); err != nil {
		return
	}
	f, err := os.OpenFile(note, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // what is not written whole does not hold
	c := checkedOf(info, s.whole)
	_, _ = fmt.Fprintf(f, checkedFormat, c.until, c.inode, c.octets, c.change)
}
