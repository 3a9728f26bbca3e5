package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
	"github.com/popfetch/popfetch/seen"
)

// Lock locks a file of the account, in the state folder. The file says who holds the lock.
func (s *Store) Lock(_ context.Context, name string) (seen.Hold, error) {
	unlock, err := flock(context.Background(), filepath.Join(s.dir, LockName(name)), 0)
	if locked := (*seen.LockedError)(nil); errors.As(err, &locked) {
		return nil, locked
	}
	if err != nil {
		return nil, fmt.Errorf("locking account %q: %w", name, durable.ExplainFull(s.dir, err))
	}
	return seen.UntilReleased(unlock), nil
}

// Holder reads the file that Lock locks. A killed process leaves its number there, and another
// process may bear that number meanwhile. So a process must also hold a lock, as far as is known.
func (s *Store) Holder(_ context.Context, name string) (*seen.LockedError, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, LockName(name)), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nobody ever locked it
	}
	if err != nil {
		return nil, fmt.Errorf("reading who has account %q: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if holder := readHolder(f); holder.Process > 0 && holdsLock(holder.Process) {
		return holder, nil
	}
	return nil, nil //nolint:nilnil // nobody has it now
}

// LockResident locks the state folder for the one process that polls for ever. If another one has it,
// the error is a *seen.LockedError. Runs of single accounts do not need this lock.
func LockResident(dir string) (unlock func() error, err error) {
	return flock(context.Background(), filepath.Join(dir, "resident.lock"), 0)
}

// LockName makes the name of the file that Lock locks from any account name. It has the harmless
// characters of the name, to be readable, and a digest, to be unique.
func LockName(account string) string {
	const longest = 40
	readable := []byte(account[:min(len(account), longest)])
	for i, c := range readable {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '@', c == '-', c == '.':
		default:
			readable[i] = '_'
		}
	}
	digest := sha256.Sum256([]byte(account))
	return fmt.Sprintf("account-%s-%x.lock", readable, digest[:8])
}

// flock locks a file, and creates it if it is missing. If another process holds the lock, flock
// waits up to the limit. The file is never removed.
func flock(ctx context.Context, path string, limit time.Duration) (unlock func() error, err error) {
	// os adds O_CLOEXEC, so that no MDA inherits the lock.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := durable.Lock(ctx, f, limit); err != nil {
		holder := readHolder(f)
		_ = f.Close() // nothing was written
		return nil, lockFault(path, err, holder)
	}
	writeHolder(f)
	return sync.OnceValue(func() error {
		_ = f.Truncate(0) // only people read it
		return durable.Unlock(f)
	}), nil
}

// writeHolder writes into a locked file which process holds it, and since when. If that fails,
// people are told less.
func writeHolder(f *os.File) {
	text := fmt.Sprintf("%d %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(text), 0)
	}
}

// readHolder reads what writeHolder has written. If a killed process has left it, it counts only
// until that of the next one is there.
func readHolder(f *os.File) *seen.LockedError {
	var text [64]byte
	n, _ := f.ReadAt(text[:], 0)
	process, since, _ := strings.Cut(strings.TrimSpace(string(text[:n])), " ")
	holder := &seen.LockedError{}
	holder.Process, _ = strconv.Atoi(process)
	holder.Since, _ = time.Parse(time.RFC3339, since)
	if holder.Process > 0 && errors.Is(unix.Kill(holder.Process, 0), unix.ESRCH) {
		return &seen.LockedError{}
	}
	return holder
}

// lockFault turns an error of flock into one that says what it means.
func lockFault(path string, err error, holder *seen.LockedError) error {
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return holder
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the file system of %s has no locks, so two runs could deliver the same message: %w; set state_dir to a folder on a local disk", path, err)
	}
	return &os.PathError{Op: "flock", Path: path, Err: err}
}
