package login

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/popfetch/popfetch/pop3"
)

const (
	fuzzUser   = "mrose"
	fuzzSecret = "tanstaaf-sesame"
)

// reveals reports whether octets hold the password: as it is, in UTF-16, or in base64.
func reveals(octets string) bool {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(fuzzSecret)) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	has := func(s string) bool { return strings.Contains(s, fuzzSecret) || strings.Contains(s, string(wide)) }
	if has(octets) {
		return true
	}
	for _, word := range strings.FieldsFunc(octets, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '+' && r != '/' && r != '='
	}) {
		if decoded, err := base64.StdEncoding.DecodeString(word); err == nil && has(string(decoded)) {
			return true
		}
	}
	return false
}

// actor is a connection to a server that answers each line of the client by the next of its own.
type actor struct {
	say  func(n int, last string) string // the n-th line, after the last line of the client; "": end
	said int
	rest string
	sent []string
	last bytes.Buffer
}

func (a *actor) Read(p []byte) (int, error) {
	if a.rest == "" {
		line := strings.TrimSuffix(a.last.String(), "\r\n")
		if a.last.Len() > 0 {
			a.sent = append(a.sent, line)
			a.last.Reset()
		}
		if a.rest = a.say(a.said, line); a.rest == "" {
			return 0, io.EOF
		}
		a.said++
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *actor) Write(p []byte) (int, error)      { return a.last.Write(p) }
func (a *actor) Close() error                     { return nil }
func (a *actor) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (a *actor) RemoteAddr() net.Addr             { return new(net.TCPAddr) }
func (a *actor) SetDeadline(time.Time) error      { return nil }
func (a *actor) SetReadDeadline(time.Time) error  { return nil }
func (a *actor) SetWriteDeadline(time.Time) error { return nil }

// decoded returns the line in base64 as it is meant, or as it is.
func decoded(line string) string {
	if octets, err := base64.StdEncoding.DecodeString(line); err == nil {
		return string(octets)
	}
	return line
}

// offering is a server that offers everything, under TLS.
type offering struct{}

func (offering) Capabilities() pop3.Capabilities { return nil }
func (offering) TLSState() (tls.ConnectionState, bool) {
	return tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}, true
}

// attempts returns an attempt by each mechanism.
func attempts(t *testing.T, m mechanism) *attempt {
	t.Helper()
	id := &identity{
		user: fuzzUser, addr: "pop.example.org:995", named: true, certificate: true,
		ask:   func() (string, error) { return fuzzSecret, nil },
		renew: func(refused string) (string, error) { return refused, nil },
	}
	a, err := m.begin(offering{}, id)
	if errors.Is(err, errNotOffered) {
		return nil // -PLUS needs a real session
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// session opens a session with a server of an actor. What is shown to people goes to shown.
func session(t *testing.T, conn net.Conn, shown *strings.Builder) (*pop3.Client, error) {
	t.Helper()
	return pop3.New(t.Context(), conn, &pop3.Options{TLS: pop3.TLSNone, Trace: func(_ bool, line string) { fmt.Fprintln(shown, line) }})
}

// FuzzChallenges lets a server send any challenges to each mechanism. No mechanism goes on for long.
// The password is shown by none that has to hide it, and by the others once. SCRAM succeeds with no
// server that does not know the password. In a challenge, NONCE stands for the client's nonce.
func FuzzChallenges(f *testing.F) {
	const first = "r=NONCE3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
	ntlm := "NTLMSSP\x00\x02\x00\x00\x00\x0c\x00\x0c\x008\x00\x00\x003\x82\x8a\xa2\x01#Eg\x89\xab\xcd\xef" + strings.Repeat("\x00", 8) +
		"$\x00$\x00D\x00\x00\x00\x06\x00p\x17\x00\x00\x00\x0fS\x00e\x00r\x00v\x00e\x00r\x00" +
		"\x02\x00\x0c\x00D\x00o\x00m\x00a\x00i\x00n\x00\x01\x00\x0c\x00S\x00e\x00r\x00v\x00e\x00r\x00\x00\x00\x00\x00" // [MS-NLMP] section 4.2.4.3, without key exchange
	for i := range table {
		f.Add(byte(i), "", "", "", byte(1), true)
		f.Add(byte(i), "Username:", "Password:", "", byte(2), true)
		f.Add(byte(i), "<1896.697170952@postoffice.reston.mci.net>", "", "", byte(1), true) // RFC 2195
		f.Add(byte(i), first, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "", byte(2), true)
		f.Add(byte(i), first, "", "", byte(1), true)
		f.Add(byte(i), "more", "and more", "and more", byte(9), true)
		f.Add(byte(i), first, "e=invalid-proof", "", byte(2), false)
		f.Add(byte(i), "", `{"status":"invalid_token","schemes":"bearer mac","scope":"https://mail.google.com/"}`, "", byte(2), false) // RFC 7628
		f.Add(byte(i), "", ntlm, "", byte(2), true)
	}
	f.Fuzz(func(t *testing.T, which byte, first, second, third string, count byte, accepts bool) {
		m := table[int(which)%len(table)]
		challenges := []string{first, second, third}
		if m.sasl == "" || m.name == GSSAPI || slices.ContainsFunc(challenges, func(c string) bool { return reveals(c) || len(attribute(c, "i")) > 5 }) {
			return // USER and APOP have no challenges, and GSSAPI a target of its own; and this server should not know the password, nor be slow
		}
		a := attempts(t, m)
		if a == nil {
			return
		}
		nonce := ""
		conn := &actor{say: func(n int, last string) string {
			switch {
			case n == 0:
				return "+OK\r\n"
			case strings.HasPrefix(last, "AUTH "):
				last = last[strings.LastIndex(last, " ")+1:]
			case last == "*":
				return "-ERR cancelled\r\n"
			}
			nonce = cmp.Or(nonce, attribute(decoded(last), "r"))
			if n <= int(count)%10 { // the third challenge is repeated
				challenge := strings.ReplaceAll(challenges[min(n, 3)-1], "NONCE", nonce)
				return "+ " + base64.StdEncoding.EncodeToString([]byte(challenge)) + "\r\n"
			}
			if accepts {
				return "+OK\r\n"
			}
			return "-ERR no\r\n"
		}}
		var shown strings.Builder
		c, err := session(t, conn, &shown)
		if err != nil {
			t.Fatal(err)
		}
		err = a.run(t.Context(), c)
		checkSent(t, m, conn.sent, err)
		if reveals(fmt.Sprint(shown.String(), err)) {
			t.Errorf("%s: the trace or the error shows the password: %s%v", m.sasl, shown.String(), err)
		}
	})
}

// checkSent checks what a mechanism has sent.
func checkSent(t *testing.T, m mechanism, sent []string, err error) {
	t.Helper()
	if len(sent) > 5 {
		t.Errorf("%s answers without end: %q", m.sasl, sent)
	}
	count := 0
	for _, line := range sent {
		if reveals(line) {
			count++
		}
	}
	most := 0
	switch m.name {
	case Plain, Login, OAuthBearer, XOAuth2:
		most = 1
	case ScramSHA1, ScramSHA256:
		if err == nil {
			t.Errorf("%s succeeds, though the server does not know the password", m.sasl)
		}
	}
	if count > most {
		t.Errorf("%s shows the password in %d lines, want %d at most: %q", m.sasl, count, most, sent)
	}
}

// FuzzGreeting lets a server greet with anything before APOP.
func FuzzGreeting(f *testing.F) {
	for _, greeting := range []string{"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "+OK", "+OK <>", "+OK <@>", "+OK <a@b> <c@d>", "+OK <a\x00@b>", "+OK <" + strings.Repeat("a", 600) + "@b>"} {
		f.Add(greeting, "+OK in")
		f.Add(greeting, "-ERR [AUTH] no")
	}
	apop := table[slices.IndexFunc(table, func(m mechanism) bool { return m.name == Apop })]
	f.Fuzz(func(t *testing.T, greeting, reply string) {
		if reveals(greeting) || reveals(reply) {
			return
		}
		conn := &actor{say: func(n int, _ string) string {
			return []string{greeting + "\r\n", reply + "\r\n", ""}[min(n, 2)]
		}}
		var shown strings.Builder
		c, err := session(t, conn, &shown)
		if err != nil {
			return
		}
		err = attempts(t, apop).run(t.Context(), c)
		for _, line := range conn.sent {
			name, digest, _ := strings.Cut(strings.TrimPrefix(line, "APOP "), " ")
			if name != fuzzUser || len(digest) != 32 || strings.Trim(digest, "0123456789abcdef") != "" || reveals(line) {
				t.Errorf("with %q was sent %q", greeting, line)
			}
		}
		if len(conn.sent) > 1 || err == nil && len(conn.sent) == 0 {
			t.Errorf("with %q was sent %q, and APOP returns %v", greeting, conn.sent, err)
		}
		if reveals(fmt.Sprint(shown.String(), err)) {
			t.Errorf("the trace or the error shows the password: %s%v", shown.String(), err)
		}
	})
}

// FuzzLogin lets a server reply anything in a whole log-in that may use all mechanisms. The password,
// or a proof of it, is sent once at most (C0010).
func FuzzLogin(f *testing.F) {
	for _, replies := range []string{
		"+OK\nSASL PLAIN LOGIN\nUSER\n.\n+OK\n", "+OK\nSASL LOGIN\nUSER\n.\n-ERR\n+OK\n+OK\n", "-ERR\n-ERR\n-ERR\n+OK\n",
		"+OK\nSASL CRAM-MD5 LOGIN\n.\n+ !\n-ERR\n+ PDFAYT4=\n-ERR [AUTH]\n+OK\n", "+OK\nSASL LOGIN\nUSER\n.\n+\n+\n-ERR no\n+OK\n+OK\n",
		"+OK\nSASL SCRAM-SHA-256 PLAIN\n.\n+ !!!\n-ERR\n+OK\n", "+OK\nSASL SCRAM-SHA-1 LOGIN\nUSER\n.\n-ERR no\n-ERR no\n+OK\n+OK\n",
		"+OK\nSASL EXTERNAL PLAIN\n.\n-ERR [SYS/TEMP] no\n+OK\n", "+OK\nSASL PLAIN LOGIN\nUSER\n.\n+ YQ==\n-ERR\n+\n+\n+OK\n",
	} {
		f.Add(strings.ReplaceAll(replies, "\n", "\r\n"), false)
		f.Add(strings.ReplaceAll(replies, "\n", "\r\n"), true)
	}
	f.Fuzz(func(t *testing.T, replies string, named bool) {
		if reveals(replies) || strings.Contains(replies, "i=") {
			return
		}
		lines := strings.SplitAfter(replies, "\n")
		conn := &actor{say: func(n int, _ string) string {
			return slices.Concat([]string{"+OK <1@a>\r\n"}, lines, []string{""})[min(n, len(lines)+1)]
		}}
		var shown strings.Builder
		c, err := session(t, conn, &shown)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Capa(t.Context())
		cr := &Credentials{User: fuzzUser, External: true, Password: func(context.Context) (string, error) { return fuzzSecret, nil }}
		if named {
			cr.Mechanisms = Mechanisms()
		}
		err = cr.Login(t.Context(), c, nil)
		count := 0
		for _, line := range conn.sent {
			proves := strings.HasPrefix(decoded(line), "c=") || strings.HasPrefix(decoded(line), fuzzUser+" ") || strings.HasPrefix(line, "APOP ")
			if reveals(line) || proves {
				count++
			}
		}
		if failed := new(Error); count > 1 || errors.As(err, &failed) && failed.Sent != (count == 1) {
			t.Errorf("Login() = %v; the password was sent %d times: %q", err, count, conn.sent)
		}
		if reveals(fmt.Sprint(shown.String(), err)) {
			t.Errorf("the trace or the error shows the password: %s%v", shown.String(), err)
		}
	})
}
