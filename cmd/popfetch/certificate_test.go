package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/poptest"
)

// fetched is one run of popfetch without a configuration file, from a server into a Maildir of its
// own.
type fetched struct {
	status    int
	out, said string
}

func fetchFrom(t *testing.T, server string, args ...string) fetched {
	t.Helper()
	return fetchedIn(t, exec.CommandContext(t.Context(), "popfetch", append([]string{"--once", "--server", server, "--user", "mrose",
		"--password-command", "echo tanstaaf", "--maildir", "m", "--state-dir", "s"}, args...)...), t.TempDir())
}

// fetchedIn runs a command in a folder.
func fetchedIn(t *testing.T, c *exec.Cmd, dir string) fetched {
	t.Helper()
	c.Dir = dir
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	status := exitOf(t, c.Run())
	return fetched{status, out.String(), said.String()}
}

// If a certificate is refused, a person is told which one was found, which one was wanted, and the
// line that pins it. With this line the next run succeeds. No credentials are sent to a server with
// a refused certificate (security list: certificates; peers.md E51 and E52).
func TestCertificate_refused(t *testing.T) {
	t.Parallel()
	const (
		names    = `found a certificate for localhost, 127.0.0.1, ::1, issued by CN=poptest authority, valid from 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC to 20\d\d-`
		anyIssue = `found a certificate for localhost, 127.0.0.1, ::1, issued by `
		ours     = "wanted one for localhost, valid today, vouched for by the system's authorities and those in .*ca.pem"
	)
	for _, test := range []struct {
		variant poptest.Variant
		want    []string
	}{
		{poptest.WrongName, []string{"valid for other.example, not localhost", "found a certificate for other.example, issued by CN=poptest authority", ours, `tls_server_name = "other.example" \(--tls-server-name other.example\)`}},
		{poptest.Expired, []string{"expired", names, "it has expired", ours}},
		{poptest.NotYetValid, []string{"not yet valid", names, "it is not valid yet, or this machine's clock is wrong", ours}},
		{poptest.SelfSigned, []string{"unknown authority", anyIssue + "itself", ours}},
		{poptest.UnknownIssuer, []string{"unknown authority", anyIssue + "CN=another authority", "unless the issuer is a root, its chain is incomplete", ours}},
		{poptest.Incomplete, []string{"unknown authority", anyIssue + "CN=lower authority", "its chain is incomplete", ours}},
	} {
		for _, mode := range []string{"implicit", "starttls"} {
			t.Run(string(test.variant)+"/"+mode, func(t *testing.T) {
				t.Parallel()
				server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(1, 500)})
				certificate := server.CA().Server(test.variant)
				server.Configure(func(c *poptest.Config) { c.TLS.Certificates = []tls.Certificate{certificate.TLS} })
				_, port, _ := strings.Cut(server.TLSAddr(), ":")
				if mode == "starttls" {
					_, port, _ = strings.Cut(server.Addr(), ":")
				}
				address := "localhost:" + port

				got := fetchFrom(t, address, "--tls", mode, "--tls-ca", server.CA().File(), "--json")
				if got.status != 77 {
					t.Errorf("exit status = %d, want 77", got.status)
				}
				described := doctor.Describe(certificate.TLS.Leaf)
				whole, key := described.SHA256, described.KeySHA256
				for _, want := range append(test.want, "SHA-256 is "+whole+", that of its key "+key, `tls_fingerprint = "`+key+`" \(--tls-fingerprint `+key+`\)`) {
					if !regexp.MustCompile(want).MatchString(got.said) {
						t.Errorf("it said\n%s\nwant %s", got.said, want)
					}
					if told := told(t, got.out); !regexp.MustCompile(want).MatchString(told) {
						t.Errorf("the event says\n%s\nwant %s", told, want)
					}
				}
				if told := strings.Contains(got.said, "chain is incomplete"); told == (test.variant == poptest.SelfSigned) && strings.Contains(got.said, "unknown authority") {
					t.Errorf("it said\n%s\nwant a word on the chain: %v", got.said, !told)
				}
				if lines := strings.Count(got.said, "\n"); lines > 5 {
					t.Errorf("it said %d lines, want 5 at most", lines)
				}
				if received := string(server.Received()); strings.Contains(received, "tanstaaf") || strings.Contains(received, "mrose") || strings.Contains(received, "AUTH") {
					t.Errorf("the server got %q, want nothing of the credentials", received)
				}

				for _, pin := range []string{key, whole} {
					if got := fetchFrom(t, address, "--tls", mode, "--tls-fingerprint", pin); got.status != 0 || got.said != "" {
						t.Errorf("with the pin %s: exit status = %d, %s, want 0", pin, got.status, got.said)
					}
				}
			})
		}
	}
}

// told returns the error of the last event.
func told(t *testing.T, out string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var event struct{ Event, Error string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &event); err != nil || event.Event != "finished" {
		t.Fatalf("the last event is %q, %v", lines[len(lines)-1], err)
	}
	return event.Error
}

// If a pin does not match, both fingerprints are shown. The certificate may be valid otherwise.
func TestCertificate_notThePinned(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	wrong := strings.Repeat("ab", 32)
	got := fetchFrom(t, server.TLSAddr(), "--tls-fingerprint", wrong)
	for _, want := range []string{"it is not the pinned one", "issued by CN=poptest authority", "wanted one of tls_fingerprint: " + wrong, "its SHA-256 is "} {
		if got.status != 77 || !strings.Contains(got.said, want) {
			t.Errorf("exit status = %d and\n%s\nwant 77 and %s", got.status, got.said, want)
		}
	}
	if received := server.Received(); len(received) > 0 {
		t.Errorf("the server got %q, want nothing", received)
	}
}

// Without tls_ca the system's authorities are wanted. The text proposes tls_ca.
func TestCertificate_systemAuthorities(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	got := fetchFrom(t, server.TLSAddr())
	for _, want := range []string{"wanted one for 127.0.0.1, valid today, vouched for by the system's authorities\n", "or name its authority in tls_ca (--tls-ca)"} {
		if got.status != 77 || !strings.Contains(got.said, want) {
			t.Errorf("exit status = %d and\n%s\nwant 77 and %s", got.status, got.said, want)
		}
	}
}

// TLS 1.0 and 1.1 are refused, by the client or by the server. The text says which versions are
// wanted.
func TestCertificate_oldTLS(t *testing.T) {
	t.Parallel()
	t.Run("the server has no other", func(t *testing.T) {
		t.Parallel()
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
			server.Configure(func(c *poptest.Config) { c.TLS.MinVersion, c.TLS.MaxVersion = version, version })
			got := fetchFrom(t, server.TLSAddr(), "--tls-ca", server.CA().File())
			if want := "protocol version not supported; popfetch speaks TLS 1.2 and 1.3"; got.status != 77 || !strings.Contains(got.said, want) {
				t.Errorf("exit status = %d and %s, want 77 and %s", got.status, got.said, want)
			}
			if received := server.Received(); len(received) > 0 {
				t.Errorf("the server got %q, want nothing", received)
			}
		}
	})
	t.Run("the server chooses it all the same", func(t *testing.T) {
		t.Parallel()
		hello := `\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02` + strings.Repeat("r", 32) + `\x00\xc0\x13\x00`
		script := poptest.Dialogue(t, "lax\nS- "+hello+"\nstall")
		got := fetchFrom(t, script.Addr())
		if want := "unsupported protocol version 302; popfetch speaks TLS 1.2 and 1.3"; got.status != 77 || !strings.Contains(got.said, want) {
			t.Errorf("exit status = %d and %s, want 77 and %s", got.status, got.said, want)
		}
	})
}

// fetchAs is fetchFrom with a configuration file that has more lines. The system trusts the
// certificates in a file; "" is the system's own.
func fetchAs(t *testing.T, server, system string, lines ...string) fetched {
	t.Helper()
	dir := t.TempDir()
	text := strings.Join(append([]string{`state_dir = "s"`, "[account.work]", fmt.Sprintf("server = %q", server), `user = "mrose"`,
		`password_command = "echo tanstaaf"`, `maildir = "m"`}, lines...), "\n")
	if err := os.WriteFile(filepath.Join(dir, "c.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "popfetch", "--once", "-c", "c.toml")
	if system != "" {
		c.Env = append(os.Environ(), "SSL_CERT_FILE="+system, "SSL_CERT_DIR="+dir)
	}
	return fetchedIn(t, c, dir)
}

// tls_legacy allows what is refused otherwise, and a warning says what is used. tls_min_version
// allows less.
func TestTLS_versions(t *testing.T) {
	t.Parallel()
	pair := rsaPair(t)
	for _, test := range []struct {
		name   string
		server func(*tls.Config)
		lines  []string
		status int
		said   string // "": nothing
	}{
		{"TLS 1.0", old(tls.VersionTLS10, 0), nil, 77, "unless tls_legacy = true"},
		{"TLS 1.0 allowed", old(tls.VersionTLS10, 0), []string{"tls_legacy = true"}, 0, "the server speaks TLS 1.0 with TLS_ECDHE_"},
		{"RSA allowed", old(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA), []string{"tls_legacy = true"}, 0, "the server speaks TLS 1.2 with TLS_RSA_WITH_AES_128_CBC_SHA"},
		{"RSA", old(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA), nil, 77, "handshake failure"},
		{"nothing old is used", func(*tls.Config) {}, []string{"tls_legacy = true"}, 0, ""},
		{"TLS 1.2", old(tls.VersionTLS12, 0), nil, 0, ""},
		{"TLS 1.2 refused", old(tls.VersionTLS12, 0), []string{`tls_min_version = "1.3"`}, 77, "protocol version"},
		{"TLS 1.3", func(*tls.Config) {}, []string{`tls_min_version = "1.3"`}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
			server.Configure(func(c *poptest.Config) {
				c.TLS.Certificates = []tls.Certificate{pair}
				test.server(c.TLS)
			})
			pin := fmt.Sprintf("tls_fingerprint = \"%x\"", sha256.Sum256(pair.Certificate[0]))
			got := fetchAs(t, server.TLSAddr(), "", append(test.lines, pin)...)
			if got.status != test.status || !strings.Contains(got.said, test.said) || test.said == "" && got.said != "" {
				t.Errorf("exit status = %d and %q, want %d and %q", got.status, got.said, test.status, test.said)
			}
		})
	}
}

// rsaPair returns a certificate with an RSA key, which RSA key exchange needs.
func rsaPair(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}
}

// old makes a server speak one version of TLS, and one cipher suite if it is not 0.
func old(version, suite uint16) func(*tls.Config) {
	return func(c *tls.Config) {
		c.MinVersion, c.MaxVersion = version, version
		if suite != 0 {
			c.CipherSuites = []uint16{suite}
		}
	}
}

// With tls_ca_only, the authorities of the system are not trusted.
func TestTLS_caOnly(t *testing.T) {
	t.Parallel()
	server, other := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"}), poptest.NewCA(t)
	otherCA := fmt.Sprintf("tls_ca = %q", other.File())
	if got := fetchAs(t, server.TLSAddr(), server.CA().File(), otherCA); got.status != 0 {
		t.Errorf("exit status = %d and %q, want 0: the system trusts it", got.status, got.said)
	}
	got := fetchAs(t, server.TLSAddr(), server.CA().File(), otherCA, "tls_ca_only = true")
	if want := "vouched for by the authorities in " + other.File(); got.status != 77 || !strings.Contains(got.said, want) {
		t.Errorf("exit status = %d and %q, want 77 and %q", got.status, got.said, want)
	}
	own := fmt.Sprintf("tls_ca = %q", server.CA().File())
	if got := fetchAs(t, server.TLSAddr(), "", own, "tls_ca_only = true"); got.status != 0 {
		t.Errorf("exit status = %d and %q, want 0", got.status, got.said)
	}
}

// The texts in a certificate come from the server. Huge numbers of names, control characters and
// line ends in them do no harm.
func TestCertificate_hostileText(t *testing.T) {
	leaf := &x509.Certificate{}
	leaf.Subject.CommonName = strings.Repeat("\x1b[2J\npopfetch: work: all is well", 100)
	leaf.Issuer.CommonName = leaf.Subject.CommonName
	leaf.RawSubject = []byte{1}
	for _, names := range [][]string{nil, {leaf.Subject.CommonName, leaf.Subject.CommonName}} {
		leaf.DNSNames = names
		text := (&setting{}).mend(&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}})
		if strings.Contains(text, "\x1b") || strings.Count(text, "\n") != 4 || len(text) > 2*256+1000 {
			t.Errorf("mend() = %q, want four lines without control characters", text)
		}
	}
}
