package sqlite

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// checkedFor is how long a database that was found whole counts as whole, as long as nobody else changes it. To look through
// one of 200,000 records takes longer than all else that a run without new messages does.
const checkedFor = 24 * time.Hour

// checked is what is known of a database that was looked through: until when that need not be done again, and the file as it was when
// this program closed it. It is kept in a file of its own, whose loss costs nothing but time.
type checked struct {
	until          int64  // in seconds since 1970
	device, inode  uint64 // of the file
	octets, change int64  // change is the time of the last one, in nanoseconds since 1970
	boot           string // of the system: a power cut is what most damage comes from
}

func checkedOf(info fs.FileInfo, until int64) checked {
	c := checked{until: until, octets: info.Size(), change: info.ModTime().UnixNano(), boot: boot()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		c.device, c.inode = uint64(stat.Dev), stat.Ino //nolint:gosec,unconvert // the type differs from system to system
	}
	return c
}

// boot returns what differs from one start of the system to the next, where it tells.
func boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "-"
	}
	return strings.TrimSpace(string(id))
}

const checkedName = fileName + "-checked"

const checkedFormat = "%d %d %d %d %d %s\n"

// readChecked returns the zero value where there is none that can be read.
func readChecked(path string) (c checked) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return checked{}
	}
	defer f.Close()                      //nolint:errcheck // it was only read
	lines := bufio.NewReaderSize(f, 512) // else Fscanf reads octet by octet
	if _, err := fmt.Fscanf(lines, checkedFormat, &c.until, &c.device, &c.inode, &c.octets, &c.change, &c.boot); err != nil {
		return checked{}
	}
	return c
}

// holds tells whether the database need not be looked through: it is as it was left, and that is not long ago. A log beside it is what a
// killed process left, or one that is at work.
func (c checked) holds(path string, info fs.FileInfo, now time.Time) bool {
	for _, log := range []string{path + "-wal", path + "-journal"} {
		if info, err := os.Lstat(log); err == nil && info.Size() > 0 {
			return false
		}
	}
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
	_, _ = fmt.Fprintf(f, checkedFormat, c.until, c.device, c.inode, c.octets, c.change, c.boot)
}
