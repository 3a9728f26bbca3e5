package login_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// aes256 is the kind of encryption in these tests.
const aes256 = 18

// krbError returns the token of a service that refuses a ticket.
func krbError(code int32) func([]byte) []byte {
	return func([]byte) []byte {
		e := messages.NewKRBError(types.NewPrincipalName(3, "pop/localhost"), poptest.Realm, code, "no\x1b")
		octets, _ := e.Marshal()
		return poptest.Token(0x0300, octets)
	}
}

// replaced returns a function that replaces a token.
func replaced(token string) func([]byte) []byte {
	return func([]byte) []byte { return []byte(token) }
}

// changed returns a function that changes one octet of a token; a negative place counts from the end.
func changed(place int) func([]byte) []byte {
	return func(token []byte) []byte {
		token[(place+len(token))%len(token)] ^= 0x40
		return token
	}
}

func cut(token []byte) []byte { return token[:len(token)-1] }

// gssapiCases are services and what a log-in at them must be. Those without a fault are right.
var gssapiCases = []struct {
	name string
	poptest.GSSAPI
	want login.Fault
	says string
}{
	{"right", poptest.GSSAPI{}, 0, ""},
	{"no key of its own", poptest.GSSAPI{NoSubkey: true}, 0, ""},
	{"turned", poptest.GSSAPI{Turned: 12}, 0, ""},
	{"turned around", poptest.GSSAPI{Turned: 16 + 5}, 0, ""},
	{"more layers", poptest.GSSAPI{Layers: []byte{7, 0, 255, 255}}, 0, ""},

	{"wrong key", poptest.GSSAPI{WrongKey: true}, login.Untrue, "does not prove"},
	{"another time", poptest.GSSAPI{Part: func(p *messages.EncAPRepPart) { p.CTime = p.CTime.Add(time.Second) }}, login.Untrue, "another request"},
	{"another microsecond", poptest.GSSAPI{Part: func(p *messages.EncAPRepPart) { p.Cusec = (p.Cusec + 1) % 1e6 }}, login.Untrue, "another request"},
	{"old key", poptest.GSSAPI{Part: func(p *messages.EncAPRepPart) { p.Subkey.KeyType = 23 }}, login.Cannot, "encryption of kind 23"},
	{"short key", poptest.GSSAPI{Part: func(p *messages.EncAPRepPart) { p.Subkey.KeyValue = []byte{1} }}, login.Cannot, "AES"},
	{"proof garbled", poptest.GSSAPI{Reply: changed(-1)}, login.Untrue, "does not prove"},
	{"proof cut", poptest.GSSAPI{Reply: cut}, login.Untrue, "no token"},
	{"proof empty", poptest.GSSAPI{Reply: replaced("")}, login.Untrue, "no token"},
	{"proof of nothing", poptest.GSSAPI{Reply: func([]byte) []byte { return poptest.Token(0x0200, nil) }}, login.Untrue, "does not prove"},
	{"own request", poptest.GSSAPI{Reply: func(b []byte) []byte { return poptest.Token(0x0100, b) }}, login.Untrue, "does not prove"},
	{"proof called a request", poptest.GSSAPI{Reply: func(b []byte) []byte {
		return bytes.Replace(b, []byte{0x12, 1, 2, 2, 2, 0}, []byte{0x12, 1, 2, 2, 1, 0}, 1)
	}}, login.Untrue, "no reply to the request"},
	{"garbage", poptest.GSSAPI{Reply: replaced(strings.Repeat("\xff\x00", 999))}, login.Untrue, "no token"},
	{"too long", poptest.GSSAPI{Reply: replaced("\x60\x84\xff\xff\xff\xff")}, login.Untrue, "no token"},
	{"another mechanism", poptest.GSSAPI{Reply: replaced("\x60\x08\x06\x06\x2b\x06\x01\x05\x05\x02")}, login.Untrue, "no token"},
	{"clock", poptest.GSSAPI{Reply: krbError(37)}, login.Cannot, "set the clock"},
	{"ticket refused", poptest.GSSAPI{Reply: krbError(44)}, login.Cannot, `refuses the ticket for pop/localhost@POPTEST.EXAMPLE`},

	{"layers changed", poptest.GSSAPI{Wrap: changed(16)}, login.Untrue, "checksum"},
	{"checksum changed", poptest.GSSAPI{Wrap: changed(-1)}, login.Untrue, "checksum"},
	{"number changed", poptest.GSSAPI{Wrap: changed(15)}, login.Untrue, "checksum"},
	{"length changed", poptest.GSSAPI{Wrap: changed(5)}, login.Untrue, "checksum"},
	{"of the client", poptest.GSSAPI{NoSubkey: true, Wrap: func(b []byte) []byte { b[2] = 0; return b }}, login.Untrue, "checksum"},
	{"encrypted", poptest.GSSAPI{Wrap: func(b []byte) []byte { b[2] |= 2; return b }}, login.Cannot, "encrypts"},
	{"key not its own", poptest.GSSAPI{Flags: 1}, login.Untrue, "checksum"},
	{"out of order", poptest.GSSAPI{Part: func(p *messages.EncAPRepPart) { p.SequenceNumber++ }}, login.Untrue, "out of order"},
	{"token cut", poptest.GSSAPI{Wrap: func(b []byte) []byte { return b[:20] }}, login.Untrue, "no wrap token"},
	{"token empty", poptest.GSSAPI{Wrap: replaced("")}, login.Untrue, "no wrap token"},
	{"no token", poptest.GSSAPI{Wrap: replaced(strings.Repeat("x", 40))}, login.Untrue, "no wrap token"},
	{"layers alone", poptest.GSSAPI{Layers: []byte{6, 0, 255, 255}}, login.Cannot, "insists on a security layer"},
	{"layers short", poptest.GSSAPI{Layers: []byte{1}}, login.Cannot, "does not name its security layers"},
	{"layers long", poptest.GSSAPI{Layers: []byte{1, 0, 0, 0, 0}}, login.Cannot, "does not name its security layers"},

	{"no proof", poptest.GSSAPI{After: 1}, login.Untrue, "has not proved itself"},
	{"no layers", poptest.GSSAPI{After: 2}, login.Untrue, "has not proved itself"},
	{"no end", poptest.GSSAPI{More: true}, login.Cannot, "unexpected"},
}

// A server that does not prove itself, or that wants more than RFC 4752 allows, is not logged in to.
// The user's name is not sent before the proof.
func TestGSSAPI(t *testing.T) {
	service := poptest.NewService(t, aes256)
	cache := filepath.Join(t.TempDir(), "cache")
	service.WriteCache(t, cache, poptest.Cached{End: time.Now().Add(time.Hour)})
	for _, test := range gssapiCases {
		t.Run("R4752-1/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL GSSAPI PLAIN", "UIDL"}
				c.Mechanisms["GSSAPI"] = service.Mechanism(test.GSSAPI)
			})
			cr := credentials(login.GSSAPI)
			cr.Addr = "LOCALHOST.:110"
			cr.Kerberos = kerberos.Places{Cache: "FILE:" + cache, Config: "/nonexistent"}
			err := logIn(t, server.Addr(), cr)
			if test.want == 0 {
				noError(t, err)
			} else {
				checkFault(t, err, test.want)
				if err != nil && (!strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\x1b")) {
					t.Errorf("Login() = %v, want words with %q", err, test.says)
				}
			}
			server.Wait()
			for _, command := range server.Sessions()[0].Commands() {
				if test.want != 0 && !test.More && shows([]byte(command), user) {
					t.Errorf("the user's name was sent: %q", command)
				}
			}
			server.CheckRules(t)
		})
	}
}

// A ticket is used only if the account names GSSAPI. Without a usable ticket, another mechanism that
// the account names is tried, and nothing was sent before.
func TestGSSAPI_fallsBack(t *testing.T) {
	t.Parallel()
	service := poptest.NewService(t, aes256)
	cache := filepath.Join(t.TempDir(), "cache")
	service.WriteCache(t, cache, poptest.Cached{End: time.Now().Add(time.Hour)})
	for _, test := range []struct {
		name       string
		cache      string
		mechanisms []login.Mechanism
		want       string
	}{
		{"auto", cache, nil, "AUTH PLAIN"},
		{"named", cache, []login.Mechanism{login.Plain, login.GSSAPI}, "AUTH GSSAPI"},
		{"no ticket", cache + "-none", []login.Mechanism{login.GSSAPI, login.Plain}, "AUTH PLAIN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL GSSAPI PLAIN", "UIDL"}
				c.Mechanisms["GSSAPI"] = service.Mechanism(poptest.GSSAPI{})
			})
			cr := credentials(test.mechanisms...)
			cr.Addr = "localhost:110"
			cr.Kerberos = kerberos.Places{Cache: test.cache, Config: "/nonexistent"}
			noError(t, logIn(t, server.Addr(), cr))
			if got := commands(t, server, 1)[1]; !strings.HasPrefix(got, test.want) {
				t.Errorf("the second command is %q, want %s", got, test.want)
			}
		})
	}
}

// A server does not say why it refuses a ticket, so the error names what it may be. If the server has
// proved itself, it has understood the ticket. A fault that passes is not the ticket's.
func TestGSSAPI_why(t *testing.T) {
	t.Parallel()
	service := poptest.NewService(t, aes256)
	cache := filepath.Join(t.TempDir(), "cache")
	service.WriteCache(t, cache, poptest.Cached{End: time.Now().Add(time.Hour)})
	refuses := func(reply string) poptest.Mechanism {
		return func(*poptest.Session, []byte, func([]byte) ([]byte, error)) (string, error) {
			return "", errors.New(reply)
		}
	}
	for _, test := range []struct {
		name      string
		mechanism poptest.Mechanism
		want      login.Fault
		says      string
	}{
		{"at once", refuses("[AUTH] no"), login.Refused, "perhaps the ticket is too old for the server: run kinit; " +
			"or the clocks differ, or the server lacks the key of pop/localhost@POPTEST.EXAMPLE"},
		{"another user", service.Mechanism(poptest.GSSAPI{}), login.Refused, "perhaps mrose@POPTEST.EXAMPLE may not be alice there"},
		{"not now", refuses("[SYS/TEMP] no"), login.Later, ""},
	} {
		server := newServer(t)
		server.Configure(func(c *poptest.Config) {
			c.Capabilities = []string{"SASL GSSAPI", "UIDL", "RESP-CODES", "AUTH-RESP-CODE"}
			c.Mechanisms["GSSAPI"] = test.mechanism
		})
		cr := credentials(login.GSSAPI)
		cr.User, cr.Addr = "alice", "localhost:110"
		cr.Kerberos = kerberos.Places{Cache: cache, Config: "/nonexistent"}
		err := logIn(t, server.Addr(), cr)
		checkFault(t, err, test.want)
		if said := fmt.Sprint(err); !strings.Contains(said, test.says) || test.says == "" && strings.Contains(said, "perhaps") {
			t.Errorf("%s: Login() = %v, want %q", test.name, err, test.says)
		}
	}
}

// A refusal stands, although there is no ticket any more. The KDC is not asked twice for one log-in.
func TestGSSAPI_once(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "cache")
	poptest.NewService(t, aes256).WriteCache(t, cache, poptest.Cached{End: time.Now().Add(time.Hour)})
	server := newServer(t)
	server.Configure(func(c *poptest.Config) {
		c.Capabilities = []string{"PIPELINING", "SASL GSSAPI PLAIN", "UIDL", "RESP-CODES", "AUTH-RESP-CODE"}
		c.Mechanisms["GSSAPI"] = func(*poptest.Session, []byte, func([]byte) ([]byte, error)) (string, error) {
			return "", errors.Join(errors.New("[AUTH] no"), os.Remove(cache))
		}
	})
	cr := credentials(login.GSSAPI)
	cr.Addr = "localhost:110"
	cr.Kerberos = kerberos.Places{Cache: cache, Config: "/nonexistent"}
	c := dial(t, server.Addr())
	checkFault(t, endSession(t, c, cr.Login(t.Context(), c, pop3.Capabilities{"PIPELINING": {}, "SASL": {"gssapi"}})), login.Refused)
	checkCount(t, server, "AUTH", 1)
}

// A run that ends while the KDC is silent is no failed log-in.
func TestGSSAPI_ended(t *testing.T) {
	t.Parallel()
	kdc, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kdc.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := kdc.Accept(); err == nil {
			defer func() { _ = c.Close() }()
			_, _ = c.Read(make([]byte, 1)) // the request is on its way
			cancel()
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	dir := t.TempDir()
	conf := filepath.Join(dir, "krb5.conf")
	if err := os.WriteFile(conf, []byte("[realms]\n"+poptest.Realm+" = {\nkdc = "+kdc.Addr().String()+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(dir, "cache")
	poptest.NewService(t, aes256).WriteCache(t, cache, poptest.Cached{Server: "krbtgt/" + poptest.Realm, End: time.Now().Add(time.Hour)})
	server := newServer(t)
	server.Configure(func(c *poptest.Config) { c.Capabilities = []string{"SASL GSSAPI PLAIN", "UIDL"} })
	cr := credentials(login.GSSAPI)
	cr.Addr = "localhost:110"
	cr.Kerberos = kerberos.Places{Cache: cache, Config: conf}
	c := dial(t, server.Addr())
	if _, err := c.Capa(t.Context()); err != nil {
		t.Fatal(err)
	}
	var failed *login.Error
	if err := cr.Login(ctx, c, nil); !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("Login() = %v, want one of the context", err)
	}
	_ = c.Quit(t.Context())
	checkCount(t, server, "AUTH", 0)
}
