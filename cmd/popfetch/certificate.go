package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/pop3"
)

// errPin means that the account pins neither the server's certificate nor its key.
var errPin = errors.New("it is not the pinned one")

// tlsConfig returns whom to trust: the pinned certificates if there are any, or else the system's
// authorities and those of tls_ca. With an error, it also returns the address of the field of a
// that is wrong.
func tlsConfig(a *config.Account, trusted authorities) (_ *tls.Config, field any, err error) {
	host, _, err := net.SplitHostPort(a.Server)
	if err != nil {
		return nil, &a.Server, err
	}
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if a.TLSServerName != "" {
		c.ServerName = a.TLSServerName
	}
	switch {
	case a.TLSMinVersion == "1.3":
		c.MinVersion = tls.VersionTLS13
	case a.TLSLegacy:
		c.MinVersion, c.CipherSuites = tls.VersionTLS10, oldSuites()
	}
	if a.TLSCA != "" {
		if c.RootCAs, err = trusted.with(authority{a.TLSCA, a.TLSCAOnly}); err != nil {
			return nil, &a.TLSCA, err
		}
	}
	if a.TLSCert != "" {
		if err := config.CheckPrivate(a.TLSKey); err != nil {
			return nil, &a.TLSKey, err
		}
		pair, err := tls.LoadX509KeyPair(a.TLSCert, a.TLSKey)
		if err != nil {
			return nil, &a.TLSCert, fmt.Errorf("%w; name files in PEM form that belong together, the certificate in tls_cert and its key in tls_key", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if len(a.TLSFingerprint) > 0 {
		c.InsecureSkipVerify = true // checkPin checks the pin instead, on each handshake
		c.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(state, a.TLSFingerprint) }
	}
	if resumes(a) {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c, nil, nil
}

// resumes reports whether the TLS sessions of an account may be resumed within this process. Each
// account has a cache of its own, so that none gets a session that another one's trust has opened.
//
// A client certificate is shown anew each time, because some servers end resumed sessions that need
// one. The server shows its own anew if SCRAM may be bound to it: it may have another one by now.
func resumes(a *config.Account) bool {
	return a.TLSCert == "" && !slices.ContainsFunc(a.Auth, func(name string) bool { return strings.HasPrefix(name, "scram-") })
}

// oldSuites returns the cipher suites that old servers may need. Go uses some of them only if they are
// named. RC4 is left out: what it hides can be read.
func oldSuites() []uint16 {
	var ids []uint16
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !strings.Contains(suite.Name, "_RC4_") {
			ids = append(ids, suite.ID)
		}
	}
	return ids
}

// authorities are those that accounts trust. Thousands of accounts may name one file.
type authorities map[authority]*x509.CertPool

// authority is a file of certificates.
type authority struct {
	file string
	only bool // the system's authorities are not trusted
}

// with returns the authorities in the file and, unless it is the only one, those of the system.
func (known authorities) with(a authority) (*x509.CertPool, error) {
	if pool := known[a]; pool != nil {
		return pool, nil
	}
	pem, err := os.ReadFile(a.file)
	if err != nil {
		return nil, fmt.Errorf("%w; name a file of certificates in PEM form that popfetch may read", err)
	}
	pool := x509.NewCertPool()
	if !a.only {
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("reading the system's certificates: %w", err)
		}
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form; name a file that does", a.file)
	}
	known[a] = pool
	return pool, nil
}

// checkPin compares the server's certificate, and its public key, with the pins.
func checkPin(state tls.ConnectionState, pins []string) error {
	c := doctor.Describe(state.PeerCertificates[0]) // the handshake fails earlier if the server has no certificate
	if slices.Contains(pins, c.SHA256) || slices.Contains(pins, c.KeySHA256) {
		return nil
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: errPin}
}

// mend returns advice about a fault of TLS, to be added to the text of its error. The protocol's
// layer does not know the configuration, so it cannot give advice.
func (s *setting) mend(err error) string {
	var plain tls.RecordHeaderError
	var refused *tls.CertificateVerificationError
	var foreign *pop3.ProtocolError
	var token *oauth.Error
	switch {
	case errors.As(err, &token): // the TLS is that of the provider
		return ""
	case errors.As(err, &foreign) && foreign.Service != "":
		return portsOf(foreign.Service)
	case errors.As(err, &plain) && pop3.Service(plain.RecordHeader[:]) != "":
		return portsOf(pop3.Service(plain.RecordHeader[:]))
	case errors.Is(err, pop3.ErrImplicitTLS):
		return `; set tls = "implicit" (--tls implicit), usually with port 995`
	case errors.As(err, &plain) && s.accountOf(err).TLS != "starttls":
		return `; if the server begins in clear, set tls = "starttls" (--tls starttls)`
	case errors.Is(err, pop3.ErrInsecure):
		return `; if the server speaks TLS from the first octet, set tls = "implicit" (--tls implicit), port 995`
	case errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0:
		return explainCertificate(refused, s.accountOf(err), time.Now())
	case errors.Is(err, pop3.ErrHandshake) && (!isAlert(err) || isVersionAlert(err)):
		return "; popfetch speaks TLS 1.2 and 1.3, and no older version (301 is TLS 1.0, 302 is TLS 1.1) unless tls_legacy = true"
	}
	return ""
}

// portsOf returns advice about a server that speaks another protocol.
func portsOf(service string) string {
	usual := map[string]string{"IMAP": "143 and 993", "SMTP": "25, 465 and 587", "FTP": "21", "HTTP": "80 and 443", "SSH": "22"}
	return fmt.Sprintf("; this is the greeting of %s; %s usually has the ports %s, and POP3 has 995 with TLS, or 110 with STARTTLS or in clear", service, service, usual[service])
}

// isVersionAlert reports whether the server refused the versions of TLS that it was offered.
// crypto/tls does not export the type of the alerts that it gets, only their texts.
func isVersionAlert(err error) bool {
	const protocolVersion = tls.AlertError(70) // RFC 8446 section 6
	var op *net.OpError
	return errors.As(err, &op) && op.Err.Error() == protocolVersion.Error()
}

// explainCertificate returns lines about a refused certificate: which one was found, which one was
// wanted, and how to pin the one that was found.
func explainCertificate(refused *tls.CertificateVerificationError, a config.Account, now time.Time) string {
	leaf := refused.UnverifiedCertificates[0]
	c := doctor.Describe(leaf)
	issuer := c.Issuer
	if selfIssued(leaf) {
		issuer = "itself"
	}
	lines := []string{
		fmt.Sprintf("found a certificate for %s, issued by %s, valid from %s to %s%s", doctor.NamesText(leaf, 100), issuer,
			c.NotBefore.Format(time.DateTime+" MST"), c.NotAfter.Format(time.DateTime+" MST"), remark(refused, now)),
		fmt.Sprintf("its SHA-256 is %s, that of its key %s", c.SHA256, c.KeySHA256),
		"wanted " + wanted(a),
		fmt.Sprintf("if you are sure that this is the right server, pin its key, which outlives a renewal: tls_fingerprint = %q (--tls-fingerprint %s)", c.KeySHA256, c.KeySHA256),
	}
	if name := otherName(refused, leaf); name != "" {
		lines[3] += fmt.Sprintf(", or, if your server bears that name too, have its certificate checked for it: tls_server_name = %q (--tls-server-name %s)", name, name)
	} else if a.TLSCA == "" && len(a.TLSFingerprint) == 0 {
		lines[3] += ", or name its authority in tls_ca (--tls-ca)"
	}
	for i, line := range lines {
		lines[i] = "\n" + a.Name + ": " + line
	}
	return strings.Join(lines, "")
}

// otherName returns a name to expect of a server whose certificate has other names than the wanted
// one; empty: there is none, or the name is not what is wrong.
func otherName(refused *tls.CertificateVerificationError, leaf *x509.Certificate) string {
	var wrong x509.HostnameError
	if !errors.As(refused, &wrong) {
		return ""
	}
	for _, name := range leaf.DNSNames {
		if rest, wild := strings.CutPrefix(name, "*."); wild {
			name = "pop." + rest // any name would do
		}
		if !strings.ContainsFunc(name, notInHostName) && name != "" {
			return strings.ToLower(name)
		}
	}
	return ""
}

// notInHostName reports whether r is foreign to a host name. Such a name is not advised.
func notInHostName(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", r)
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// remark returns the probable reason why the certificates were refused.
func remark(refused *tls.CertificateVerificationError, now time.Time) string {
	leaf := refused.UnverifiedCertificates[0]
	var unknown x509.UnknownAuthorityError
	switch {
	case now.After(leaf.NotAfter):
		return ": it has expired"
	case now.Before(leaf.NotBefore):
		return ": it is not valid yet, or this machine's clock is wrong"
	case errors.As(refused, &unknown) && len(refused.UnverifiedCertificates) == 1 && !selfIssued(leaf):
		return "; the server sent no certificate of the issuer with it: unless the issuer is a root, its chain is incomplete"
	}
	return ""
}

// wanted describes the certificate that the account accepts.
func wanted(a config.Account) string {
	if len(a.TLSFingerprint) > 0 {
		return "one of tls_fingerprint: " + strings.Join(a.TLSFingerprint, ", ")
	}
	name := a.TLSServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(a.Server)
	}
	authorities := "the system's authorities"
	switch {
	case a.TLSCAOnly:
		authorities = "the authorities in " + a.TLSCA
	case a.TLSCA != "":
		authorities += " and those in " + a.TLSCA
	}
	return fmt.Sprintf("one for %s, valid today, vouched for by %s", name, authorities)
}
