package poptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// CA is a certificate authority for one test. Its methods may be called concurrently.
type CA struct {
	t    TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate

	mu     sync.Mutex
	serial int64
}

// Certificate is a certificate with its key, both as files and as a value.
type Certificate struct {
	CertFile, KeyFile string // PEM
	TLS               tls.Certificate
}

// Variant is a kind of server certificate.
type Variant string

// These are the certificates that a server may show. All but WrongName are for localhost, 127.0.0.1
// and ::1.
const (
	Valid         Variant = ""
	ExampleOrg    Variant = "example.org"    // valid, for the hosts of example.org too
	WrongName     Variant = "wrong-name"     // for another host
	Expired       Variant = "expired"        // valid until yesterday
	EndsSoon      Variant = "ends-soon"      // valid for ten more days
	LongLived     Variant = "long-lived"     // valid for 90 more days
	NotYetValid   Variant = "not-yet-valid"  // valid from tomorrow
	SelfSigned    Variant = "self-signed"    // signed by its own key
	UnknownIssuer Variant = "unknown-issuer" // signed by an authority that nobody trusts
	Incomplete    Variant = "incomplete"     // signed by an intermediate authority whose certificate is missing
)

var variants = []Variant{WrongName, Expired, EndsSoon, LongLived, NotYetValid, SelfSigned, UnknownIssuer, Incomplete}

// NewCA makes an authority. Its files are in a folder of the test.
func NewCA(t TB) *CA {
	t.Helper()
	ca := &CA{t: t, dir: t.TempDir()}
	issued, err := ca.issue(authority("poptest authority"), nil, "ca")
	if err != nil {
		t.Fatalf("making a certificate authority: %v", err)
	}
	ca.key, ca.cert = issued.TLS.PrivateKey.(*ecdsa.PrivateKey), issued.TLS.Leaf
	return ca
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
}

// other makes another authority. Its certificate is signed by the authority by, or by itself if by
// is nil.
func (ca *CA) other(name string, by *CA) *CA {
	issued := ca.mustIssue(authority(name), by, "authority")
	key, _ := issued.TLS.PrivateKey.(*ecdsa.PrivateKey)
	return &CA{key: key, cert: issued.TLS.Leaf}
}

// File returns the path of the authority's certificate (PEM).
func (ca *CA) File() string { return filepath.Join(ca.dir, "ca.pem") }

// Pool returns a pool with only this authority.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// ClientTLS returns a client's configuration. It trusts this authority and expects host as the name
// of the server.
func (ca *CA) ClientTLS(host string) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: host, MinVersion: tls.VersionTLS12}
}

// ServerTLS returns a server's configuration. The server asks for a client certificate of this
// authority but does not require one.
func (ca *CA) ServerTLS(variant Variant) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{ca.Server(variant).TLS},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    ca.Pool(),
		MinVersion:   tls.VersionTLS12,
	}
}

// Server makes a server's certificate.
func (ca *CA) Server(variant Variant) Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	issuer := ca
	switch variant {
	case ExampleOrg:
		template.DNSNames = append(template.DNSNames, "example.org", "*.example.org")
	case WrongName:
		template.DNSNames, template.IPAddresses = []string{"other.example"}, nil
	case Expired:
		template.NotBefore, template.NotAfter = time.Now().AddDate(0, 0, -30), time.Now().AddDate(0, 0, -1)
	case EndsSoon:
		template.NotBefore, template.NotAfter = time.Now().AddDate(0, 0, -80), time.Now().Add(10*24*time.Hour+time.Hour)
	case LongLived:
		template.NotBefore, template.NotAfter = time.Now().AddDate(0, 0, -1), time.Now().Add(90*24*time.Hour+time.Hour)
	case NotYetValid:
		template.NotBefore, template.NotAfter = time.Now().AddDate(0, 0, 1), time.Now().AddDate(0, 0, 30)
	case SelfSigned:
		issuer = nil
	case UnknownIssuer:
		issuer = ca.other("another authority", nil)
	case Incomplete:
		issuer = ca.other("lower authority", ca)
	}
	return ca.mustIssue(template, issuer, "server")
}

// Client makes a client's certificate with name as its common name.
func (ca *CA) Client(name string) Certificate {
	return ca.mustIssue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, "client")
}

// mustIssue issues a certificate. If this fails, the test fails, and the certificate returned is
// one that no handshake accepts. It does not call Fatalf, because it may run outside the test's
// goroutine.
func (ca *CA) mustIssue(template *x509.Certificate, issuer *CA, name string) Certificate {
	issued, err := ca.issue(template, issuer, name)
	if err != nil {
		ca.t.Errorf("making a %s certificate: %v", name, err)
	}
	return issued
}

// issue completes the template, signs it by issuer and writes the files. If issuer is nil, the
// certificate is self-signed.
func (ca *CA) issue(template *x509.Certificate, issuer *CA, name string) (Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("making a key: %w", err)
	}
	ca.mu.Lock()
	ca.serial++
	serial := ca.serial
	ca.mu.Unlock()
	template.SerialNumber = big.NewInt(serial)
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 2)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return Certificate{}, fmt.Errorf("signing: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return Certificate{}, fmt.Errorf("reading it back: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, fmt.Errorf("encoding the key: %w", err)
	}
	if name != "ca" {
		name = fmt.Sprintf("%s-%d", name, serial)
	}
	c := Certificate{
		CertFile: filepath.Join(ca.dir, name+".pem"),
		KeyFile:  filepath.Join(ca.dir, name+".key"),
		TLS:      tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
	}
	if err := writePEM(c.CertFile, "CERTIFICATE", der); err != nil {
		return Certificate{}, err
	}
	return c, writePEM(c.KeyFile, "PRIVATE KEY", keyDER)
}

func writePEM(path, kind string, der []byte) error {
	err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	if err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	return nil
}
