package oauth_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/oauthtest"
)

func TestFile_Read(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := oauth.NewFile(dir, "../we/ird")
	_, err := f.Read(t.Context())
	wantFault(t, err, oauth.Refused, "nobody is signed in")
	write(t, f, &oauth.Grant{AccessToken: "access-1"})
	if within, err := filepath.Rel(filepath.Join(dir, "oauth"), f.Path()); err != nil || filepath.Dir(within) != "." {
		t.Errorf("the file is %s", f.Path())
	}
	if info, err := os.Stat(filepath.Dir(f.Path())); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
	if got := read(t, f); got.AccessToken != "access-1" {
		t.Errorf("Read() = %+v", got)
	}
	onlyFiles(t, f, false)
	if err := os.Chmod(f.Path(), 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = f.Read(t.Context())
	wantFault(t, err, oauth.Exposed, "others can read", "chmod 600 "+f.Path())
	if err := os.WriteFile(f.Path(), []byte(`{"access_token":"access-`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.Path(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = f.Read(t.Context())
	wantFault(t, err, oauth.State, "is damaged; sign in again")
	write(t, f, &oauth.Grant{AccessToken: "access-2"})
	if got := read(t, f); got.AccessToken != "access-2" {
		t.Errorf("Read() = %+v", got)
	}
}

// TestFile_locked checks that a run waits for another process, and no longer than it may.
func TestFile_locked(t *testing.T) {
	t.Parallel()
	p := oauthtest.New(t)
	s, _ := sourceOf(t, p, -time.Hour)
	lock, err := os.OpenFile(fileOf(s).Path()+".lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("no time"))
	defer cancel()
	_, err = s.Token(ctx)
	wantFault(t, err, oauth.Later, "another popfetch has", "no time")
	oauth.SetPatience(fileOf(s), 50*time.Millisecond)
	_, err = s.Token(t.Context())
	wantFault(t, err, oauth.Later, "another popfetch has", "it has not ended within 50ms")
	wantFault(t, fileOf(s).Ready(t.Context()), oauth.Later, "another popfetch has")
	oauth.SetPatience(fileOf(s), time.Minute)
	if len(p.Requests(oauthtest.Token)) != 0 {
		t.Error("the provider was asked without the lock")
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if token, err := s.Token(t.Context()); err != nil || !p.Accepts(token) {
		t.Errorf("Token() = %v, %v", token, err)
	}
}

func TestFile_Remove(t *testing.T) {
	t.Parallel()
	f := oauth.NewFile(t.TempDir(), "work")
	done := func(*oauth.Grant) error { return nil }
	wantFault(t, f.Remove(t.Context(), done), oauth.Refused, "nobody is signed in")
	write(t, f, &oauth.Grant{AccessToken: "access-1"})
	failed := errors.New("not revoked")
	if err := f.Remove(t.Context(), func(*oauth.Grant) error { return failed }); !errors.Is(err, failed) || read(t, f) == nil {
		t.Errorf("Remove() = %v, want what revoke says, and the grant kept", err)
	}
	left := f.Path() + ".new" // by a process that was killed
	if err := os.WriteFile(left, []byte("access-2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Errorf("%s is still there", left)
	}
	_, err := f.Read(t.Context())
	wantFault(t, err, oauth.Refused, "nobody is signed in")
}

// TestFile_Remove_damaged checks that what nobody can use can be removed.
func TestFile_Remove_damaged(t *testing.T) {
	t.Parallel()
	f := oauth.NewFile(t.TempDir(), strings.Repeat("ü", 60))
	write(t, f, &oauth.Grant{AccessToken: "access-1"})
	if err := os.Chmod(f.Path(), 0o644); err != nil {
		t.Fatal(err)
	}
	asked := errors.New("asked")
	if err := f.Remove(t.Context(), func(*oauth.Grant) error { return asked }); !errors.Is(err, asked) {
		t.Errorf("Remove() of an exposed grant = %v, want what revoke says", err)
	}
	if err := os.WriteFile(f.Path(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(t.Context(), func(*oauth.Grant) error { return asked }); err != nil {
		t.Errorf("Remove() of a damaged grant = %v", err)
	}
}

func TestFile_folder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := oauth.NewFile(dir, "work")
	if err := os.WriteFile(filepath.Join(dir, "oauth"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantFault(t, oauth.NewFile(filepath.Join(dir, "oauth"), "work").Ready(t.Context()), oauth.Uncreated, "not a directory")
	if err := os.Remove(filepath.Join(dir, "oauth")); err != nil {
		t.Fatal(err)
	}
	if err := f.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, "oauth"), 0o770); err != nil {
		t.Fatal(err)
	}
	wantFault(t, f.Ready(t.Context()), oauth.Exposed, "others can change the tokens", "run chmod 700 "+filepath.Join(dir, "oauth"))
}
