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

// NamesText returns the names that a certificate is valid for, as people say it: at most so many.
func NamesText(c *x509.Certificate, most int) string {
	names := namesOf(c)
	if len(names) == 0 {
		return "no name (its subject is " + shown(c.Subject.String()) + ")"
	}
	return list(names, most)
}

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// TLS returns a finding about the protection of a session with server. The key via names what connects
// in place of popfetch; empty: nothing does.
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
// tls_fingerprint. If there are any, nothing but the server's own certificate counts.
func Certificates(state *tls.ConnectionState, pins []string, now time.Time) Finding {
	leaf := state.PeerCertificates[0]
	chains := state.VerifiedChains
	switch {
	case len(pins) > 0:
		chains = [][]*x509.Certificate{{leaf}}
	case len(chains) == 0:
		chains = [][]*x509.Certificate{state.PeerCertificates}
	}
	chain, first := lasting(chains)
	described := Describe(leaf)
	f := ok(CheckCertificate, "for %s, %s", NamesText(leaf, mostNames), validity(leaf, now))
	byWhole := slices.Contains(pins, described.SHA256) && !slices.Contains(pins, described.KeySHA256)
	if len(pins) > 0 {
		f.Text += "; tls_fingerprint names it"
	} else {
		f.Text += "; " + issuers(chain)
		f.Paste = described.Pin()
	}
	left := chain[first].NotAfter.Sub(now)
	switch {
	case now.Before(leaf.NotBefore):
		f.State, f.Mend = Warning, "look at this machine's clock (date -u); only because of tls_fingerprint is it accepted"
		return f
	case left >= EndsSoon:
		return f
	case byWhole:
		f.Mend = "a renewed certificate needs another tls_fingerprint; that of the key outlives a renewal with the same key"
		f.Paste = described.Pin()
	case len(pins) > 0:
		f.Mend = "if the renewal brings a new key, tls_fingerprint must name that"
	default:
		f.Mend = renewal(first, len(chain))
	}
	if first > 0 {
		f.Text += fmt.Sprintf("; that of %s ends in %d days", commonName(chain[first].Subject), days(left))
	}
	f.State = Warning
	return f
}

// lasting returns the chain that is valid longest, and the index of the certificate in it that ends
// first. A server is accepted as long as one chain is valid.
func lasting(chains [][]*x509.Certificate) (chain []*x509.Certificate, first int) {
	for _, c := range chains {
		i := firstToEnd(c)
		if chain == nil || c[i].NotAfter.After(chain[first].NotAfter) {
			chain, first = c, i
		}
	}
	return chain, first
}

// firstToEnd returns the index of the certificate of a chain that ends first. An expired root makes a
// chain invalid like any other certificate.
func firstToEnd(chain []*x509.Certificate) (first int) {
	for i, c := range chain {
		if c.NotAfter.Before(chain[first].NotAfter) {
			first = i
		}
	}
	return first
}

// renewal returns what to do before a certificate ends. It depends on its place in the chain.
func renewal(i, length int) string {
	switch i {
	case 0:
		return "it must be renewed by then: tell whoever runs the server"
	case length - 1:
		return "put the authority's newer certificate in tls_ca; that of a public authority comes with the system's updates"
	}
	return "the server must send a newer certificate of that authority by then: tell whoever runs it"
}

// Refused returns the finding about a certificate that was not accepted.
func Refused(refused *tls.CertificateVerificationError, mend string, now time.Time) Finding {
	leaf := refused.UnverifiedCertificates[0]
	return Finding{
		Check: CheckCertificate, State: Fault, Mend: mend, Paste: Describe(leaf).Pin(),
		Text: fmt.Sprintf("for %s, %s; %s; not accepted: %s", NamesText(leaf, mostNames), validity(leaf, now),
			issuers(refused.UnverifiedCertificates[:1]), shown(refused.Err.Error())),
	}
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
