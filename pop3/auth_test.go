package pop3

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/popfetch/popfetch/internal/poptest"
)

func TestCheckArgument(t *testing.T) {
	tests := []struct {
		name, arg   string
		beyondASCII bool
		ok          bool
	}{
		{"C0042/plain", "alice", false, true},
		{"C0042/address", "recent:alice@example.org", false, true},
		{"OX-2/delegate", "domain/delegate/principal@example.org", false, true},
		{"C0042/blanks", "a b  c ", false, true},
		{"C0046/quotes", `"%#'\`, false, true},
		{"C0042/empty", "", false, false},
		{"C0042/cr", "a\rb", false, false},
		{"C0042/lf", "a\nb", false, false},
		{"C0003/injection", "a\r\nDELE 1", false, false},
		{"C0042/nul", "a\x00", false, false},
		{"C0042/tab", "a\tb", false, false},
		{"C0042/del", "a\x7f", false, false},
		{"C0042/escape", "\x1b[2J", true, false},
		{"C0003/beyond-ascii", "grüße", false, false},
		{"R6856-2/beyond-ascii", "grüße", true, true},
		{"R6856-2/not-utf-8", "gr\xfc", true, false},
		{"C0003/not-utf-8", "gr\xfc", false, false},
		{"R2449-7/longest", strings.Repeat("a", 255-len("USER \r\n")), false, true},
		{"R2449-7/too-long", strings.Repeat("a", 256-len("USER \r\n")), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkArgument("USER", "name", tt.arg, tt.beyondASCII)
			if errors.Is(err, ErrArgument) == tt.ok || tt.ok != (err == nil) {
				t.Errorf("checkArgument(%q) = %v, want accepted: %v", tt.arg, err, tt.ok)
			}
			if err != nil && tt.arg != "" && strings.Contains(err.Error(), tt.arg) {
				t.Errorf("checkArgument(%q) = %v, which shows the argument", tt.arg, err)
			}
		})
	}
}

func TestCheckArgument_property(t *testing.T) {
	property := func(arg []byte, beyondASCII bool) bool {
		if checkArgument("PASS", "password", string(arg), beyondASCII) != nil {
			return true
		}
		line := command{keyword: "PASS", args: string(arg)}.line()
		return !strings.ContainsAny(line, "\r\n\x00") && len(line) <= 253
	}
	if err := quick.Check(property, nil); err != nil {
		t.Errorf("C0003: %v", err)
	}
}

func TestUser(t *testing.T) {
	t.Run("C0046/exactly-as-given", func(t *testing.T) {
		c := dial(t, "S: +OK ready\nC: USER a \"b\" %s\nS: +OK\nC: PASS  a b  c \nS: +OK")
		noError(t, "User()", c.User(t.Context(), `a "b" %s`, " a b  c "))
	})
	t.Run("C0045/name-refused", func(t *testing.T) {
		c := dial(t, "S: +OK ready\nC: USER alice\nS: -ERR who?\nC: QUIT\nS: +OK")
		err := c.User(t.Context(), "alice", "secret")
		refusal(t, "User()", err, "")
		if want := "server refused USER: who?"; err.Error() != want {
			t.Errorf("User() = %v, want %s", err, want)
		}
		noError(t, "Quit()", c.Quit(t.Context()))
	})
	t.Run("C0047/name-unanswered", func(t *testing.T) {
		c := dial(t, "S: +OK ready\nC: USER alice\ncut")
		if err := c.User(t.Context(), "alice", "secret"); !isCut(err) {
			t.Errorf("User() = %v, want it cut", err)
		}
	})
	t.Run("C0010/password-refused", func(t *testing.T) {
		c := dial(t, "S: +OK ready\nC: USER alice\nS: +OK\nC: PASS secret\nS: -ERR [auth] wrong\nC: QUIT\nS: +OK")
		refusal(t, "User()", c.User(t.Context(), "alice", "secret"), CodeAuth)
		if err := c.Noop(t.Context()); !errors.Is(err, ErrState) {
			t.Errorf("C0008: Noop() = %v, want %v", err, ErrState)
		}
		noError(t, "C0012: Quit()", c.Quit(t.Context()))
	})
	t.Run("C0042/bad-arguments", func(t *testing.T) {
		c := dial(t, "S: +OK ready\nC: QUIT\nS: +OK")
		for _, arguments := range [][2]string{{"", "x"}, {"x", ""}, {"a\r\nDELE 1", "x"}, {"x", "a\r\nDELE 1"}, {"x", "ü"}} {
			if err := c.User(t.Context(), arguments[0], arguments[1]); !errors.Is(err, ErrArgument) {
				t.Errorf("User(%q) = %v, want %v", arguments, err, ErrArgument)
			}
		}
		noError(t, "Quit()", c.Quit(t.Context()))
	})
	t.Run("R6856-2/utf8-user", func(t *testing.T) {
		c := dial(t, "lax\nS: +OK ready\nC: CAPA\nS: +OK\nS: UTF8 user\nS: .\nC: UTF8\nS: +OK\nC: USER jürgen\nS: +OK\nC: PASS grüße\nS: +OK")
		_, err := c.Capa(t.Context())
		noError(t, "Capa()", err)
		if err := c.User(t.Context(), "jürgen", "grüße"); !errors.Is(err, ErrArgument) {
			t.Errorf("User() before UTF8 = %v, want %v", err, ErrArgument)
		}
		noError(t, "UTF8()", c.UTF8(t.Context()))
		noError(t, "User()", c.User(t.Context(), "jürgen", "grüße"))
	})
}

// Some servers send text of their own before they refuse a password. That is a refusal, and nothing
// more is sent. A success behind such text is not believed.
func TestUser_textBeforeReply(t *testing.T) {
	for name, test := range map[string]struct {
		lines   string // in reply to PASS
		refused bool
	}{
		"C0010/refused":           {"S: sorry\nS: -ERR wrong", true},
		"C0010/in lower case":     {"S: \nS: -err wrong", true},
		"C0010/after ten lines":   {strings.Repeat("S: sorry\n", 10) + "S: -ERR wrong", true},
		"C0010/after more lines":  {strings.Repeat("S: sorry\n", 11) + "S: -ERR wrong", false},
		"C0010/a success":         {"S: welcome\nS: +OK\nS: -ERR wrong", false},
		"C0010/another dash":      {"S: sorry\nS: ---\ncut", false},
		"C0010/closed behind it":  {"S: sorry\ncut", false},
		"C0010/like an indicator": {"S: sorry\nS: -ERROR\ncut", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, "S: +OK ready\nC: USER alice\nS: +OK\nC: PASS secret\n"+test.lines)
			err := c.User(t.Context(), "alice", "secret")
			var protocol *ProtocolError
			if isRefusal(err) != test.refused || errors.As(err, &protocol) == test.refused {
				t.Errorf("User() = %v, want a refusal: %v", err, test.refused)
			}
			if err := c.Quit(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("Quit() = %v, want %v", err, ErrClosed)
			}
		})
	}
}

func TestApop(t *testing.T) {
	t.Run("V0008/no-timestamp", func(t *testing.T) {
		c := dial(t, "S: +OK ready <no msg-id>\nC: QUIT\nS: +OK")
		if err := c.Apop(t.Context(), "alice", "secret"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Apop() = %v, want %v", err, errors.ErrUnsupported)
		}
		noError(t, "Quit()", c.Quit(t.Context()))
	})
	t.Run("V0008/bad-names", func(t *testing.T) {
		c := dial(t, "S: +OK <1@a>\nC: QUIT\nS: +OK")
		for _, name := range []string{"", "a b", "a\r\nDELE 1", strings.Repeat("a", 220)} {
			if err := c.Apop(t.Context(), name, "secret"); !errors.Is(err, ErrArgument) {
				t.Errorf("Apop(%q) = %v, want %v", name, err, ErrArgument)
			}
		}
		noError(t, "Quit()", c.Quit(t.Context()))
	})
}

func TestAuth(t *testing.T) {
	long := strings.Repeat("token", 60)
	encoded := base64.StdEncoding.EncodeToString([]byte(long))
	stop := errors.New("stop")
	tests := []struct {
		name, script string
		mech         mechanism
		challenges   []string
		check        func(error) bool
	}{
		{"R5034-1/initial", "C: AUTH X-ONE YQ==\nS: +OK", mechanism{name: "X-ONE", initial: []byte("a")}, nil, nil},
		{"R5034-1/empty-initial", "C: AUTH EXTERNAL =\nS: +OK", mechanism{name: "EXTERNAL", initial: []byte{}}, nil, nil},
		{"R5034-1/no-initial", "C: AUTH LOGIN\nS: + VXNlcg==\nC: YQ==\nS: +\nC: Yg==\nS: +ok in",
			mechanism{name: "LOGIN", responses: []string{"a", "b"}}, []string{"User", ""}, nil},
		{"R5034-1/no-blank-behind-plus", "C: AUTH NTLM\nS: +\nC: YQ==\nS: +Y2hhbGxlbmdl\nC: Yg==\nS: +OK",
			mechanism{name: "NTLM", responses: []string{"a", "b"}}, []string{"", "challenge"}, nil},
		{"R5034-1/initial-too-long", "C: AUTH XOAUTH2\nS: + \nC: " + encoded + "\nS: +OK",
			mechanism{name: "XOAUTH2", initial: []byte(long)}, nil, nil},
		{"R5034-1/longest-line", "C: AUTH X " + encoded[:244] + "\nS: +OK",
			mechanism{name: "X", initial: []byte(long[:183])}, nil, nil},
		{"R5034-1/empty-response", "C: AUTH X\nS: +\nC: \nS: +OK", mechanism{name: "X", responses: []string{""}}, []string{""}, nil},
		{"R5034-1/long-challenge", "C: AUTH X\nS: + " + strings.Repeat("YWFh", 16000) + "\nC: YQ==\nS: +OK",
			mechanism{name: "X", responses: []string{"a"}}, []string{strings.Repeat("aaa", 16000)}, nil},
		{"R5034-1/challenge-beyond-limit", "C: AUTH X\nS- " + strings.Repeat("+", maxChallenge+1), mechanism{name: "X"}, nil, isProtocolError},
		{"R5034-1/cancel-by-mechanism", "C: AUTH X\nS: + YQ==\nC: *\nS: -ERR cancelled\nC: QUIT\nS: +OK",
			mechanism{name: "X", err: stop}, []string{"a"}, func(err error) bool { return errors.Is(err, stop) }},
		{"R5034-1/bad-base64", "C: AUTH X\nS: + Y?==\nC: *\nS: -ERR cancelled\nC: QUIT\nS: +OK", mechanism{name: "X"}, nil,
			func(err error) bool { var corrupt base64.CorruptInputError; return errors.As(err, &corrupt) }},
		{"R5034-1/cancel-ignored", "C: AUTH X\nS: + YQ==\nC: *\nS: +OK you are in", mechanism{name: "X", err: stop}, []string{"a"}, isProtocolError},
		{"R5034-1/cut", "C: AUTH X\nS: + YQ==\nC: YQ==\ncut", mechanism{name: "X", responses: []string{"a"}}, []string{"a"}, isCut},
		{"R3206-1/refused", "C: AUTH X YQ==\nS: -ERR [SYS/TEMP] later\nC: QUIT\nS: +OK", mechanism{name: "X", initial: []byte("a")}, nil,
			func(err error) bool { var r *ReplyError; return errors.As(err, &r) && r.Code == CodeSysTemp }},
		{"V0001/garbage", "C: AUTH X YQ==\nS: 334 go on", mechanism{name: "X", initial: []byte("a")}, nil, isProtocolError},
		{"C0003/bad-name", "C: QUIT\nS: +OK", mechanism{name: "X\r\nDELE 1"}, nil, func(err error) bool { return errors.Is(err, ErrArgument) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, "lax\nS: +OK ready\n"+tt.script)
			err := c.Auth(t.Context(), &tt.mech)
			switch {
			case tt.check == nil:
				noError(t, "Auth()", err)
				equal(t, "state", c.state, stateTransaction)
			case !tt.check(err):
				t.Errorf("Auth() = %v, want another error", err)
			}
			if !slices.Equal(tt.mech.challenges, tt.challenges) {
				t.Errorf("challenges %.100q, want %.100q", tt.mech.challenges, tt.challenges)
			}
			if strings.HasSuffix(tt.script, "C: QUIT\nS: +OK") {
				noError(t, "Quit()", c.Quit(t.Context()))
			}
		})
	}
}

// The trace shows each line once. It is escaped and shows no secret.
func TestTrace(t *testing.T) {
	var trace bytes.Buffer
	opts := plain()
	opts.Trace = func(sent bool, line string) {
		trace.WriteString(map[bool]string{true: "> ", false: "< "}[sent] + line + "\n")
	}
	server := poptest.Dialogue(t, `
		S: +OK \x1b[2J <1@a>
		C: AUTH PLAIN dG9wc2VjcmV0
		S: -ERR no
		C: AUTH LOGIN
		S: + VXNlcg==
		C: dG9wc2VjcmV0
		S: -ERR no
		C~ APOP alice [0-9a-f]{32}
		S: -ERR no
		C: USER alice
		S: +OK
		C: PASS topsecret
		S: +OK
		C: LIST
		S: +OK
		S: 1 5
		S: .
		C: RETR 1
		S: +OK
		S: one
		S: .`)
	c := open(t, server.Addr(), opts)
	refusal(t, "Auth()", c.Auth(t.Context(), &mechanism{name: "PLAIN", initial: []byte("topsecret")}), "")
	refusal(t, "Auth()", c.Auth(t.Context(), &mechanism{name: "LOGIN", responses: []string{"topsecret"}}), "")
	refusal(t, "Apop()", c.Apop(t.Context(), "alice", "topsecret"), "")
	noError(t, "User()", c.User(t.Context(), "alice", "topsecret"))
	_, err := c.List(t.Context())
	noError(t, "List()", err)
	bodies(c.Retr(t.Context(), numbers(1, 1)))
	want := `< +OK \x1b[2J <1@a>
> AUTH PLAIN ***
< -ERR no
> AUTH LOGIN
< + ***
> ***
< -ERR no
> APOP alice ***
< -ERR no
> USER alice
< +OK
> PASS ***
< +OK
> LIST
< +OK
< 1 5
< .
> RETR 1
< +OK
< (message, 5 octets)
`
	if trace.String() != want {
		t.Errorf("C0046: trace\n%s\nwant\n%s", trace.String(), want)
	}
}
