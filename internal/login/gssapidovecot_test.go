package login_test

import (
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// Dovecot, with MIT Kerberos, takes a ticket of MIT's kinit, under TLS and without, for each kind of
// encryption, from a KDC over TCP and over UDP. The service may be in another realm, whether krb5.conf
// or the KDC says so, and the way to it may lead through a third one.
func TestGSSAPI_dovecot(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]poptest.KDCOptions{
		"aes256 sha1":   {Encryption: "aes256-cts-hmac-sha1-96"},
		"aes128 by UDP": {Encryption: "aes128-cts-hmac-sha1-96", UDP: true},
		"aes256 sha384": {Encryption: "aes256-cts-hmac-sha384-192"},
		"aes128 sha256": {Encryption: "aes128-cts-hmac-sha256-128"},
		"other realm":   {OtherRealm: true},
		"third realm":   {OtherRealm: true, Through: true},
	} {
		t.Run("R4752-1/"+name, func(t *testing.T) {
			t.Parallel()
			kdc := poptest.StartKDC(t, &options)
			server := poptest.StartDovecot(t, &poptest.DovecotOptions{Kerberos: kdc})
			cache := filepath.Join(t.TempDir(), "cache")
			if err := kdc.Kinit(cache, "1h"); err != nil {
				t.Fatal(err)
			}
			for mode, config := range map[pop3.TLSMode]string{pop3.TLSImplicit: kdc.Config, pop3.TLSNone: kdc.WithoutRealm()} {
				addr := server.TLSAddr()
				if mode == pop3.TLSNone {
					addr = poptest.InClear(server.Addr(), true)
				}
				c, err := pop3.Dial(t.Context(), addr, &pop3.Options{TLS: mode, TLSConfig: server.CA().ClientTLS("localhost")})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				if _, err := c.Capa(t.Context()); err != nil {
					t.Fatal(err)
				}
				cr := credentialsOf("", login.GSSAPI)
				cr.Addr = "localhost:110"
				if mode == pop3.TLSNone {
					cr.Addr = "pop.other.example:110" // MIT refers only names with dots to another realm
				}
				cr.Kerberos = kerberos.Places{Cache: cache, Config: config}
				noError(t, endSession(t, c, cr.Login(t.Context(), c, nil)))
			}
		})
	}
}
