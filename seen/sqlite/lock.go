package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/seen"
)

// lockInterval is how often a lock is asked for.
const lockInterval = 10 * time.Millisecond

// Lock locks a file of the account, in the state folder.
func (s *Store) Lock(name string) (unlock func() error, err error) {
	unlock, err = flock(context.Background(), filepath.Join(s.dir, lockName(name)), 0)
	if err != nil {
		return nil, fmt.Errorf("locking account %q: %w", name, err)
	}
	return unlock, nil
}

// lockName gives a file name for any account name: what is readable and harmless of it, and a digest to tell it from others.
func lockName(account string) string {
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

// flock locks a file, which it makes if missing; where another has it, it waits up to the limit. The file is never removed: a
// process that waits for it, or opens it at that moment, would lock a file that is no longer there. The kernel ends the lock
// with the process, however that dies.
func flock(ctx context.Context, path string, limit time.Duration) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600) // os adds O_CLOEXEC: an MDA must not inherit it
	if err != nil {
		return nil, err
	}
	// flock(2) itself would wait for ever, and no signal would end it.
	for began := time.Now(); ; time.Sleep(lockInterval) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if again := errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR); !again || time.Since(began) >= limit || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, lockFault(path, err)
	}
	return sync.OnceValue(func() error {
		// A child that is just being started holds the file until it calls exec, so closing it alone might not unlock it.
		return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
	}), nil
}

// lockFault tells what an error of flock means.
func lockFault(path string, err error) error {
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return seen.ErrLocked
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the file system of %s has no locks, without which two runs could deliver twice: %w; set state_dir to a folder on a local disk", path, err)
	}
	return &os.PathError{Op: "flock", Path: path, Err: err}
}
