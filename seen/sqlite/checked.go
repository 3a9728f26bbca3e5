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

// checkedFor is how long a database that was found undamaged needs no further check, if nobody else
// changes it. Checking one of 200,000 records takes longer than the whole rest of a run without new
// messages.
const checkedFor = 24 * time.Hour

// checked is the result of a check: until when the database needs no further check, and the state
// of the file when this program closed it. It is kept in a file of its own. If that file is lost,
// the check is only done again.
type checked struct {
	until          int64  // in seconds since 1970
	device, inode  uint64 // of the file
	octets, change int64  // change is the time of the last change, in nanoseconds since 1970
	// Identifies the start of the system, because a power cut is the most frequent cause of damage.
	boot string
}

func checkedOf(info fs.FileInfo, until int64) checked {
	c := checked{until: until, octets: info.Size(), change: info.ModTime().UnixNano(), boot: boot()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		c.device, c.inode = uint64(stat.Dev), stat.Ino //nolint:gosec,unconvert // the type differs from system to system
	}
	return c
}

// boot returns an id that is new after each start of the system, or "-" if the system has none.
func boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "-"
	}
	return strings.TrimSpace(string(id))
}

const checkedName = fileName + "-checked"

const checkedFormat = "%d %d %d %d %d %s\n"

// readChecked returns the zero value if there is no readable file.
func readChecked(path string) (c checked) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return checked{}
	}
	defer f.Close()                      //nolint:errcheck // it was only read
	lines := bufio.NewReaderSize(f, 512) // without it Fscanf reads octet by octet
	if _, err := fmt.Fscanf(lines, checkedFormat, &c.until, &c.device, &c.inode, &c.octets, &c.change, &c.boot); err != nil {
		return checked{}
	}
	return c
}

// holds reports whether the database needs no check: it is unchanged, and the last check was not
// long ago. A log beside the database was left by a killed process, or belongs to one at work; then
// a check is needed.
func (c checked) holds(path string, info fs.FileInfo, now time.Time) bool {
	for _, log := range []string{path + "-wal", path + "-journal"} {
		if info, err := os.Lstat(log); err == nil && info.Size() > 0 {
			return false
		}
	}
	left := c.until - now.Unix()
	return left > 0 && left <= int64(checkedFor/time.Second) && c == checkedOf(info, c.until)
}

// leaveChecked notes the state of a database that was found undamaged. If the note cannot be
// written, the database is checked next time.
func (s *Store) leaveChecked() {
	note := filepath.Join(s.dir, checkedName)
	info, err := os.Lstat(s.path)
	if err != nil || !os.SameFile(info, s.file) || readChecked(note) == checkedOf(info, s.whole) {
		return
	}
	// The kernel gives all changes within a few milliseconds the same time. Our own time is finer,
	// so a later change cannot go unnoticed.
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
	defer f.Close() //nolint:errcheck // an incomplete note is not valid
	c := checkedOf(info, s.whole)
	_, _ = fmt.Fprintf(f, checkedFormat, c.until, c.device, c.inode, c.octets, c.change, c.boot)
}
