package fetch_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// under makes the account use TLS.
func (r *rig) under(mode pop3.TLSMode, config *tls.Config) *rig {
	r.account.POP3.TLS, r.account.POP3.TLSConfig = mode, config
	poptest.InClear(r.account.Server, mode == pop3.TLSNone)
	return r
}

// Sessions under TLS: the order of the first commands (C0007), and what is forgotten when TLS
// begins (R2595-2).
func TestTLS(t *testing.T) {
	t.Parallel()
	t.Run("R8314-1/implicit", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.TLSAddr()).under(pop3.TLSImplicit, server.CA().ClientTLS("localhost"))
		r.runs("1 listed, 1 new, 1 delivered")
		if got, want := commands(t, server, 1)[:3], []string{"CAPA", "UTF8", plainLine}; !slices.Equal(got, want) {
			t.Errorf("the first commands are %q, want %q", got, want)
		}
		server.CheckRules(t)
	})
	t.Run("C0007/STLS", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr()).under(pop3.TLSStart, server.CA().ClientTLS("localhost"))
		r.runs("1 listed, 1 new, 1 delivered")
		if got, want := commands(t, server, 1)[:5], []string{"CAPA", "STLS", "CAPA", "UTF8", plainLine}; !slices.Equal(got, want) {
			t.Errorf("the first commands are %q, want %q", got, want)
		}
		if !server.Sessions()[0].Secure() {
			t.Error("the session is not under TLS")
		}
		server.CheckRules(t)
	})
	t.Run("R2449-1/CAPA differs before and after TLS and login", func(t *testing.T) {
		t.Parallel()
		script := poptest.Dialogue(t, `
			S: +OK <1@example.org>
			C: CAPA
			S: +OK
			S: STLS
			S: SASL GSSAPI
			S: PIPELINING
			S: .
			C: STLS
			S: +OK
			tls
			C: CAPA
			S: +OK
			S: user
			S: .
			C: USER mrose
			S: +OK
			C: PASS tanstaaf
			S: +OK
			C: CAPA
			S: +OK
			S: UIDL
			S: .
			# PIPELINING was announced before TLS only, so nothing is pipelined.
			C: STAT
			S: +OK 0 0
			C: LIST
			S: +OK
			S: .
			C: UIDL
			S: +OK
			S: .
			C: QUIT
			S: +OK`)
		newRig(t, script.Addr()).under(pop3.TLSStart, script.CA().ClientTLS("localhost")).runs("")
		script.Wait()
	})
	for _, certificate := range []bool{true, false} {
		name := map[bool]string{true: "R5034-3/EXTERNAL with a certificate", false: "R5034-3/EXTERNAL refused, then PLAIN"}[certificate]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			config := server.CA().ClientTLS("localhost")
			if certificate {
				config.Certificates = []tls.Certificate{server.CA().Client(user).TLS}
			} else {
				server.Configure(func(c *poptest.Config) {
					c.Mechanisms["EXTERNAL"] = func(*poptest.Session, []byte, func([]byte) ([]byte, error)) (string, error) {
						return "", errors.New("no certificate")
					}
				})
			}
			r := newRig(t, server.TLSAddr()).under(pop3.TLSImplicit, config)
			c := credentials()
			c.External = true
			r.account.Login = c.Login
			r.runs("1 listed, 1 new, 1 delivered")
			checkCount(t, server, "AUTH EXTERNAL", 1)
			if shown := shows(server.Received(), secret); shown == certificate {
				t.Errorf("the password was sent: %v, want %v", shown, !certificate)
			}
			server.CheckRules(t)
		})
	}
}

// If TLS is not possible the run ends. No credentials are sent, and nothing is sent after the
// fault.
func TestTLS_refused(t *testing.T) {
	t.Parallel()
	const capa, stls = "S: +OK ready\nC: CAPA\nS: +OK\nS: STLS\nS: USER\nS: .\n", "C: STLS\n"
	isInsecure := func(err error) bool { return errors.Is(err, pop3.ErrInsecure) }
	isCertificate := func(err error) bool {
		var verification *tls.CertificateVerificationError
		return errors.As(err, &verification)
	}
	isName := func(err error) bool {
		var name x509.HostnameError
		return isCertificate(err) && errors.As(err, &name)
	}
	isExpired := func(err error) bool {
		var invalid x509.CertificateInvalidError
		return isCertificate(err) && errors.As(err, &invalid) && invalid.Reason == x509.Expired
	}
	isAuthority := func(err error) bool {
		var authority x509.UnknownAuthorityError
		return isCertificate(err) && errors.As(err, &authority)
	}
	isProtocol := func(err error) bool {
		var protocol *pop3.ProtocolError
		return errors.As(err, &protocol)
	}
	isRecord := func(err error) bool {
		var record tls.RecordHeaderError
		return errors.As(err, &record)
	}
	for _, test := range []struct {
		name, script string
		mode         pop3.TLSMode
		is           func(error) bool
	}{
		{"R2595-1/STLS is stripped", "S: +OK\nC: CAPA\nS: +OK\nS: USER\nS: .", pop3.TLSStart, isInsecure},
		{"R2595-1/CAPA refused", "S: +OK\nC: CAPA\nS: -ERR no", pop3.TLSStart, isInsecure},
		{"R2595-1/STLS refused", capa + stls + "S: -ERR not now", pop3.TLSStart, isInsecure},
		{"R2595-1/clear text instead of a handshake", capa + stls + "S: +OK\nS: +OK go on in clear text, trust me\nstall", pop3.TLSStart, func(err error) bool { return err != nil }},
		{"R2595-2/injected reply", capa + stls + `S- +OK begin\r\n+OK injected\r\n`, pop3.TLSStart, isProtocol},
		{"R2595-3/STLS, wrong name", capa + stls + "S: +OK\ntls wrong-name", pop3.TLSStart, isName},
		{"R2595-3/STLS, expired", capa + stls + "S: +OK\ntls expired", pop3.TLSStart, isExpired},
		{"R2595-3/STLS, self-signed", capa + stls + "S: +OK\ntls self-signed", pop3.TLSStart, isAuthority},
		{"R2595-3/wrong name", "tls wrong-name", pop3.TLSImplicit, isName},
		{"R2595-3/expired", "tls expired", pop3.TLSImplicit, isExpired},
		{"R2595-3/self-signed", "tls self-signed", pop3.TLSImplicit, isAuthority},
		{"R8314-1/clear text where TLS is implicit", "S: +OK ready\nstall", pop3.TLSImplicit, isRecord},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			script := poptest.Dialogue(t, "lax\n"+test.script)
			r := newRig(t, script.Addr()).under(test.mode, script.CA().ClientTLS("localhost"))
			asked := false
			r.account.Login = (&login.Credentials{User: user, Password: func(context.Context) (string, error) {
				asked = true
				return secret, nil
			}}).Login
			if err := r.fails(fetch.PhaseOpen, ""); !test.is(err) {
				t.Errorf("Run() = %v, want another cause", err)
			}
			if got := script.Received(); asked || shows(got, secret) || strings.Contains(string(got), user) {
				t.Errorf("the client sent %q and asked for the password: %v, want nothing of the credentials", got, asked)
			}
		})
	}
	t.Run("R2595-3/TLS 1.1", func(t *testing.T) {
		t.Parallel()
		ca := poptest.NewCA(t)
		config := ca.ServerTLS(poptest.Valid)
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var server sync.WaitGroup
		server.Add(1)
		go func() {
			defer server.Done()
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.Copy(io.Discard, tls.Server(conn, config))
		}()
		t.Cleanup(func() {
			_ = listener.Close()
			server.Wait()
		})
		client := ca.ClientTLS("localhost")
		client.MinVersion = tls.VersionTLS10
		err = newRig(t, listener.Addr().String()).under(pop3.TLSImplicit, client).fails(fetch.PhaseOpen, "")
		var alert tls.AlertError
		if !errors.As(err, &alert) && !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("Run() = %v, want the protocol version refused", err)
		}
	})
}
