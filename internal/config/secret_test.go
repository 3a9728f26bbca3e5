package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeSecret writes contents to a file with mode and returns its path.
func writeSecret(t *testing.T, contents string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(openFolder(t), "secret")
	if err := os.WriteFile(path, []byte(contents), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// openFolder returns a new folder that everybody can enter.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // only the user may enter it
		t.Fatal(err)
	}
	return dir
}

func TestSecret_Resolve(t *testing.T) {
	credentials := t.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "work"), []byte("hunter2\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	tests := []struct {
		name   string
		secret Secret
		want   string
		err    string // must be a part of the error
	}{
		{"password", Secret{Password: ` a "b" %s# `}, ` a "b" %s# `, ""},
		{"C0003/password with a line end", Secret{Password: "hunter2\r\nDELE 1"}, "", "control character"},
		{"none", Secret{}, "", "no password is configured"},

		{"file", Secret{File: writeSecret(t, "hunter2\nsecond\n", 0o600)}, "hunter2", ""},
		{"file without line end", Secret{File: writeSecret(t, "hunter2", 0o400)}, "hunter2", ""},
		{"file with CRLF", Secret{File: writeSecret(t, "hunter2\r\n", 0o600)}, "hunter2", ""},
		{"file, blanks kept", Secret{File: writeSecret(t, " hunter2 \n", 0o600)}, " hunter2 ", ""},
		{"file, device", Secret{File: "/dev/null"}, "", "password is empty"},
		{"file, empty first line", Secret{File: writeSecret(t, "\nhunter2\n", 0o600)}, "", "password is empty"},
		{"file, readable by others", Secret{File: writeSecret(t, "hunter2\n", 0o604)}, "", "(mode 0604); run chmod 600 "},
		{"file, readable by the group", Secret{File: writeSecret(t, "hunter2\n", 0o640)}, "", "(mode 0640); run chmod 600 "},
		{"file, missing", Secret{File: "/nonexistent/secret"}, "", "open /nonexistent/secret: no such file"},
		{"file, a folder", Secret{File: credentials}, "", "is a directory"},
		{"file, endless", Secret{File: "/dev/zero"}, "", "longer than 64 KiB"},
		{"C0003/file with NUL", Secret{File: writeSecret(t, "hunter\x002\n", 0o600)}, "", "control character"},
		{"C0003/file with CR", Secret{File: writeSecret(t, "hunter\r2\n", 0o600)}, "", "control character"},

		{"credential", Secret{Credential: "work"}, "hunter2", ""},
		{"credential, missing", Secret{Credential: "home"}, "", "no such file"},

		{"command", Secret{Command: "printf 'hunter2\\nsecond\\n'"}, "hunter2", ""},
		{"command is a shell's", Secret{Command: "x=hunter; echo ${x}2 | cat"}, "hunter2", ""},
		{"command, complaint ignored", Secret{Command: "echo oh >&2; echo hunter2"}, "hunter2", ""},
		{"command, reads nothing", Secret{Command: "cat; echo hunter2"}, "hunter2", ""},
		{"command, no line end", Secret{Command: "printf hunter2"}, "hunter2", ""},
		{"command, CRLF", Secret{Command: `printf 'hunter2\r\n'`}, "hunter2", ""},
		{"command, blanks kept", Secret{Command: "echo ' hunter2 '"}, " hunter2 ", ""},
		{"command, empty first line", Secret{Command: "echo; echo hunter2"}, "", "password is empty"},
		{"command, many lines", Secret{Command: "echo hunter2; seq 1 9999"}, "hunter2", ""},
		{"command, ends by a signal", Secret{Command: "echo hunter2; kill -9 $$"}, "", "signal: killed"},
		{"command, says why in lines", Secret{Command: "echo hunter2; echo locked >&2; echo hunter2 >&2; exit 7"}, "", `exit status 7; it said "locked\n***"`},
		{"command, endless though it ignores it", Secret{Command: "trap '' PIPE; yes hunter2"}, "", "longer than 64 KiB"},
		{"command, nothing", Secret{Command: "true"}, "", "password is empty"},
		{"command, failed", Secret{Command: `echo hunter2; printf 'no \033[1mkey\n' >&2; exit 3`}, "", `exit status 3; it said "no \x1b[1mkey"`},
		{"command, traced", Secret{Command: "set -x; echo hunter2; exit 1"}, "", `it said "+ echo ***\n+ exit 1"`},
		{"command, complaint cut", Secret{Command: "echo hunter2; yes hunter2 | head -n 9999 >&2; exit 1"}, "", "exit status 1"},
		{"command, missing", Secret{Command: "/nonexistent/command"}, "", "exit status 127; it said"},
		{"command, endless", Secret{Command: "yes hunter2"}, "", "longer than 64 KiB"},
		{"command, endless line", Secret{Command: "cat /dev/zero"}, "", "longer than 64 KiB"},
		{"C0003/command with tab", Secret{Command: `printf 'hunter\t2'`}, "", "control character"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.secret.Resolve(t.Context(), "alice")
			if test.err == "" {
				if err != nil || got != test.want {
					t.Errorf("Resolve() = %q, %v, want %q", got, err, test.want)
				}
				return
			}
			if err == nil || got != "" || !strings.Contains(err.Error(), test.err) {
				t.Fatalf("Resolve() = %q, %v, want an error with %q", got, err, test.err)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("Resolve() tells the password: %v", err)
			}
			var source *SecretError
			if found := errors.As(err, &source); found == test.secret.IsZero() || found && !strings.HasPrefix(err.Error(), source.Key+": ") {
				t.Errorf("Resolve() = %#v, want a SecretError with its key", err)
			}
		})
	}
}

func TestSecret_Resolve_noCredentials(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, err := Secret{Credential: "work"}.Resolve(t.Context(), "alice")
	if err == nil || !strings.Contains(err.Error(), "CREDENTIALS_DIRECTORY is not set; ") {
		t.Errorf("Resolve() = %v, want CREDENTIALS_DIRECTORY is not set", err)
	}
}

func TestSecret_Resolve_cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Secret{Command: "echo hunter2"}.Resolve(ctx, "alice")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Resolve() = %v, want context.Canceled", err)
	}
}

// TestRunSecretCommand_limit runs commands that do not end by themselves.
func TestRunSecretCommand_limit(t *testing.T) {
	const limit = 50 * time.Millisecond
	for name, command := range map[string]string{
		"sleeps":          "sleep 300",
		"spins":           "trap '' TERM INT; echo hunter2; while :; do :; done",
		"is stopped":      "echo hunter2; kill -STOP $$",
		"complains":       "yes hunter2 >&2",
		"closes all":      "exec >&- 2>&-; sleep 300",
		"starts children": "echo hunter2; sleep 300 & sleep 300 & wait",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := runSecretCommand(t.Context(), command, limit)
			if err == nil || !strings.HasPrefix(err.Error(), "no answer within 50ms") {
				t.Errorf("runSecretCommand() = %v, want no answer within 50ms", err)
			}
			if took := time.Since(began); took > limit+2*time.Second {
				t.Errorf("runSecretCommand() took %v, want two seconds more than %v at most", took, limit)
			}
		})
	}
}

// TestRunSecretCommand_group cancels a command that has started another one. The whole group must
// end. As long as one process lives, the named pipe has a writer.
func TestRunSecretCommand_group(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// The pipe is opened for writing too. Otherwise opening would wait for the command.
	pipe, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	if err := reader.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := runSecretCommand(ctx, fmt.Sprintf("exec 9>%s; sleep 300 & echo >&9; wait", path), time.Minute)
		done <- err
	}()
	if _, err := reader.Read(make([]byte, 1)); err != nil {
		t.Errorf("the command did not start: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("runSecretCommand() = %v, want context.Canceled", err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read() = %v, want io.EOF: a process of the group is alive", err)
	}
}

// TestRunSecretCommand_background runs an agent that keeps the output open.
func TestRunSecretCommand_background(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	command := fmt.Sprintf("sleep 300 & echo $! >%s; echo hunter2", pidFile)
	began := time.Now()
	got, err := runSecretCommand(t.Context(), command, time.Minute)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("runSecretCommand() took %v, want a second: the agent runs for five minutes", took)
	}
	if err != nil || got != "hunter2" {
		t.Errorf("runSecretCommand() = %q, %v, want the password", got, err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	agent, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Kill(); err != nil {
		t.Errorf("the agent was ended: %v", err)
	}
}

func TestSecret_shown(t *testing.T) {
	account := Account{Password: Secret{Password: "hunter2"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, account.Password) + fmt.Sprintf(verb, account); strings.Contains(got, "hunter") {
			t.Errorf("Sprintf(%q) = %s, want no password", verb, got)
		}
	}
	tests := map[string]Secret{
		"no password":                  {},
		"password ***":                 {Password: "hunter2"},
		`password_file "/p"`:           {File: "/p"},
		`password_command "pass show"`: {Command: "pass show"},
		`password_credential "pop-a"`:  {Credential: "pop-a"},
		`password_keyring "pop"`:       {Keyring: "pop"},
	}
	for want, secret := range tests {
		if got := secret.String(); got != want {
			t.Errorf("String() = %s, want %s", got, want)
		}
		if got := secret.IsZero(); got != (want == "no password") {
			t.Errorf("IsZero() of %s = %v", want, got)
		}
	}
}
