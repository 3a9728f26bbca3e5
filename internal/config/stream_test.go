package config

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A pipe is read once, whatever path leads to it and however often the password is asked for.
func TestSecret_Resolve_pipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("hunter2\nsecond\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/fd/%d", "/dev/fd/%d", "/proc/self/fd/%d"} {
		secret := Secret{File: fmt.Sprintf(path, r.Fd())}
		if got, err := secret.Resolve(t.Context(), "alice"); err != nil || got != "hunter2" {
			t.Errorf("Resolve() of %s = %q, %v, want the first line", secret.File, got, err)
		}
	}
}

// Standard input has two names.
func TestSecret_Resolve_standardInput(t *testing.T) {
	home(t)
	for _, name := range []string{"-", "/dev/stdin"} {
		cfg, err := OneShot(map[string]string{"server": "h", "user": "u", "maildir": "m", "password_file": name})
		if err != nil || cfg.Accounts[0].Password.File != "/dev/stdin" {
			t.Errorf("OneShot() with %s = %+v, %v", name, cfg, err)
		}
	}
}

// Programs that popfetch starts get no descriptor of a password.
func TestSecret_Resolve_pipeNotInherited(t *testing.T) {
	if os.Getenv("CONFIG_TEST_PIPE") == "" {
		c := exec.CommandContext(t.Context(), "sh", "-c", `exec "$0" -test.run='^TestSecret_Resolve_pipeNotInherited$' 9<&0`, os.Args[0])
		c.Env = append(os.Environ(), "CONFIG_TEST_PIPE=1")
		c.Stdin = strings.NewReader("hunter2\nsecond\n")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	open := func() bool {
		return exec.CommandContext(t.Context(), "sh", "-c", "test -e /proc/self/fd/9").Run() == nil
	}
	if !open() {
		t.Skip("the descriptor did not come through")
	}
	if got, err := (Secret{File: "/dev/fd/9"}).Resolve(t.Context(), "alice"); err != nil || got != "hunter2" {
		t.Errorf("Resolve() = %q, %v, want the first line", got, err)
	}
	if open() {
		t.Error("a program that is started still has the pipe of the password")
	}
}
