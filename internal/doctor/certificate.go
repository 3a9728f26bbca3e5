package doctor

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/popfetch/popfetch/internal/hosts"
)

// EndsSoon is how long before its end a certificate is warned of.
const EndsSoon = 21 * 24 * time.Hour

// mostNames limits how many names of a certificate are shown.
const mostNames = 3

// Certificate describes a server's certificate. The names of its fields in JSON are part of the
// contract.
type Certificate struct {
	Names     []string  `json:"names"`
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256"`
	KeySHA256 string    `json:"key_sha256"`
}

// Describe returns a description of a certificate.
func Describe(c *x509.Certificate) *Certificate {
	whole, key := sha256.Sum256(c.Raw), sha256.Sum256(c.RawSubjectPublicKeyInfo)
	d := &Certificate{
		Names: []string{}, Subject: shown(c.Subject.String()), Issuer: shown(c.Issuer.String()),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		SHA256: hex.EncodeToString(whole[:]), KeySHA256: hex.EncodeToString(key[:]),
	}
	for _, name := range namesOf(c) {
		if len(d.Names) < 100 {
			d.Names = append(d.Names, shown(name))
		}
	}
	return d
}

// Pin returns the line of the configuration that pins the certificate's key.
func (c *Certificate) Pin() string { return fmt.Sprintf("tls_fingerprint = %q", c.KeySHA256) }

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// TLS returns a finding about the protection of a session with server. It is told apart whether the
// session has none because the account wants none.
func TLS(s *Session, server, via string) Finding {
	if s.TLS != nil {
		suite := tls.CipherSuiteName(s.TLS.CipherSuite)
		text := fmt.Sprintf("%s, %s", tls.VersionName(s.TLS.Version), suite)
		isOld := func(c *tls.CipherSuite) bool { return c.ID == s.TLS.CipherSuite }
		if s.TLS.Version < tls.VersionTLS12 || slices.ContainsFunc(tls.InsecureCipherSuites(), isOld) {
			return warning(CheckTLS, "ask whoever runs the server for TLS 1.2 or later; then remove tls_legacy", "%s, which is not safe any more", text)
		}
		return ok(CheckTLS, "%s", text)
	}
	if hosts.IsLoopback(server) && via == "" {
		return ok(CheckTLS, "none; the server is on this machine")
	}
	mend := `write tls = "implicit", usually with port 995`
	if s.Capabilities().Has("STLS") {
		mend = `the server has STLS: write tls = "starttls"`
	}
	return warning(CheckTLS, mend, "none; password and mail cross the network in clear")
}

// Certificates returns a finding about the certificates of a session. The pins are the account's
// tls_fingerprint.
func Certificates(state *tls.ConnectionState, pins []string, now time.Time) Finding {
	chain := state.PeerCertificates
	if len(state.VerifiedChains) > 0 {
		chain = state.VerifiedChains[0]
	}
	leaf := chain[0]
	described := Describe(leaf)
	f := ok(CheckCertificate, "for %s, %s", forWhom(leaf), validity(leaf, now))
	f.Paste = described.Pin()
	if len(pins) > 0 {
		f.Text += "; tls_fingerprint names it"
		f.Paste = ""
	} else {
		f.Text += "; " + issuers(chain)
	}
	byWhole := slices.Contains(pins, described.SHA256) && !slices.Contains(pins, described.KeySHA256)
	first, isLeaf := firstToEnd(chain, len(pins) > 0)
	left := first.NotAfter.Sub(now)
	switch {
	case now.Before(leaf.NotBefore):
		f.State, f.Mend = Warning, "look at this machine's clock (date -u); only because of tls_fingerprint is it accepted"
	case left >= EndsSoon:
		return f
	case byWhole:
		f.Mend = "a renewed certificate needs another tls_fingerprint; that of the key outlives a renewal with the same key"
		f.Paste = described.Pin()
	case len(pins) > 0:
		f.Mend = "if the renewal brings a new key, tls_fingerprint must name that"
	case isLeaf:
		f.Mend = "it must be renewed by then: tell whoever runs the server"
	default:
		f.Text += fmt.Sprintf("; that of %s ends in %d days", commonName(first.Subject), days(left))
		f.Mend = "the server must send a newer certificate of that authority by then: tell whoever runs it"
	}
	f.State = Warning
	return f
}

// firstToEnd returns the certificate of a chain that ends first. A root is left out: it is this
// machine's. If the certificate is pinned, nothing above it counts.
func firstToEnd(chain []*x509.Certificate, pinned bool) (c *x509.Certificate, isLeaf bool) {
	c = chain[0]
	if pinned {
		return c, true
	}
	for _, above := range chain[1:max(1, len(chain)-1)] {
		if above.NotAfter.Before(c.NotAfter) {
			c = above
		}
	}
	return c, c == chain[0]
}

// Refused returns the finding about a certificate that was not accepted.
func Refused(refused *tls.CertificateVerificationError, mend string, now time.Time) Finding {
	leaf := refused.UnverifiedCertificates[0]
	return Finding{
		Check: CheckCertificate, State: Fault, Mend: mend, Paste: Describe(leaf).Pin(),
		Text: fmt.Sprintf("for %s, %s; %s; not accepted: %s", forWhom(leaf), validity(leaf, now),
			issuers(refused.UnverifiedCertificates[:1]), shown(refused.Err.Error())),
	}
}

func forWhom(c *x509.Certificate) string {
	names := namesOf(c)
	if len(names) == 0 {
		return "no name (its subject is " + shown(c.Subject.String()) + ")"
	}
	return list(names, mostNames)
}

// validity returns until when a certificate is valid, in plain words.
func validity(c *x509.Certificate, now time.Time) string {
	date := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		return "valid from " + date(c.NotBefore) + ", not yet"
	case left < 0:
		return "ended on " + date(c.NotAfter) + ", " + ago(-left)
	default:
		return "valid until " + date(c.NotAfter) + ", " + span(left)
	}
}

func ago(d time.Duration) string { return span(d) + " ago" }

// issuers returns who vouches for the first certificate of a chain.
func issuers(chain []*x509.Certificate) string {
	if string(chain[0].RawIssuer) == string(chain[0].RawSubject) {
		return "issued by itself"
	}
	text := "issued by " + commonName(chain[0].Issuer)
	if root := chain[len(chain)-1]; len(chain) > 2 {
		text += ", vouched for by " + commonName(root.Subject)
	}
	return text
}

// commonName returns a short name of an authority.
func commonName(name pkix.Name) string {
	if name.CommonName != "" {
		return shown(name.CommonName)
	}
	return shown(name.String())
}
