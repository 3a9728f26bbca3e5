package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLS gives the server a certificate for the address 127.0.0.1, and returns the file of its
// authority. It is not for the name localhost.
func (s *Server) TLS(t testing.TB) (authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pgtest"}, NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	authority = filepath.Join(s.dir, "tls.crt")
	keyFile := filepath.Join(s.dir, "tls.key")
	err = errors.Join(
		os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
			0o644),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	if err == nil && s.user != nil {
		err = os.Chown(keyFile, int(s.user.Uid), int(s.user.Gid))
	}
	if err == nil {
		err = s.Exec("postgres", "ALTER SYSTEM SET ssl_cert_file = '"+authority+"'",
			"ALTER SYSTEM SET ssl_key_file = '"+keyFile+"'", "ALTER SYSTEM SET ssl = on",
			"SELECT pg_reload_conf()")
	}
	if err != nil {
		t.Fatal(err)
	}
	return authority
}
