package poptest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
)

// The files have the same content as the values. Certificate and key form a pair, which the
// authority in the file has signed.
func TestCA_files(t *testing.T) {
	ca := NewCA(t)
	authority, err := os.ReadFile(ca.File())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		t.Fatalf("%s holds no certificate", ca.File())
	}
	for name, c := range map[string]Certificate{"server": ca.Server(Valid), "client": ca.Client("mrose")} {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCA_names(t *testing.T) {
	ca := NewCA(t)
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := ca.Server(Valid).TLS.Leaf.VerifyHostname(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if err := ca.Server(WrongName).TLS.Leaf.VerifyHostname(host); err == nil {
			t.Errorf("%s is a name of the certificate with the wrong name", host)
		}
	}
	if got := ca.Client("mrose").TLS.Leaf.Subject.CommonName; got != "mrose" {
		t.Errorf("client's common name = %q, want mrose", got)
	}
}
