package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// ErrExists means that an account to be added exists already, or its password file does.
var ErrExists = errors.New("exists already")

// AppendError means that accounts could not be added to a file. No file has been changed, unless Err
// says that they were added.
type AppendError struct {
	File string
	Err  error // never contains a password
}

func (e *AppendError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *AppendError) Unwrap() error { return e.Err }

// Append adds accounts to the configuration file at path. What the file has stays as it is, octet
// for octet. If the file is missing, it is made with mode 0600, and folders with mode 0700. Passwords
// go into files of mode 0600 beside it. All accounts are added, or none.
//
// The result is read as Load reads it before anything is written. If it would be invalid, the error
// is an Errors. If an account exists already, errors.Is(err, ErrExists) is true. Every other error
// is an *AppendError.
//
// The file is replaced atomically and keeps its mode and owner. If path is a link, the file that it
// leads to is replaced. Several processes may call Append for one file. A change that another
// program makes meanwhile is not lost: then Append fails.
func Append(ctx context.Context, path string, accounts ...NewAccount) error {
	if _, err := Preview(path, accounts...); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return appendError(path, err)
	}
	unlock, err := lockFolder(ctx, folder)
	if err != nil {
		return appendError(path, err)
	}
	defer unlock()
	old, err := readOld(path)
	if err != nil {
		return err
	}
	text, _, err := old.with(accounts)
	if err != nil {
		return err
	}
	written, err := writePasswords(folder, accounts)
	if err == nil {
		err = old.replace(text)
	}
	if errors.Is(err, errUnsynced) { // the file names the passwords by now
		return &AppendError{File: path, Err: err}
	}
	if err != nil {
		for _, file := range written {
			_ = os.Remove(file) // the error that led here is the one to tell
		}
		return appendError(path, err)
	}
	return nil
}

// Preview returns the configuration as it would be after Append. It writes nothing. Its errors are
// those of Append, but for those of writing.
func Preview(path string, accounts ...NewAccount) (*Config, error) {
	old, err := readOld(path)
	if err != nil {
		return nil, err
	}
	_, cfg, err := old.with(accounts)
	return cfg, err
}

// CanAppend returns the error that Append would end with, whatever the accounts. It finds out as much
// as it can without writing.
func CanAppend(path string) error {
	old, err := readOld(path)
	if err != nil {
		return err
	}
	folder := filepath.Dir(old.target)
	for !exists(folder) && folder != filepath.Dir(folder) {
		folder = filepath.Dir(folder)
	}
	if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
		return appendError(path, fmt.Errorf("the folder %s cannot be written: %w; run popfetch as its owner, or name another file with --config", folder, err))
	}
	return nil
}

// PasswordFile returns the file into which Append writes an account's password.
func PasswordFile(path, account string) string {
	return filepath.Join(filepath.Dir(path), passwordName(account))
}

func passwordName(account string) string { return account + ".password" }

// appendError returns err as an *AppendError, unless it is one of the errors that Append returns.
func appendError(path string, err error) error {
	var known *AppendError
	var mistakes Errors
	if errors.As(err, &known) || errors.As(err, &mistakes) {
		return err
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) && pathError.Path == path {
		err = pathError.Err
	}
	return &AppendError{File: path, Err: fmt.Errorf("no account was added: %w", err)}
}

// lockLimit is how long another process may hold the lock.
const lockLimit = 10 * time.Second

// lockFolder keeps other processes from appending to the files of a folder. The file itself cannot
// be the lock, because it is replaced. Some file systems cannot lock folders. There, replace still
// notices a change.
func lockFolder(ctx context.Context, folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return func() {}, nil //nolint:nilerr // see above
	}
	err = durable.Lock(ctx, f, lockLimit)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = errors.Join(ctx.Err(), f.Close(), fmt.Errorf("another process has locked the folder %s; try again when it has ended", folder))
		return nil, err
	case err != nil:
		_ = f.Close() // it was only read
		return func() {}, nil
	}
	return func() { _ = durable.Unlock(f) }, nil
}

// oldFile is a configuration file before it is changed.
type oldFile struct {
	path   string // as it was given
	target string // the file that path leads to
	text   string
	info   fs.FileInfo // nil if the file is missing
	cfg    *Config     // nil if the file has no account
}

// readOld reads and checks the file at path, which may be missing, and may have no account.
func readOld(path string) (*oldFile, error) {
	old := &oldFile{path: path, target: path}
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return old, nil
	}
	if old.target, err = filepath.EvalSymlinks(path); err != nil {
		return nil, appendError(path, fmt.Errorf("it cannot be followed as a link: %w; make the file or remove the link", err))
	}
	if old.text, old.info, err = readFile(path, mendFile); err != nil {
		return nil, Errors{{File: path, Err: err}}
	}
	if !old.info.Mode().IsRegular() {
		return nil, appendError(path, errors.New("it is no regular file, so nothing can be added; name another with --config"))
	}
	old.cfg, err = parse(path, old.text, old.info)
	var mistakes Errors
	if errors.As(err, &mistakes) && len(mistakes) == 1 && errors.Is(err, errNoAccount) {
		return old, nil
	}
	if err == nil && old.cfg.AccountsFrom == FromDatabase {
		return nil, Errors{old.cfg.Mistake(nil, &old.cfg.AccountsFrom, errors.New("the accounts come from the database, so none is added here; "+
			"name another file with --config, and give that to \"popfetch accounts put\""))}
	}
	return old, err
}

// with returns the text of the file with further accounts, and its configuration.
func (old *oldFile) with(accounts []NewAccount) (string, *Config, error) {
	var kept []Account
	known, targets := map[string]string{}, map[string]bool{} // where each account is, and which targets there are
	if old.cfg != nil {
		kept = old.cfg.Accounts
		for i := range old.cfg.Targets {
			targets[old.cfg.Targets[i].Name] = true
		}
	}
	for _, a := range kept {
		known[a.Name] = old.cfg.account(a.Name).String()
	}
	text := old.text
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for i := range accounts {
		a := &accounts[i]
		if where := known[a.Name]; where != "" {
			return "", nil, appendError(old.path, fmt.Errorf("the account %q %w in %s; choose another name", a.Name, ErrExists, where))
		}
		known[a.Name] = old.path
		for _, t := range a.Targets {
			if targets[t.Name] {
				return "", nil, appendError(old.path, fmt.Errorf("the target %q %w; choose another name", t.Name, ErrExists))
			}
			targets[t.Name] = true
		}
		table, err := a.TOML()
		if err != nil {
			return "", nil, Errors{{Key: dotted(accountTable, a.Name), Err: err}}
		}
		if text != "" {
			text += "\n"
		}
		text += table
	}
	text = withLineEnds(text, old.text)
	if len(text) > maxFile {
		return "", nil, appendError(old.path, errors.New("it would become larger than 1 MiB; name another file with --config"))
	}
	cfg, err := parse(old.path, text, old.info)
	if err != nil {
		return "", nil, ofNew(err)
	}
	return text, cfg, nil
}

// ofNew returns the mistakes of the added text. They have no place, since it is not written.
func ofNew(err error) error {
	var mistakes Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			m.File, m.Line = "", 0
		}
	}
	return err
}

// withLineEnds returns text with the line ends that most lines of old have. The lines of old stay as
// they are.
func withLineEnds(text, old string) string {
	crlf := strings.Count(old, "\r\n")
	if 2*crlf <= strings.Count(old, "\n") {
		return text
	}
	return old + strings.ReplaceAll(text[len(old):], "\n", "\r\n")
}

// writePasswords writes the passwords of accounts, and returns the files that it has made, also if
// there is an error.
func writePasswords(folder string, accounts []NewAccount) (written []string, err error) {
	for i := range accounts {
		if accounts[i].Password == "" {
			continue
		}
		file := filepath.Join(folder, passwordName(accounts[i].Name))
		made, err := writePassword(file, accounts[i].Password)
		if made {
			written = append(written, file)
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// writePassword writes a password into a new file, which is whole as soon as it is there. If the file
// has this password already, that is enough.
func writePassword(file, password string) (made bool, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".") // its mode is 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is of no further use
	_, err = f.WriteString(password + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	err = os.Link(f.Name(), file)
	if err != nil && !exists(file) { // the file system has no links
		err = os.Rename(f.Name(), file)
	}
	if errors.Is(err, fs.ErrExist) {
		if there, err := readSecretFile(file); err == nil && there == password {
			return false, nil
		}
		return false, fmt.Errorf("the file %s %w, with another password; remove it, or choose another name for the account", file, ErrExists)
	}
	return err == nil, err
}

// replace gives the file its new text.
func (old *oldFile) replace(text string) error {
	folder := filepath.Dir(old.target)
	f, err := os.CreateTemp(folder, "."+filepath.Base(old.target)+".")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // after the rename it is gone
	_, err = f.WriteString(text)
	if err = errors.Join(err, old.likeBefore(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := old.unchanged(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), old.target); err != nil {
		return err
	}
	if err := durable.SyncUp(folder); err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	return nil
}

// errUnsynced says that the file has its new text, but not for certain on the disk.
var errUnsynced = errors.New("the accounts were added, but a power cut may take them away")

// likeBefore gives a file the owner and the mode of the old one. A new one keeps mode 0600.
func (old *oldFile) likeBefore(f *os.File) error {
	if old.info == nil {
		return nil
	}
	was, isUnix := old.info.Sys().(*syscall.Stat_t)
	if isUnix && (int(was.Uid) != os.Geteuid() || int(was.Gid) != os.Getegid()) {
		if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return fmt.Errorf("the file is user %d's and group %d's, and cannot stay so: %w; run popfetch as that user", was.Uid, was.Gid, err)
		}
	}
	return f.Chmod(old.info.Mode().Perm())
}

// unchanged returns an error if the file is no longer the one that was read.
func (old *oldFile) unchanged() error {
	now, err := os.Stat(old.target)
	switch {
	case old.info == nil && errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case old.info != nil && os.SameFile(now, old.info) && now.Size() == old.info.Size() && now.ModTime().Equal(old.info.ModTime()):
		return nil
	}
	return errors.New("another program has just changed it; try again")
}
