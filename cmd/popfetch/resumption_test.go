package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// session opens a session under TLS. It reports whether TLS was resumed.
func session(t *testing.T, addr string, c *tls.Config, mode pop3.TLSMode) (resumed bool, _ error) {
	t.Helper()
	client, err := pop3.Dial(t.Context(), addr, &pop3.Options{TLS: mode, TLSConfig: c})
	if err != nil {
		return false, err
	}
	defer client.Close()
	state, ok := client.TLSState()
	if !ok {
		t.Fatal("there is no TLS")
	}
	return state.DidResume, client.Quit(t.Context())
}

func mustTLSConfig(t *testing.T, a *config.Account) *tls.Config {
	t.Helper()
	c, _, err := tlsConfig(a, make(authorities))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestResumption opens three sessions of one account. The later ones are resumed, unless the account
// is one that must show a certificate or bind its log-in to the server's.
func TestResumption(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t)
	other := poptest.NewServer(t)
	client := server.CA().Client("mrose")
	plain := config.Account{Server: server.TLSAddr(), TLSCA: server.CA().File()}
	for name, test := range map[string]struct {
		version uint16
		change  func(*config.Account)
		want    bool
	}{
		"TLS 1.3":            {tls.VersionTLS13, func(*config.Account) {}, true},
		"TLS 1.2":            {tls.VersionTLS12, func(*config.Account) {}, true},
		"named mechanisms":   {tls.VersionTLS13, func(a *config.Account) { a.Auth = []string{"plain", "user"} }, true},
		"SCRAM":              {tls.VersionTLS13, func(a *config.Account) { a.Auth = []string{"plain", "scram-sha-256"} }, false},
		"client certificate": {tls.VersionTLS13, func(a *config.Account) { a.TLSCert, a.TLSKey = client.CertFile, client.KeyFile }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := plain
			test.change(&a)
			server.Configure(func(c *poptest.Config) {
				c.TLS = server.CA().ServerTLS(poptest.Valid)
				c.TLS.MaxVersion = test.version
			})
			c := mustTLSConfig(t, &a)
			for i, mode := range []pop3.TLSMode{pop3.TLSImplicit, pop3.TLSImplicit, pop3.TLSStart} {
				addr := server.TLSAddr()
				if mode == pop3.TLSStart {
					addr = server.Addr()
				}
				if got, err := session(t, addr, c, mode); err != nil || got != (test.want && i > 0) {
					t.Errorf("session %d: resumed = %v, %v, want %v", i+1, got, err, test.want && i > 0)
				}
			}
			// Another account has nothing to do with this one, whatever it trusts.
			if resumed, err := session(t, server.TLSAddr(), mustTLSConfig(t, &a), pop3.TLSImplicit); resumed || err != nil {
				t.Errorf("another account: resumed = %v, %v", resumed, err)
			}
			stranger := a
			stranger.TLSCA = other.CA().File()
			var refused *tls.CertificateVerificationError
			if _, err := session(t, server.TLSAddr(), mustTLSConfig(t, &stranger), pop3.TLSImplicit); !errors.As(err, &refused) {
				t.Errorf("an account with another authority: %v, want a refused certificate", err)
			}
		})
	}
}

// TestResumption_pin has an account that pins the server's key. The pin is checked in each session,
// resumed or not.
func TestResumption_pin(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t)
	certificate := server.CA().Server(poptest.Valid)
	serve := func(certificate poptest.Certificate) {
		server.Configure(func(c *poptest.Config) {
			c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate.TLS}} // with a new key for its tickets
		})
	}
	serve(certificate)
	whole := doctor.Describe(certificate.TLS.Leaf).SHA256
	a := config.Account{Server: server.TLSAddr(), TLSFingerprint: []string{whole}}
	c := mustTLSConfig(t, &a)
	for i := range 3 {
		if got, err := session(t, server.TLSAddr(), c, pop3.TLSImplicit); err != nil || got != (i > 0) {
			t.Errorf("session %d: resumed = %v, %v", i+1, got, err)
		}
	}
	serve(server.CA().Server(poptest.Valid))
	for range 2 {
		if _, err := session(t, server.TLSAddr(), c, pop3.TLSImplicit); !errors.Is(err, errPin) {
			t.Errorf("another certificate: %v, want %v", err, errPin)
		}
	}
	serve(certificate)
	if _, err := session(t, server.TLSAddr(), c, pop3.TLSImplicit); err != nil {
		t.Errorf("the pinned certificate again: %v", err)
	}
	// A session that the account would not trust any more is not resumed either.
	a.TLSFingerprint = []string{strings.Repeat("0", 64)}
	if _, err := session(t, server.TLSAddr(), c, pop3.TLSImplicit); !errors.Is(err, errPin) {
		t.Errorf("another pin: %v, want %v", err, errPin)
	}
}

// TestPoll_resumes runs without --once. The second pass resumes the TLS session of the first one.
func TestPoll_resumes(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(1, 500))
	handshakes, quits := make(chan bool, 100), make(chan struct{}, 100)
	a.Configure(func(c *poptest.Config) {
		c.TLS.VerifyConnection = func(state tls.ConnectionState) error { handshakes <- state.DidResume; return nil }
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "QUIT" {
				quits <- struct{}{}
			}
			return poptest.Action{}
		}
	})
	text := fmt.Sprintf("server = %q\ntls = 'implicit'\ntls_ca = %q\ninterval = '1s'", a.TLSAddr(), a.CA().File())
	if err := os.WriteFile(filepath.Join(a.dir, "config.toml"), []byte(accountText(a, text)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := a.command(t)
	said := new(bytes.Buffer)
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		await(t, quits)
		if resumed := <-handshakes; resumed != (i > 0) {
			t.Errorf("session %d: resumed = %v", i+1, resumed)
		}
	}
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 0)
	if said.Len() > 0 {
		t.Errorf("it said %q, want nothing", said)
	}
}
