package login_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// TestLogin has the matrix of servers' offers and accounts' mechanisms. The lines are those between
// CAPA and the end of the log-in. A session that fails to log in ends with QUIT (C0012).
func TestLogin(t *testing.T) {
	t.Parallel()
	const ok login.Fault = 0
	for _, test := range []struct {
		name    string
		offers  string // capabilities, separated by commas; "": CAPA is refused
		allowed []login.Mechanism
		refuse  map[string]string // the server's negative replies, by command
		lines   string
		want    login.Fault
	}{
		{"C0009/plain first", "SASL LOGIN PLAIN,USER", nil, nil, plainLine, ok},
		{"C0009/login before user", "SASL LOGIN,USER", nil, nil, loginLines, ok},
		{"C0009/names without case", "SASL plain", nil, nil, plainLine, ok},
		{"C0044/USER, then PASS", "USER,SASL CRAM-MD5", nil, nil, userLines, ok},
		{"C0009/no CAPA", "", nil, nil, userLines, ok},
		{"C0009/no CAPA, mechanism named", "", []login.Mechanism{login.Plain}, nil, plainLine, ok},
		{"C0009/user named", "SASL PLAIN LOGIN,USER", []login.Mechanism{login.User}, nil, userLines, ok},
		{"C0009/login named", "SASL PLAIN LOGIN,USER", []login.Mechanism{login.Login}, nil, loginLines, ok},
		{"R5034-3/the list is a set", "SASL PLAIN LOGIN,USER", []login.Mechanism{login.User, login.Plain}, nil, plainLine, ok},
		{"R5034-2/CRAM-MD5 only if named", "SASL CRAM-MD5 LOGIN", nil, nil, loginLines, ok},
		{"C0009/EXTERNAL only with a certificate", "SASL EXTERNAL PLAIN", nil, nil, plainLine, ok},
		{"C0009/nothing in common", "SASL GSSAPI", nil, nil, "", login.Cannot},
		{"C0009/nothing offered", "UIDL", nil, nil, "", login.Cannot},
		{"C0009/named one not offered", "SASL LOGIN,USER", []login.Mechanism{login.Plain}, nil, "", login.Cannot},
		{"V0008/never unnamed", "UIDL,SASL GSSAPI", nil, nil, "", login.Cannot},

		{"C0010/password refused", "USER", nil, map[string]string{"PASS": "no"}, userLines, login.Refused},
		{"C0010/plain refused", "SASL PLAIN LOGIN,USER", nil, map[string]string{"AUTH PLAIN": "no"}, plainLine, login.Refused},
		{"C0010/login refused before the password", "SASL LOGIN,USER", nil, map[string]string{"AUTH": "no"}, loginStart + "|" + userLines, ok},
		{"C0010/two at most", "SASL LOGIN,USER", []login.Mechanism{login.Login, login.User, login.Plain}, map[string]string{"AUTH": "no", "USER": "no"},
			loginStart + "|USER mrose", login.Refused},
		{"C0010/code ends it", "SASL LOGIN,USER", nil, map[string]string{"AUTH": "[AUTH] no"}, loginStart, login.Refused},
		{"C0047/no PASS without USER", "USER", nil, map[string]string{"USER": "[AUTH] who?"}, "USER mrose", login.Refused},
		{"C0045/name refused", "USER", nil, map[string]string{"USER": "who?"}, "USER mrose", login.Refused},
		{"C0045/then another mechanism", "USER,SASL CRAM-MD5", []login.Mechanism{login.User, login.CramMD5}, map[string]string{"USER": "who?", "AUTH": "[AUTH] no"},
			"USER mrose|AUTH CRAM-MD5", login.Refused},

		{"R3206-1/AUTH", "USER", nil, map[string]string{"PASS": "[AUTH] wrong"}, userLines, login.Refused},
		{"R3206-1/without case", "USER", nil, map[string]string{"PASS": "[auth] wrong"}, userLines, login.Refused},
		{"R3206-1/SYS TEMP", "USER", nil, map[string]string{"PASS": "[SYS/TEMP] later"}, userLines, login.Later},
		{"R3206-1/SYS PERM", "USER", nil, map[string]string{"PASS": "[SYS/PERM] call us"}, userLines, login.Broken},
		{"R3206-1/no code though announced", "USER,AUTH-RESP-CODE", nil, map[string]string{"PASS": "wrong password"}, userLines, login.Later},
		{"R3206-1/code inside the text", "USER,AUTH-RESP-CODE", nil, map[string]string{"PASS": "it is [AUTH]"}, userLines, login.Later},
		{"R2449-6/IN-USE", "USER", nil, map[string]string{"PASS": "[IN-USE] locked"}, userLines, login.Later},
		{"R2449-6/LOGIN-DELAY", "USER", nil, map[string]string{"PASS": "[LOGIN-DELAY] too soon"}, userLines, login.Later},
		{"R2449-6/unknown code", "USER", nil, map[string]string{"PASS": "[X-ODD] no"}, userLines, login.Refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = nil
				if test.offers != "" {
					c.Capabilities = append(strings.Split(test.offers, ","), "UIDL", "TOP", "PIPELINING")
				}
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
					for words, text := range test.refuse {
						if strings.HasPrefix(cmd, words) {
							return poptest.Refuse(text)
						}
					}
					return poptest.Action{}
				}
			})
			err := logIn(t, server.Addr(), credentials(test.allowed...))
			want := "CAPA"
			if test.lines != "" {
				want += "|" + test.lines
			}
			if test.want == ok {
				noError(t, err)
				want += "|STAT"
			} else {
				checkFault(t, err, test.want)
				want += "|QUIT"
			}
			if got := strings.Join(commands(t, server, 1), "|"); !strings.HasPrefix(got, want) {
				t.Errorf("the client sent %q, want %q", got, want)
			}
			if got, want := shows(server.Received(), secret), strings.Contains(test.lines, "PASS") || strings.Contains(test.lines, plainLine) || strings.Contains(test.lines, loginLines); got != want {
				t.Errorf("the password was sent: %v, want %v", got, want)
			} else if failed := new(login.Error); errors.As(err, &failed) && failed.Sent != want {
				t.Errorf("Sent = %v, want %v", failed.Sent, want)
			}
			server.CheckRules(t)
		})
	}
}

// If nothing can be tried, the error lists the mechanisms of each side. If the server has a
// mechanism that cannot be used, the error says why.
func TestLogin_why(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		offers []string // nil: CAPA is refused
		*login.Credentials
		want string
	}{
		{"C0009/unnamed", []string{"SASL GSSAPI \x1b"}, credentials(),
			`no log-in mechanism in common: the server offers GSSAPI \x1b, the account allows EXTERNAL SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN USER (see the key auth)`},
		{"C0009/named", []string{"SASL PLAIN", "USER"}, credentials(login.Login),
			`no log-in mechanism in common: the server offers PLAIN USER, the account allows LOGIN (see the key auth)`},
		{"C0009/nothing", []string{"UIDL"}, credentials(login.User),
			`no log-in mechanism in common: the server offers nothing, the account allows USER (see the key auth)`},
		{"C0009/one that popfetch does not have", nil, credentials("x-odd"),
			`no log-in mechanism in common: the server offers USER, the account allows X-ODD (see the key auth)`},
		{"R4616-1/NUL", []string{"SASL PLAIN"}, credentialsOf("a\x00b", login.Login, login.Plain),
			"plain: name or password contains NUL: pop3: invalid argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) { c.Capabilities = test.offers })
			err := logIn(t, server.Addr(), test.Credentials)
			checkFault(t, err, login.Cannot)
			if fmt.Sprint(err) != test.want {
				t.Errorf("Login() = %v, want %s", err, test.want)
			}
		})
	}
}

// Invalid input is refused before any part of it is sent, so no command can be smuggled in.
func TestLogin_injection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, user, secret string
		mechanism          login.Mechanism
	}{
		{"C0003/CR LF in a password", user, "a\r\nDELE 1", login.User},
		{"C0003/LF in a password", user, "a\nDELE 1", login.User},
		{"C0003/NUL in a password", user, "a\x00b", login.User},
		{"C0042/CR LF in a name", "m\r\nDELE 1", secret, login.User},
		{"C0042/empty name", "", secret, login.User},
		{"C0042/control octet in a name", "m\x1brose", secret, login.User},
		{"R2449-7/too long", user, strings.Repeat("x", 300), login.User},
		{"R4616-1/NUL in a password", user, "a\x00b", login.Plain},
		{"R4616-1/NUL in a name", "m\x00rose", secret, login.Plain},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			c := credentialsOf(test.secret, test.mechanism)
			c.User = test.user
			checkFault(t, logIn(t, server.Addr(), c), login.Cannot)
			if got, want := commands(t, server, 1), []string{"CAPA", "UTF8", "QUIT"}; !slices.Equal(got, want) {
				t.Errorf("the client sent %q, want %q", got, want)
			}
			server.CheckRules(t)
		})
	}
}

func TestLogin_apop(t *testing.T) {
	t.Parallel()
	apop := credentials(login.Apop)
	t.Run("V0008/RFC 1939's digest", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		server.Configure(func(c *poptest.Config) { c.Timestamp = "<1896.697170952@dbc.mtview.ca.us>" })
		noError(t, logIn(t, server.Addr(), apop))
		checkCount(t, server, "APOP mrose c4c9334bac560ecc979e58001b3e22fb", 1)
		if shows(server.Received(), secret) {
			t.Error("the password was sent")
		}
	})
	for name, timestamp := range map[string]string{
		"none": "", "no @": "<abc>", "8-bit": "<a\xe9b@c>", "blank": "<a b@c>", "twice": "<a@b> <c@d>", "not closed": "<a@b",
	} {
		t.Run("V0008/"+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) { c.Greeting = "ready " + timestamp })
			checkFault(t, logIn(t, server.Addr(), apop), login.Cannot)
			checkCount(t, server, "APOP", 0)
		})
	}
}

// A log-in during which the connection breaks says nothing about the credentials, unless the reply
// came first.
func TestLogin_broken(t *testing.T) {
	t.Parallel()
	byUser := credentials(login.User)
	t.Run("C0010/closed at the password", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		hook(server, on("PASS", poptest.Cut(0)))
		checkFault(t, logIn(t, server.Addr(), byUser), login.Later)
		server.Configure(without("AUTH-RESP-CODE"))
		err := logIn(t, server.Addr(), byUser)
		checkFault(t, err, login.Refused)
		if want := "it closed the connection when it had got the password"; !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("Login() = %v, want %q in it", err, want)
		}
		checkCount(t, server, "PASS", 2)
	})
	// Where no password has been sent, or a reply has begun, the network is to blame.
	for command, at := range map[string]int64{"USER": 0, "PASS": 3} {
		t.Run("C0010/closed elsewhere/"+command, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			hook(server, on(command, poptest.Action{Refuse: "wrong", End: poptest.EndByCut, At: at}))
			err := logIn(t, server.Addr(), byUser)
			var failed *login.Error
			if errors.As(err, &failed) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Login() = %v, want io.ErrUnexpectedEOF and no *login.Error", err)
			}
		})
	}
	t.Run("C0010/closed behind the reply", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		hook(server, on("PASS", poptest.Action{Refuse: "wrong", End: poptest.EndByCut, At: poptest.Whole}))
		server.Configure(without("AUTH-RESP-CODE"))
		checkFault(t, logIn(t, server.Addr(), byUser), login.Refused)
	})
	t.Run("R6856-3/reply text is escaped", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		hook(server, on("PASS", poptest.Refuse("[AUTH] \x1b[31mred\x07 ünïcode")))
		text := fmt.Sprint(logIn(t, server.Addr(), byUser))
		if strings.ContainsAny(text, "\x1b\x07\n") || !strings.Contains(text, "ünïcode") {
			t.Errorf("the error is %q, want the text in UTF-8 and its control octets escaped", text)
		}
		checkCount(t, server, "LANG", 0)
	})
	t.Run("R5034-1/bad challenge", func(t *testing.T) {
		t.Parallel()
		script := poptest.Dialogue(t, "S: +OK\nC: CAPA\nS: +OK\nS: SASL LOGIN\nS: .\nC: AUTH LOGIN\nS: + no base64!\nC: *\nS: -ERR cancelled\nC: QUIT\nS: +OK\n")
		err := logIn(t, script.Addr(), credentials())
		var corrupt base64.CorruptInputError
		if !errors.As(err, &corrupt) {
			t.Errorf("Login() = %v, want a base64.CorruptInputError", err)
		}
		checkFault(t, err, login.Cannot)
		script.Wait()
	})
	// PLAIN has sent the password by then, so no other mechanism sends it again.
	t.Run("C0010/challenged after the password", func(t *testing.T) {
		t.Parallel()
		script := poptest.Dialogue(t, "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: USER\nS: .\nC~ AUTH PLAIN .*\nS: + !!!\nC: *\nS: -ERR cancelled\nC: QUIT\nS: +OK\n")
		checkFault(t, logIn(t, script.Addr(), credentials()), login.Cannot)
		script.Wait()
	})
	t.Run("C0010/LOGIN refused behind the name, then USER", func(t *testing.T) {
		t.Parallel()
		name, _, _ := strings.Cut(strings.TrimPrefix(loginLines, loginStart+"|"), "|")
		script := poptest.Dialogue(t, "S: +OK\nC: CAPA\nS: +OK\nS: SASL LOGIN\nS: USER\nS: .\nC: AUTH LOGIN\nS: + VXNlcg==\nC: "+name+
			"\nS: -ERR not here\nC: USER mrose\nS: -ERR nor here\nC: QUIT\nS: +OK\n")
		err := logIn(t, script.Addr(), credentials())
		checkFault(t, err, login.Refused)
		if failed := new(login.Error); errors.As(err, &failed) && failed.Sent {
			t.Errorf("Login() = %v, and Sent, though only the name was", err)
		}
		script.Wait()
	})
	t.Run("V0008/no timestamp, then the next one named", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		server.Configure(func(c *poptest.Config) { c.Greeting = "ready <12>" })
		noError(t, logIn(t, server.Addr(), credentials(login.Apop, login.User)))
		checkCount(t, server, "APOP", 0)
		checkCount(t, server, "PASS", 1)
	})
}

// The name is sent exactly as it is configured, octet for octet (OX-2).
func TestLogin_name(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"domain/user/alias", "recent:user@example.org", "two words", " lead and trail ", "a\"b'c%d#e", strings.Repeat("n", 200)} {
		t.Run("C0042/"+name, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: name, Password: secret})
			c := credentials(login.User)
			c.User = name
			noError(t, logIn(t, server.Addr(), c))
			if !bytes.Contains(server.Received(), []byte("\r\nUSER "+name+"\r\n")) {
				t.Errorf("the client sent %q, want USER %s", server.Received(), name)
			}
			server.CheckRules(t)
		})
	}
}

// A name or password beyond ASCII goes into USER and PASS only as the account says, or as UTF-8 if
// the server knows UTF8 USER (C0003).
func TestLogin_charset(t *testing.T) {
	t.Parallel()
	const name, password = "jürgen", "grüße"
	const latinName, latinPassword = "j\xfcrgen", "gr\xfc\xdfe"
	utf8User := "C: CAPA\nS: +OK\nS: USER\nS: UTF8 USER\nS: .\nC: UTF8\nS: +OK\n"
	noUTF8 := "C: CAPA\nS: -ERR\n"
	for _, test := range []struct {
		name           string
		charset        login.Charset
		user, password string
		start          string // of the session
		sent           [2]string
		problem        string // in the error, if nothing is sent
	}{
		{name: "name by default", user: name, password: secret, start: noUTF8, problem: `USER: name has octets beyond ASCII`},
		{name: "password by default", charset: login.ASCII, user: user, password: password, start: noUTF8, problem: `credentials_charset = "utf-8" or "iso-8859-1"`},
		{name: "UTF-8", charset: login.UTF8, user: name, password: password, start: noUTF8, sent: [2]string{name, password}},
		{name: "ISO 8859-1", charset: login.Latin1, user: name, password: password, start: noUTF8, sent: [2]string{latinName, latinPassword}},
		{name: "ISO 8859-1 for ASCII", charset: login.Latin1, user: user, password: secret, start: noUTF8, sent: [2]string{user, secret}},
		{name: "a file in ISO 8859-1", charset: login.Latin1, user: name, password: latinPassword, start: noUTF8, sent: [2]string{latinName, latinPassword}},
		{name: "a file that is not UTF-8", charset: login.UTF8, user: user, password: latinPassword, start: noUTF8, problem: `password is not UTF-8`},
		{name: "beyond ISO 8859-1", charset: login.Latin1, user: user, password: "5 €", start: noUTF8, problem: `password has characters that ISO 8859-1 lacks`},
		{name: "UTF8 USER by default", user: name, password: password, start: utf8User, sent: [2]string{name, password}},
		{name: "UTF8 USER in any case", charset: login.Latin1, user: name, password: password, start: utf8User, sent: [2]string{name, password}},
	} {
		t.Run("C0003/"+test.name, func(t *testing.T) {
			t.Parallel()
			script := "lax\nS: +OK\n" + test.start
			if test.problem == "" {
				script += "C: USER " + test.sent[0] + "\nS: +OK\nC: PASS " + test.sent[1] + "\nS: +OK\n"
			}
			dialogue := poptest.Dialogue(t, script+"C: QUIT\nS: +OK\n")
			var traced strings.Builder
			c, err := pop3.Dial(t.Context(), poptest.InClear(dialogue.Addr(), true), &pop3.Options{TLS: pop3.TLSNone, Octets: test.charset.Octets(),
				Trace: func(_ bool, line string) { traced.WriteString(line + "\n") }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if caps, _ := c.Capa(t.Context()); caps.Has("UTF8") {
				noError(t, c.UTF8(t.Context()))
			}
			cr := credentialsOf(test.password, login.User)
			cr.User, cr.Charset = test.user, test.charset
			err = cr.Login(t.Context(), c, nil)
			if test.problem == "" {
				noError(t, err)
			} else {
				checkFault(t, err, login.Cannot)
				if !strings.Contains(fmt.Sprint(err), test.problem) {
					t.Errorf("Login() = %v, want %q in it", err, test.problem)
				}
			}
			if test.password != secret && strings.Contains(fmt.Sprint(traced.String(), err), test.password) {
				t.Errorf("the trace or the error shows the password: %s%v", traced.String(), err)
			}
			_ = c.Quit(t.Context())
			dialogue.Wait()
		})
	}
}
