package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// ErrBusy means that another program kept a target locked for too long.
var ErrBusy = errors.New("another program keeps it locked")

const (
	// mboxWait is how long a lock is waited for.
	mboxWait = 30 * time.Second
	// mboxPause is the longest pause between two attempts. The first pauses are shorter.
	mboxPause = 100 * time.Millisecond
	// staleDot is the age of a dot lock without a process id that is taken as left behind.
	staleDot = 5 * time.Minute
)

// mboxes has for each mbox that this process has locked a channel that holds one element meanwhile.
// So two accounts wait for each other without polling.
var mboxes sync.Map

// fileKey identifies a file whatever its name.
type fileKey struct{ device, inode uint64 }

// lockedMbox is an mbox that is open and locked.
type lockedMbox struct {
	*os.File
	slot chan struct{}
	dot  string // the dot lock; "" if there is none
}

// unlock removes the locks and closes the mbox.
func (l *lockedMbox) unlock() {
	if l.dot != "" {
		_ = os.Remove(l.dot) // one that stays has our process id, and counts as left behind
	}
	_ = l.Close() // what was written is synced; closing ends the lock by fcntl
	<-l.slot
}

// lock opens and locks the mbox: for writing, or only so that nobody changes it. If others keep it
// locked until mboxWait has passed, or ctx ends before, the error is ErrBusy in an *Error.
func (m *Mbox) lock(ctx context.Context, write bool) (*lockedMbox, error) {
	ctx, cancel := context.WithTimeout(ctx, mboxWait)
	defer cancel()
	for {
		l, err := m.openSlot(ctx, write)
		if err != nil {
			return nil, err
		}
		replaced, err := m.lockOpen(ctx, l, write)
		if err == nil && !replaced {
			return l, nil
		}
		l.unlock()
		if err != nil {
			return nil, err
		}
	}
}

// busy is the error of a lock that was waited for in vain.
func (m *Mbox) busy(ctx context.Context, holder string) error {
	err := fmt.Errorf("%w (%s)", ErrBusy, holder)
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return &Error{Target: m.name(), Temporary: true, Status: -1, Err: err}
}

// openSlot opens the mbox, and waits until nobody in this process has it locked.
func (m *Mbox) openSlot(ctx context.Context, write bool) (*lockedMbox, error) {
	mode := os.O_RDONLY
	if write {
		mode = os.O_RDWR | os.O_APPEND
	}
	file, err := os.OpenFile(m.path, mode|noFollow(), 0)
	if err != nil {
		return nil, fmt.Errorf("opening the mbox: %w", m.missing(err))
	}
	key, err := keyOf(int(file.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the mbox: %w", err), file.Close())
	}
	slot, _ := mboxes.LoadOrStore(key, make(chan struct{}, 1))
	l := &lockedMbox{File: file, slot: slot.(chan struct{})}
	select {
	case l.slot <- struct{}{}:
		return l, nil
	case <-ctx.Done():
		return nil, errors.Join(m.busy(ctx, "this popfetch itself"), file.Close())
	}
}

func keyOf(fd int) (fileKey, error) {
	var stat unix.Stat_t
	err := durable.Uninterrupted(func() error { return unix.Fstat(fd, &stat) })
	return fileKey{uint64(stat.Dev), stat.Ino}, err //nolint:unconvert // systems have other types
}

// lockOpen locks an open mbox, first by fcntl and then by a dot lock. While it waits it holds
// neither, because another program may take them in the other order. It reports whether the file
// was replaced by another one before it was locked.
func (m *Mbox) lockOpen(ctx context.Context, l *lockedMbox, write bool) (replaced bool, err error) {
	for pause := time.Millisecond; ; pause = min(2*pause, mboxPause) {
		holder, err := m.tryLock(l, write)
		if err != nil {
			return false, err
		}
		if holder == "" {
			return m.isReplaced(l)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, m.busy(ctx, holder)
		}
	}
}

// tryLock locks l at once, or says what keeps it from that.
func (m *Mbox) tryLock(l *lockedMbox, write bool) (holder string, err error) {
	switch err := fcntlLock(l.File, write); {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return "by fcntl", nil
	case err != nil:
		return "", fmt.Errorf("locking the mbox by fcntl: %w", err)
	}
	dot := m.path + ".lock"
	switch err := makeDot(dot); {
	case err == nil:
		l.dot = dot
		return "", nil
	case errors.Is(err, fs.ErrExist):
		holder, err := holderOf(dot)
		if err == nil {
			err = fcntlUnlock(l.File)
		}
		return holder, err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS),
		errors.Is(err, unix.ENAMETOOLONG):
		m.tell(&m.noDot, "the mbox %s is locked by fcntl alone, since no %s can be made: %v",
			m.path, filepath.Base(dot), err)
		return "", nil
	default:
		return "", fmt.Errorf("locking the mbox: %w", durable.ExplainFull(filepath.Dir(dot), err))
	}
}

// isReplaced reports whether the path of the mbox leads to another file than l by now.
func (m *Mbox) isReplaced(l *lockedMbox) (bool, error) {
	there, err := os.Stat(m.path)
	if err != nil {
		return false, fmt.Errorf("locking the mbox: %w", m.missing(err))
	}
	info, err := l.Stat()
	if err != nil {
		return false, fmt.Errorf("locking the mbox: %w", err)
	}
	return !os.SameFile(there, info), nil
}

// holderOf says who has made a dot lock. It removes one that was left behind; then there is no
// error, and the next attempt may succeed. We hold the lock by fcntl. So a dot lock with our
// process id is that of a killed process that had it before, as in a container.
func holderOf(dot string) (holder string, err error) {
	file, err := os.Open(dot)
	if errors.Is(err, fs.ErrNotExist) {
		return dot, nil // released meanwhile
	}
	if errors.Is(err, fs.ErrPermission) {
		return dot + ", which cannot be read", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking at a dot lock: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(file, 64))
	if err != nil {
		return "", fmt.Errorf("looking at a dot lock: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("looking at a dot lock: %w", err)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	stale := time.Since(info.ModTime()) > staleDot
	holder = dot
	if err == nil && pid > 0 {
		stale = pid == os.Getpid() || errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		holder = fmt.Sprintf("%s of process %d", dot, pid)
	}
	if !stale {
		return holder, nil
	}
	if err := os.Remove(dot); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("removing a dot lock that was left behind: %w", err)
	}
	return holder, nil
}

// makeDot makes a dot lock with our process id in it. If there is one, the error is fs.ErrExist.
func makeDot(dot string) error {
	err := linkDot(dot, dotText())
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// The file system has no files without a name. Until the process id is written, the lock counts
	// as fresh.
	file, err := os.OpenFile(dot, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, dotMode)
	if err != nil {
		return err
	}
	_, err = file.Write(dotText())
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(dot))
	}
	return nil
}

// dotMode lets other programs read the process id.
const dotMode = 0o644

func dotText() []byte { return append(strconv.AppendInt(nil, int64(os.Getpid()), 10), '\n') }
