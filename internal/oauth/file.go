package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// File is a Store in a file of a state folder. It always has a whole grant, also after a power cut.
type File struct {
	path     string
	patience time.Duration // how long another process may hold the lock
}

// longestName bounds a part of a file name, in octets.
const longestName = 120

// NewFile returns the file of an account below a state folder. It need not exist.
func NewFile(stateDir, account string) *File {
	name := url.PathEscape(account) // no slash, and not ".."
	if len(name) > longestName {
		name = fmt.Sprintf("%s-%x", name[:longestName], sha256.Sum256([]byte(account)))
	}
	return &File{filepath.Join(stateDir, "oauth", "account-"+name+".json"), lockTimeout}
}

// Path returns the path of the file.
func (f *File) Path() string { return f.path }

// Read returns the grant. Without one, the error is a *Error that is Refused.
func (f *File) Read(context.Context) (*Grant, error) {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, SignedOut()
	case err != nil:
		return nil, stateError(err)
	case info.Mode().Perm()&0o077 != 0:
		err := fmt.Errorf("others can read the tokens in %s (mode %#o); run chmod 600 %s", f.path, info.Mode().Perm(), f.path)
		return nil, &Error{Fault: Exposed, Err: err}
	}
	g, err := f.parse()
	if err != nil {
		return nil, stateError(err)
	}
	return g, nil
}

// parse returns the grant, whoever can read it.
func (f *File) parse() (*Grant, error) {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	g := new(Grant)
	if err := json.Unmarshal(text, g); err != nil {
		return nil, fmt.Errorf("%s is damaged; sign in again", f.path)
	}
	return g, nil
}

// stateError returns an error of the file as a *Error. Of nil it returns nil.
func stateError(err error) error {
	var known *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	}
	return &Error{Fault: State, Err: fmt.Errorf("the tokens: %w", err)}
}

// Ready checks that a grant can be kept.
func (f *File) Ready(ctx context.Context) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	room, err := f.reserve(nil)
	if err == nil {
		err = errors.Join(room.Close(), os.Remove(room.Name()))
	}
	return stateError(err)
}

// Write replaces the grant, whatever the file has now.
func (f *File) Write(ctx context.Context, g *Grant) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	room, err := f.reserve(g)
	if err == nil {
		err = f.replace(room, g)
	}
	return stateError(err)
}

// Remove removes the grant, after revoke has returned no error for it. A damaged one is only removed.
func (f *File) Remove(ctx context.Context, revoke func(*Grant) error) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	g, err := f.parse()
	if errors.Is(err, fs.ErrNotExist) {
		return SignedOut()
	}
	if err == nil {
		if err := revoke(g); err != nil {
			return err
		}
	}
	return stateError(errors.Join(os.Remove(f.path), f.sweep(), durable.Sync(filepath.Dir(f.path))))
}

// Update makes sure that there is room for the answer on the disk before renew asks for it: a provider
// may accept a refresh token only once.
func (f *File) Update(ctx context.Context, isStale func(*Grant) bool, renew func(*Grant) (*Grant, error)) (*Grant, error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	g, err := f.Read(ctx)
	if fault := (*Error)(nil); errors.As(err, &fault) && fault.Fault != Refused {
		return nil, err
	}
	if !isStale(g) {
		return g, nil
	}
	room, err := f.reserve(g)
	if err != nil {
		return nil, stateError(err)
	}
	renewed, err := renew(g)
	if renewed == nil {
		_ = errors.Join(room.Close(), os.Remove(room.Name())) // err tells more
		return nil, err
	}
	if unkept := f.replace(room, renewed); unkept != nil {
		return nil, stateError(unkept)
	}
	return renewed, err
}

// reserve makes a file with room for another grant.
func (f *File) reserve(g *Grant) (*os.File, error) {
	folder := filepath.Dir(f.path)
	if err := f.sweep(); err != nil {
		return nil, err
	}
	room, err := os.OpenFile(f.unfinished(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, durable.ExplainFull(folder, err)
	}
	size := 2 * maxToken
	if g != nil {
		size += len(g.AccessToken) + len(g.RefreshToken)
	}
	if _, err = room.Write(make([]byte, size)); err == nil {
		err = room.Sync()
	}
	if err != nil {
		_ = errors.Join(room.Close(), os.Remove(room.Name())) // err tells more
		return nil, durable.ExplainFull(folder, err)
	}
	return room, nil
}

// unfinished is the path of the next grant.
func (f *File) unfinished() string { return f.path + ".new" }

// sweep removes what a killed process may have left.
func (f *File) sweep() error {
	if err := os.Remove(f.unfinished()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// replace makes the reserved file the file of the grant.
func (f *File) replace(room *os.File, g *Grant) error {
	text, err := json.MarshalIndent(g, "", "  ")
	if err == nil {
		_, err = room.WriteAt(append(text, '\n'), 0)
	}
	if err == nil {
		err = errors.Join(room.Truncate(int64(len(text)+1)), room.Sync())
	}
	if err = errors.Join(err, room.Close()); err == nil {
		err = os.Rename(room.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(room.Name()) // err tells more
		return err
	}
	return durable.Sync(filepath.Dir(f.path))
}

// lockTimeout is how long another process may hold the lock.
const lockTimeout = LongestRenewal + 20*time.Second

// lock locks the grant against other processes, and against other goroutines. The lock is a file
// that is never removed.
func (f *File) lock(ctx context.Context) (unlock func(), err error) {
	folder := filepath.Dir(f.path)
	if err := f.makeFolder(); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(f.path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, stateError(durable.ExplainFull(folder, err))
	}
	err = durable.Lock(ctx, lock, f.patience)
	if err == nil {
		return func() { _ = durable.Unlock(lock) }, nil
	}
	_ = lock.Close() // nothing was written
	switch {
	case !errors.Is(err, unix.EWOULDBLOCK):
		return nil, stateError(&fs.PathError{Op: "flock", Path: lock.Name(), Err: err})
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = fmt.Errorf("it has not ended within %v", f.patience)
	}
	return nil, &Error{Fault: Later, Err: fmt.Errorf("another popfetch has %s locked: %w", f.path, err)}
}

// makeFolder makes the folder of the tokens. Nobody else may be able to exchange the files in it.
func (f *File) makeFolder() error {
	folder := filepath.Dir(f.path)
	if info, err := os.Stat(folder); err == nil {
		if info.Mode().Perm()&0o022 != 0 {
			err = fmt.Errorf("others can change the tokens in %s (mode %#o); run chmod 700 %s", folder, info.Mode().Perm(), folder)
			return &Error{Fault: Exposed, Err: err}
		}
		return nil
	}
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = durable.SyncUp(folder)
	}
	if err != nil {
		return &Error{Fault: Uncreated, Err: fmt.Errorf("the folder of the tokens: %w", err)}
	}
	return nil
}
