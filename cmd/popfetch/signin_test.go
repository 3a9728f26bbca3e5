package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// signingIn is an account on a real Dovecot, which asks a real OpenID provider about its tokens.
type signingIn struct {
	account
	*poptest.Provider
	dovecot *poptest.Dovecot
}

// newSigningIn starts both, for an account with so many messages. The client describes popfetch to the
// provider.
func newSigningIn(t *testing.T, user string, messages int, client func(*poptest.Provider) []string) *signingIn {
	t.Helper()
	p := poptest.StartProvider(t, nil)
	s := &signingIn{Provider: p, dovecot: poptest.StartDovecot(t, p.Dovecot())}
	s.dir, s.maildir = t.TempDir(), filepath.Join(t.TempDir(), "Maildir")
	_, port, _ := strings.Cut(s.dovecot.TLSAddr(), ":")
	text := []string{
		`state_dir = "state"`, `[account.work]`, `server = "localhost:` + port + `"`, `tls_ca = "` + s.dovecot.CA().File() + `"`,
		`user = "` + user + `"`, `maildir = "` + s.maildir + `"`,
		`[account.work.oauth]`, `token_url = "` + p.Token + `"`,
	}
	text = append(text, client(p)...)
	if err := os.WriteFile(filepath.Join(s.dir, "config.toml"), []byte(strings.Join(text, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		s.dovecot.Deliver(user, fmt.Appendf(nil, "Message-ID: <%d@example.org>\r\n\r\nThis is the message %d.\r\n", i, i))
	}
	return s
}

// public is a client that signs a person in.
func public(p *poptest.Provider) []string {
	return []string{
		fmt.Sprintf("client_id = %q", p.Client), `scopes = ["pop", "offline_access"]`, fmt.Sprintf("device_url = %q", p.Device),
		fmt.Sprintf("auth_url = %q", p.Authorization), fmt.Sprintf("revoke_url = %q", p.Revocation),
	}
}

// opened starts popfetch login --json, and returns what it tells a person to open.
func (s *signingIn) opened(t *testing.T, args ...string) (c *exec.Cmd, step signInStep) {
	t.Helper()
	c = s.command(t, append([]string{"login", "work", "--json"}, args...)...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &step); err != nil || step.Event != "open" {
		t.Fatalf("login says %q, %v", line, err)
	}
	return c, step
}

// signIn signs alice in by a code.
func (s *signingIn) signIn(t *testing.T) {
	t.Helper()
	c, step := s.opened(t)
	s.Approve(step.Code, "alice")
	if status := exitOf(t, c.Wait()); status != 0 {
		t.Fatalf("login ended with %d", status)
	}
}

// refreshToken reads the refresh token that is kept.
func (s *signingIn) refreshToken(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "state", "oauth", "account-work.json"))
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	return kept.Refresh
}

func TestSignIn_code(t *testing.T) {
	t.Parallel()
	s := newSigningIn(t, "alice", 3, public)

	c, step := s.opened(t)
	s.Deny(step.Code)
	if status := exitOf(t, c.Wait()); status != exitNoPerm {
		t.Errorf("a denied login ended with %d", status)
	}
	s.mustRun(t, exitNoPerm, "--once")
	s.signIn(t)
	s.mustRun(t, 0, "--once")
	if n := s.delivered(t); n != 3 {
		t.Errorf("%d messages were delivered, want 3", n)
	}

	// Each refresh token of this provider is good only once. If one is used twice, all tokens end.
	for range 3 {
		s.expire(t)
		before := s.refreshToken(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c := s.command(t, "check")
				var said bytes.Buffer
				c.Stderr = &said
				if err := c.Run(); err != nil || said.Len() > 0 {
					t.Errorf("check = %v, and said: %s", err, said.String())
				}
			}()
		}
		wg.Wait()
		if after := s.refreshToken(t); after == before {
			t.Error("the refresh token is still the same")
		}
	}

	s.mustRun(t, 0, "login", "--status")
	kept := s.refreshToken(t)
	s.mustRun(t, 0, "logout", "work")
	if again := s.Refresh(kept); again.Error == "" {
		t.Error("the provider still accepts the refresh token after logout")
	}
	s.mustRun(t, exitNoPerm, "--once")
}

// expire ends the access token at the provider, and makes popfetch think that it ended some time ago.
func (s *signingIn) expire(t *testing.T) {
	t.Helper()
	s.Expire()
	path := filepath.Join(s.dir, "state", "oauth", "account-work.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	kept["expires"] = "2026-01-01T00:00:00Z"
	if text, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSignIn_browser(t *testing.T) {
	t.Parallel()
	s := newSigningIn(t, "alice", 1, public)
	c, step := s.opened(t, "--browser")
	if status, body := s.BrowseDenying(step.URL); status != 200 {
		t.Errorf("the browser ends at %d, %s", status, body)
	}
	if status := exitOf(t, c.Wait()); status != exitNoPerm {
		t.Errorf("a denied login ended with %d", status)
	}
	c, step = s.opened(t, "--browser")
	if status, body := s.Browse(step.URL, "alice"); status != 200 || !strings.Contains(body, "You can close this page") {
		t.Errorf("the browser ends at %d, %s", status, body)
	}
	if status := exitOf(t, c.Wait()); status != 0 {
		t.Errorf("login ended with %d", status)
	}
	s.mustRun(t, 0, "--once")
	if n := s.delivered(t); n != 1 {
		t.Errorf("%d messages were delivered, want 1", n)
	}
}

// Somebody else signs in: the server decides whose mail a token opens.
func TestSignIn_other(t *testing.T) {
	t.Parallel()
	s := newSigningIn(t, "bob", 0, public)
	s.signIn(t)
	s.mustRun(t, exitNoPerm, "--once")
}

// A client signs in itself, and needs no login.
func TestSignIn_client(t *testing.T) {
	t.Parallel()
	s := newSigningIn(t, "service", 2, func(*poptest.Provider) []string {
		return []string{`flow = "client_credentials"`, `client_id = "service"`, `client_secret_command = "cat secret"`, `scopes = "pop"`}
	})
	secret := filepath.Join(s.dir, "secret")
	if err := os.WriteFile(secret, []byte(s.ServiceSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mustRun(t, 0, "--once")
	if n := s.delivered(t); n != 2 {
		t.Errorf("%d messages were delivered, want 2", n)
	}
	s.Expire()
	s.mustRun(t, exitNoPerm, "check") // a moment ago it was new
	s.expire(t)
	s.mustRun(t, 0, "check")
	s.mustRun(t, 0, "login", "work")
	if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.expire(t)
	s.mustRun(t, exitNoPerm, "check")
	s.mustRun(t, exitNoPerm, "login", "work")
}
