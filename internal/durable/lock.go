package durable

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockInterval is the pause between two attempts to lock.
const lockInterval = 10 * time.Millisecond

// Lock locks an open file by flock(2), against other processes and against other openings of the file
// in this one. If it is locked already, Lock tries again until limit has passed or ctx has ended. The
// error is then unix.EWOULDBLOCK.
//
// Remove no file that is used as a lock: a process that waits for it, or opens it at that moment, would
// lock a file that no longer has a name. The kernel ends the lock with the process, however that dies.
func Lock(ctx context.Context, f *os.File, limit time.Duration) error {
	// A blocking flock(2) would wait without limit, and no signal would end it.
	for began := time.Now(); ; time.Sleep(lockInterval) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		again := errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR)
		if !again || time.Since(began) >= limit || ctx.Err() != nil {
			return err
		}
	}
}

// Unlock unlocks and closes a file that Lock has locked. A child process that is just being started
// holds the file until it calls exec. So closing the file might not unlock it.
func Unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}
