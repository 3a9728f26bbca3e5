package oauth

import (
	"context"
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

// Grant is what a provider has given an account.
type Grant struct {
	TokenURL string    `json:"token_url"` // a refresh token is good only there,
	ClientID string    `json:"client_id"` // and only for this client
	SignedIn time.Time `json:"signed_in"`

	AccessToken  string    `json:"access_token"`
	Obtained     time.Time `json:"obtained"` // when the access token was given
	Expires      time.Time `json:"expires"`  // when it ends; zero: the provider does not say
	RefreshToken string    `json:"refresh_token,omitempty"`
}

// isFresh reports whether the access token can be used for some time yet. A minute is left for the
// log-in, or half of the token's life if that is shorter.
func (g *Grant) isFresh(now time.Time) bool {
	if g.AccessToken == "" {
		return false
	}
	margin := min(time.Minute, g.Expires.Sub(g.Obtained)/2)
	return g.Expires.IsZero() || now.Add(margin).Before(g.Expires)
}

// File keeps the grant of one account. Several processes may use it at the same time. It always has
// a whole grant, also after a power cut.
type File struct{ path string }

// NewFile returns the file of an account below a state folder. It need not exist.
func NewFile(stateDir, account string) *File {
	// Escaped, no name has a slash or is "..".
	return &File{filepath.Join(stateDir, "oauth", "account-"+url.PathEscape(account)+".json")}
}

// Path returns the path of the file.
func (f *File) Path() string { return f.path }

// errSignedOut means that there is no grant.
var errSignedOut = errors.New("nobody is signed in")

// Read returns the grant. Without one, the error is a *Error that is Refused.
func (f *File) Read() (*Grant, error) {
	text, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Fault: Refused, Err: errSignedOut}
	}
	if err != nil {
		return nil, stateError(err)
	}
	g := new(Grant)
	if err := json.Unmarshal(text, g); err != nil {
		return nil, stateError(fmt.Errorf("%s is damaged; remove it and sign in again", f.path))
	}
	return g, nil
}

// open returns the contents of the file, if nobody else can read them.
func (f *File) open() ([]byte, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		err := fmt.Errorf("others can read the tokens in %s (mode %#o); run chmod 600 %s", f.path, info.Mode().Perm(), f.path)
		return nil, &Error{Fault: Exposed, Err: err}
	}
	return os.ReadFile(f.path)
}

// stateError returns an error of the file as a *Error.
func stateError(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Fault: State, Err: fmt.Errorf("the tokens: %w", err)}
}

// Ready checks that a grant can be kept.
func (f *File) Ready() error {
	if err := f.makeFolder(); err != nil {
		return stateError(err)
	}
	room, err := f.reserve(nil)
	if err != nil {
		return stateError(err)
	}
	if err := errors.Join(room.Close(), os.Remove(room.Name())); err != nil {
		return stateError(err)
	}
	return nil
}

// Write replaces the grant.
func (f *File) Write(ctx context.Context, g *Grant) error {
	_, err := f.update(ctx, func(*Grant) bool { return true }, func(*Grant) (*Grant, error) { return g, nil })
	return err
}

// Remove removes the grant, after revoke has returned no error for it.
func (f *File) Remove(ctx context.Context, revoke func(*Grant) error) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	g, err := f.Read()
	if err != nil {
		return err
	}
	if err := revoke(g); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(f.path), durable.Sync(filepath.Dir(f.path))); err != nil {
		return stateError(err)
	}
	return nil
}

// update replaces the grant by what renew makes of it, if isStale reports true. It returns the grant
// in force, and the error of renew. One process at a time updates. The grant that isStale and renew
// get is nil if there is none.
//
// A provider may accept a refresh token only once. So there is room for the answer on the disk before
// renew asks for it.
func (f *File) update(ctx context.Context, isStale func(*Grant) bool, renew func(*Grant) (*Grant, error)) (*Grant, error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	g, err := f.Read()
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
	defer os.Remove(room.Name()) //nolint:errcheck // it is gone if it was renamed
	defer room.Close()           //nolint:errcheck // replace has closed it, or it is not needed
	renewed, err := renew(g)
	if renewed != nil {
		if unkept := f.replace(room, renewed); unkept != nil {
			return nil, stateError(unkept)
		}
	}
	return renewed, err
}

// reserve makes a file with room for another grant.
func (f *File) reserve(g *Grant) (*os.File, error) {
	room, err := os.CreateTemp(filepath.Dir(f.path), ".new-*") // nobody else can read it
	if err != nil {
		return nil, durable.ExplainFull(filepath.Dir(f.path), err)
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
		return nil, durable.ExplainFull(filepath.Dir(f.path), err)
	}
	return room, nil
}

// replace makes the reserved file the file of the grant.
func (f *File) replace(room *os.File, g *Grant) error {
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	if _, err := room.WriteAt(append(text, '\n'), 0); err != nil {
		return err
	}
	if err := errors.Join(room.Truncate(int64(len(text)+1)), room.Sync(), room.Close()); err != nil {
		return err
	}
	if err := os.Rename(room.Name(), f.path); err != nil {
		return err
	}
	return durable.Sync(filepath.Dir(f.path))
}

const (
	// lockTimeout is longer than any other process needs for a refresh.
	lockTimeout  = answerTimeout + 20*time.Second
	lockInterval = 20 * time.Millisecond
)

// lock locks the grant against other processes, and against other goroutines. The lock is a file
// that is never removed: a process that waits for it would lock a file without a name.
func (f *File) lock(ctx context.Context) (unlock func(), err error) {
	folder := filepath.Dir(f.path)
	if err := f.makeFolder(); err != nil {
		return nil, stateError(err)
	}
	lock, err := os.OpenFile(f.path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, stateError(durable.ExplainFull(folder, err))
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	ticker := time.NewTicker(lockInterval)
	defer ticker.Stop()
	for {
		// A blocking flock(2) would wait without limit.
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = errors.Join(unix.Flock(int(lock.Fd()), unix.LOCK_UN), lock.Close()) }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			_ = lock.Close() // nothing was written
			return nil, stateError(&fs.PathError{Op: "flock", Path: lock.Name(), Err: err})
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_ = lock.Close() // nothing was written
			return nil, &Error{Fault: Later, Err: fmt.Errorf("another popfetch has %s locked: %w", f.path, context.Cause(ctx))}
		}
	}
}

// makeFolder makes the folder of the tokens, which nobody else can enter.
func (f *File) makeFolder() error {
	folder := filepath.Dir(f.path)
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return durable.SyncUp(folder)
}
