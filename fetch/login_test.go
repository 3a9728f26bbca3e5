package fetch_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// plainLine is AUTH PLAIN with user and secret, loginLines the lines of LOGIN.
var (
	plainLine  = "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+secret))
	loginStart = "AUTH LOGIN"
	loginLines = loginStart + "|" + base64.StdEncoding.EncodeToString([]byte(user)) + "|" + base64.StdEncoding.EncodeToString([]byte(secret))
	userLines  = "USER " + user + "|PASS " + secret
)

// shows tells whether the octets hold the secret, as it is or in base64.
func shows(octets []byte, secret string) bool {
	if bytes.Contains(octets, []byte(secret)) {
		return true
	}
	for _, word := range bytes.Fields(octets) {
		decoded, err := base64.StdEncoding.DecodeString(string(word))
		if err == nil && bytes.Contains(decoded, []byte(secret)) {
			return true
		}
	}
	return false
}

func checkFault(t *testing.T, err error, want login.Fault) {
	t.Helper()
	var failed *login.Error
	if !errors.As(err, &failed) || failed.Fault != want {
		t.Errorf("Run() = %v, want a *login.Error of fault %d", err, want)
	}
}

// TestLogin is the matrix of what servers offer and what accounts allow. The lines are those after CAPA, up to the
// log-in's end; a run that is not logged in ends with QUIT (C0012).
func TestLogin(t *testing.T) {
	t.Parallel()
	const ok login.Fault = 0
	for _, test := range []struct {
		name    string
		offers  string // capabilities, separated by commas; "": CAPA is refused
		allowed []login.Mechanism
		refuse  map[string]string // commands to the server's negative replies
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
		{"C0009/order as named", "SASL PLAIN LOGIN,USER", []login.Mechanism{login.User, login.Plain}, nil, userLines, ok},
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
		{"C0045/then another mechanism", "USER,SASL PLAIN", []login.Mechanism{login.User, login.Plain}, map[string]string{"USER": "who?"},
			"USER mrose|" + plainLine, ok},

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
			server := newServer(t, letter("a"))
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
			r := newRig(t, server.Addr())
			r.account.Login = credentials(test.allowed...).Login
			want := "CAPA"
			if test.lines != "" {
				want += "|" + test.lines
			}
			if test.want == ok {
				r.runs("1 listed, 1 new, 1 delivered")
				want += "|STAT"
			} else {
				checkFault(t, r.fails(fetch.PhaseLogin, ""), test.want)
				want += "|QUIT"
			}
			if got := strings.Join(commands(t, server, 1), "|"); !strings.HasPrefix(got, want) {
				t.Errorf("the client sent %q, want %q", got, want)
			}
			if got, want := shows(server.Received(), secret), strings.Contains(test.lines, "PASS") || strings.Contains(test.lines, plainLine) || strings.Contains(test.lines, loginLines); got != want {
				t.Errorf("the password was sent: %v, want %v", got, want)
			}
			if n := len(server.Sessions()); n != 1 {
				t.Errorf("%d connections, want 1: a refused log-in is not tried again in the run", n)
			}
			server.CheckRules(t)
		})
	}
}

// Before a log-in has succeeded nothing of the TRANSACTION state is sent, and QUIT ends the session (C0008).
func TestLogin_nothing_before(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	server.Configure(func(c *poptest.Config) {
		c.Greeting = "already logged in, go ahead"
		c.Hook = on("AUTH", poptest.Refuse("[AUTH] wrong"))
	})
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	_ = r.fails(fetch.PhaseLogin, "")
	for _, test := range []struct{ clause, command string }{
		{"C0008", "RSET"}, {"C0016", "STAT"}, {"C0018", "LIST"}, {"V0005", "RETR"}, {"C0025", "DELE"},
		{"C0028", "NOOP"}, {"C0033", "TOP"}, {"C0035", "UIDL"},
	} {
		t.Run(test.clause+"/"+test.command, func(t *testing.T) { checkCount(t, server, test.command, 0) })
	}
	server.CheckRules(t)
}

// The password goes out as configured and is in no trace, no event and no error.
func TestLogin_secret(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		mechanism login.Mechanism
		secret    string
		refuse    bool
	}{
		{"C0046/blanks", login.User, " a b  c ", false},
		{"C0046/plain", login.Plain, "se cr=et", false},
		{"C0046/login", login.Login, "\"%s#'", false},
		{"C0046/apop", login.Apop, secret, false},
		{"C0046/refused", login.User, "wr ong", true},
		{"C0046/plain refused", login.Plain, "wr ong", true},
		{"C0046/8-bit", login.Plain, "pässwörd", false},
		{"R5034-1/too long for the command", login.Plain, strings.Repeat("0123456789", 40), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: user, Password: test.secret, Messages: []poptest.Message{letter("a")}})
			server.Configure(func(c *poptest.Config) {
				c.Timestamp = "<1896.697170952@dbc.mtview.ca.us>"
				if test.refuse { // and the text of the reply repeats the password
					c.Hook = on("PASS", poptest.Refuse("your password is not known"))
					c.Mechanisms["PLAIN"] = func(*poptest.Session, []byte, func([]byte) ([]byte, error)) (string, error) {
						return "", errors.New("not known")
					}
				}
			})
			r := newRig(t, server.Addr())
			r.account.Login = credentialsOf(test.secret, test.mechanism).Login
			result := r.run()
			if (result.Err != nil) != test.refuse {
				t.Errorf("Run() = %v, want an error: %v", result.Err, test.refuse)
			}
			log := fmt.Sprintf("%v %v %q", result.Err, r.events, r.traced)
			if shows([]byte(log), test.secret) || strings.Contains(log, base64.StdEncoding.EncodeToString([]byte(test.secret))) {
				t.Errorf("events, trace or error show the password: %s", log)
			}
			if len(r.traced) < 3 {
				t.Errorf("the trace has %d lines, want the whole session", len(r.traced))
			}
			server.Wait()
			if sent := shows(server.Received(), test.secret); !sent && test.mechanism != login.Apop {
				t.Errorf("the password %q was not sent as it is: %q", test.secret, server.Received())
			}
			server.CheckRules(t)
		})
	}
}

// What cannot be sent is refused before anything of it is sent: there is no way to smuggle a command in.
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
			server := newServer(t, letter("a"))
			r := newRig(t, server.Addr())
			c := credentialsOf(test.secret, test.mechanism)
			c.User = test.user
			r.account.Login = c.Login
			checkFault(t, r.fails(fetch.PhaseLogin, ""), login.Cannot)
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
		server := newServer(t, letter("a"))
		server.Configure(func(c *poptest.Config) { c.Timestamp = "<1896.697170952@dbc.mtview.ca.us>" })
		r := newRig(t, server.Addr())
		r.account.Login = apop.Login
		r.runs("1 listed, 1 new, 1 delivered")
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
			server := newServer(t, letter("a"))
			server.Configure(func(c *poptest.Config) { c.Greeting = "ready " + timestamp })
			r := newRig(t, server.Addr())
			r.account.Login = apop.Login
			checkFault(t, r.fails(fetch.PhaseLogin, ""), login.Cannot)
			checkCount(t, server, "APOP", 0)
		})
	}
}

// A log-in that the connection does not outlive says nothing of the credentials, unless the reply came first.
func TestLogin_broken(t *testing.T) {
	t.Parallel()
	user := credentials(login.User)
	t.Run("C0010/closed without a reply", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		hook(server, on("PASS", poptest.Cut(0)))
		r := newRig(t, server.Addr())
		r.account.Login = user.Login
		err := r.fails(fetch.PhaseLogin, "")
		var failed *login.Error
		if errors.As(err, &failed) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Run() = %v, want io.ErrUnexpectedEOF and no *login.Error", err)
		}
		checkCount(t, server, "PASS", 1)
	})
	t.Run("C0010/closed behind the reply", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		hook(server, on("PASS", poptest.Action{Refuse: "wrong", End: poptest.EndByCut, At: poptest.Whole}))
		server.Configure(without("AUTH-RESP-CODE"))
		r := newRig(t, server.Addr())
		r.account.Login = user.Login
		checkFault(t, r.fails(fetch.PhaseLogin, ""), login.Refused)
	})
	t.Run("R6856-3/reply text is escaped", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		hook(server, on("PASS", poptest.Refuse("[AUTH] \x1b[31mred\x07 ünïcode")))
		r := newRig(t, server.Addr())
		r.account.Login = user.Login
		text := r.fails(fetch.PhaseLogin, "").Error()
		if strings.ContainsAny(text, "\x1b\x07\n") || !strings.Contains(text, "ünïcode") {
			t.Errorf("the error is %q, want the text in UTF-8 and its control octets escaped", text)
		}
		checkCount(t, server, "LANG", 0)
	})
	t.Run("R5034-1/bad challenge", func(t *testing.T) {
		t.Parallel()
		script := poptest.Dialogue(t, "S: +OK\nC: CAPA\nS: +OK\nS: SASL LOGIN\nS: .\nC: AUTH LOGIN\nS: + no base64!\nC: *\nS: -ERR cancelled\nC: QUIT\nS: +OK\n")
		r := newRig(t, script.Addr())
		err := r.fails(fetch.PhaseLogin, "")
		var corrupt base64.CorruptInputError
		if !errors.As(err, &corrupt) {
			t.Errorf("Run() = %v, want a base64.CorruptInputError", err)
		}
		checkFault(t, err, login.Cannot)
		script.Wait()
	})
	// PLAIN has shown the password by then, so that no other mechanism shows it again.
	t.Run("C0010/challenged after the password", func(t *testing.T) {
		t.Parallel()
		script := poptest.Dialogue(t, "S: +OK\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: USER\nS: .\nC~ AUTH PLAIN .*\nS: + !!!\nC: *\nS: -ERR cancelled\nC: QUIT\nS: +OK\n")
		r := newRig(t, script.Addr())
		checkFault(t, r.fails(fetch.PhaseLogin, ""), login.Cannot)
		script.Wait()
	})
	t.Run("V0008/no timestamp, then the next one named", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		server.Configure(func(c *poptest.Config) { c.Greeting = "ready <12>" })
		r := newRig(t, server.Addr())
		r.account.Login = credentials(login.Apop, login.User).Login
		r.runs("1 listed, 1 new, 1 delivered")
		checkCount(t, server, "APOP", 0)
		checkCount(t, server, "PASS", 1)
	})
}

// The name goes out octet for octet as it is configured, whatever it looks like (OX-2).
func TestLogin_name(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"domain/user/alias", "recent:user@example.org", "two words", " lead and trail ", "a\"b'c%d#e", strings.Repeat("n", 200)} {
		t.Run("C0042/"+name, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: name, Password: secret, Messages: []poptest.Message{letter("a")}})
			r := newRig(t, server.Addr())
			c := credentials(login.User)
			c.User = name
			r.account.User, r.account.Login = name, c.Login
			r.runs("1 listed, 1 new, 1 delivered")
			if !bytes.Contains(server.Received(), []byte("\r\nUSER "+name+"\r\n")) {
				t.Errorf("the client sent %q, want USER %s", server.Received(), name)
			}
			server.CheckRules(t)
		})
	}
}
