package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// nobody is a user who may do nothing.
const nobody = 65534

// TestPermissions runs the program as another user, because root may write everywhere.
func TestPermissions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	built := buildProgram(t)
	dir, err := os.MkdirTemp("", "popfetch-permissions-") // only root may enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "popfetch")
	if err := os.Rename(built, program); err != nil {
		t.Fatal(err)
	}
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(3, 400)})
	own := func(t *testing.T, path string) {
		t.Helper()
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	run := func(t *testing.T, home, command string, want int, words ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, program, command, "--config", filepath.Join(home, "config.toml"))
		c.Dir = home
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		var said bytes.Buffer
		c.Stderr = &said
		status := exitOf(t, c.Run())
		if status != want {
			t.Errorf("exit status of %s = %d, want %d; it said: %s", command, status, want, said.String())
		}
		for _, word := range words {
			if !strings.Contains(said.String(), word) {
				t.Errorf("it said %q, want %q in it", said.String(), word)
			}
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		name   string
		spoil  func(t *testing.T, home string)
		status int
		words  []string
	}{
		{"the Maildir cannot be written", func(t *testing.T, home string) { chmod(t, filepath.Join(home, "Maildir", "tmp"), 0o500) }, 74,
			[]string{"the folder tmp of the Maildir", "permission denied"}},
		{"new of the Maildir cannot be written", func(t *testing.T, home string) { chmod(t, filepath.Join(home, "Maildir", "new"), 0o500) }, 74,
			[]string{"the folder new of the Maildir", "permission denied"}},
		{"the state folder cannot be written", func(t *testing.T, home string) { chmod(t, filepath.Join(home, "state"), 0o500) }, 74,
			[]string{"state", "it and its folder must belong to the user"}},
		{"the table cannot be written", func(t *testing.T, home string) { chmod(t, filepath.Join(home, "state", "seen.db"), 0o400) }, 74,
			[]string{"seen.db cannot be written", "permission denied"}},
		{"the lock cannot be written", func(t *testing.T, home string) {
			locks, err := filepath.Glob(filepath.Join(home, "state", "account-work-*.lock"))
			if err != nil || len(locks) != 1 {
				t.Fatalf("the locks are %q, %v, want one", locks, err)
			}
			chmod(t, locks[0], 0o400)
		}, 74, []string{"locking account", "permission denied"}},
		{"the state folder cannot be made", func(t *testing.T, home string) {
			if err := os.Rename(filepath.Join(home, "state"), filepath.Join(home, "away")); err != nil {
				t.Fatal(err)
			}
			chmod(t, home, 0o500)
		}, 73, []string{"the state folder cannot be made", "permission denied"}},
		{"the Maildir is gone", func(t *testing.T, home string) {
			if err := os.Rename(filepath.Join(home, "Maildir"), filepath.Join(home, "away")); err != nil {
				t.Fatal(err)
			}
		}, 73, []string{"the target is missing", "mount its disk"}},
		{"the Maildir lets nobody in", func(t *testing.T, home string) { chmod(t, filepath.Join(home, "Maildir"), 0) }, 74,
			[]string{"Maildir cannot be looked into: ", "permission denied; it and the folders above it must let the user in that popfetch runs as"}},
		{"new of the Maildir is a link", func(t *testing.T, home string) {
			folder := filepath.Join(home, "Maildir", "new")
			if err := errors.Join(os.Rename(folder, folder+".old"), os.Symlink(folder+".old", folder)); err != nil {
				t.Fatal(err)
			}
		}, 73, []string{"its new is a link, and popfetch follows none there"}},
		{"the configuration cannot be read", func(t *testing.T, home string) { chmod(t, filepath.Join(home, "config.toml"), 0) }, 78,
			[]string{"config.toml: permission denied; it is there, but the user that popfetch runs as may not read it"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := filepath.Join(dir, fmt.Sprint(i))
			if err := os.Mkdir(home, 0o700); err != nil {
				t.Fatal(err)
			}
			own(t, home)
			config := filepath.Join(home, "config.toml")
			text := fmt.Sprintf("state_dir = \"state\"\n[account.work]\nserver = %q\ntls = \"none\"\nuser = \"mrose\"\npassword = \"tanstaaf\"\nmaildir = \"Maildir\"\n", poptest.InClear(server.Addr(), true))
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			own(t, config)
			run(t, home, "--once", 0)
			server.Wait()
			before := server.Count("RETR")
			server.Drop("").Add(newMail(fmt.Sprintf("later-%d", i)))
			test.spoil(t, home)
			run(t, home, "check", test.status)
			run(t, home, "--once", test.status, test.words...)
			server.Wait()
			if got := server.Count("RETR") - before; got != 0 {
				t.Errorf("RETR was sent %d times, want 0: the fault is found before anything is retrieved", got)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
