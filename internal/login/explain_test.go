package login_test

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

func TestExplain(t *testing.T) {
	secured := &tls.ConnectionState{Version: tls.VersionTLS12, HandshakeComplete: true}
	caps := func(sasl string, others ...string) pop3.Capabilities {
		c := pop3.Capabilities{"SASL": strings.Fields(sasl)}
		for _, name := range others {
			c[name] = nil
		}
		return c
	}
	tests := []struct {
		name   string
		with   login.Credentials
		server login.Announced
		tried  string
		why    map[string]string
	}{
		{"auto", login.Credentials{}, login.Announced{Caps: caps("LOGIN PLAIN SCRAM-SHA-256 CRAM-MD5 EXTERNAL NTLM GSSAPI KERBEROS_V4", "USER"), TLS: secured},
			"SCRAM-SHA-256 PLAIN LOGIN USER", map[string]string{
				"CRAM-MD5": "only if auth names it", "EXTERNAL": "no client certificate",
				"OAUTHBEARER": "no access token", "SCRAM-SHA-1": "the server does not offer it",
				"SCRAM-SHA-256-PLUS": "only if auth names it", "APOP": "only if auth names it", "GSSAPI": "only if auth names it", "KERBEROS_V4": "popfetch does not have it"}},
		{"a list narrows", login.Credentials{Mechanisms: []login.Mechanism{login.NTLM, login.ScramSHA1, login.Apop}},
			login.Announced{Caps: caps("PLAIN NTLM SCRAM-SHA-1-PLUS SCRAM-SHA-1", "USER"), Timestamp: true},
			"SCRAM-SHA-1 APOP", map[string]string{"PLAIN": "auth does not name it", "USER": "auth does not name it",
				"NTLM":             "it is used only under TLS, because others could pass the answer on to another server",
				"SCRAM-SHA-1-PLUS": "there is no TLS to bind it to"}},
		{"nothing in common", login.Credentials{Mechanisms: []login.Mechanism{login.Apop, login.CramMD5}},
			login.Announced{Caps: caps("PLAIN")}, "", map[string]string{
				"APOP": "the greeting has no timestamp", "CRAM-MD5": "the server does not offer it"}},
		{"nothing announced", login.Credentials{}, login.Announced{}, "USER", nil},
		{"nothing announced, and named", login.Credentials{Mechanisms: []login.Mechanism{login.Plain}}, login.Announced{}, "PLAIN", nil},
		{"a token", login.Credentials{Bearer: true}, login.Announced{Caps: caps("PLAIN XOAUTH2 OAUTHBEARER"), TLS: secured},
			"OAUTHBEARER XOAUTH2", map[string]string{"PLAIN": "an access token and no password"}},
		{"a ticket", login.Credentials{Addr: "localhost:110", Mechanisms: []login.Mechanism{login.GSSAPI}}, login.Announced{Caps: caps("GSSAPI PLAIN")},
			"GSSAPI", map[string]string{"PLAIN": "auth does not name it"}},
		{"a certificate", login.Credentials{External: true}, login.Announced{Caps: caps("EXTERNAL"), TLS: secured}, "EXTERNAL", nil},
		{"foreign octets", login.Credentials{}, login.Announced{Caps: caps("\x1b[2J")}, "",
			map[string]string{`\x1b[2J`: "popfetch does not have it"}},
	}
	for i := range tests {
		test := &tests[i]
		t.Run(test.name, func(t *testing.T) {
			test.with.User = "mrose"
			test.with.Password = func(context.Context) (string, error) {
				t.Error("Explain() asks for the password")
				return "", nil
			}
			var tried []string
			choices := test.with.Explain(test.server)
			for _, c := range choices {
				if c.Why == "" {
					tried = append(tried, c.Name)
				}
			}
			if got := strings.Join(tried, " "); got != test.tried {
				t.Errorf("Explain() tries %q, want %q", got, test.tried)
			}
			for name, why := range test.why {
				at := slices.IndexFunc(choices, func(c login.Choice) bool { return c.Name == name })
				if at < 0 || choices[at].Why != why {
					t.Errorf("Explain() says of %s: %+v, want %q", name, choices[max(at, 0)], why)
				}
			}
		})
	}
}
