package login_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// Databases of earlier versions hold this text, so it must not change.
func TestAnnouncement(t *testing.T) {
	caps := pop3.Capabilities{
		"PIPELINING": nil, "SASL": {"KERBEROS_V4", "login", "PLAIN", "EXTERNAL", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"}, "USER": nil, "UTF8": {"USER"}, "TOP": nil, "X\nY": nil,
	}
	const want = "starttls\nPIPELINING\nSASL external scram-sha-1-plus scram-sha-1 plain login\nUSER\nUTF8"
	if got := login.Announcement(caps, pop3.TLSStart); got != want {
		t.Errorf("Announcement() = %q, want %q", got, want)
	}
	expected := pop3.Capabilities{"PIPELINING": {}, "SASL": {"external", "scram-sha-1-plus", "scram-sha-1", "plain", "login"}, "USER": {}, "UTF8": {}}
	if got := login.Expected(want, pop3.TLSStart); !reflect.DeepEqual(got, expected) {
		t.Errorf("Expected() = %v, want %v", got, expected)
	}
	for _, missing := range []string{"PIPELINING", "SASL"} {
		less := pop3.Capabilities{"PIPELINING": nil, "SASL": {"PLAIN"}, "USER": nil}
		delete(less, missing)
		if got := login.Announcement(less, pop3.TLSNone); got != "" {
			t.Errorf("Announcement() without %s = %q, want nothing", missing, got)
		}
	}
	for _, mode := range []pop3.TLSMode{pop3.TLSImplicit, pop3.TLSNone} {
		if got := login.Expected(want, mode); got != nil {
			t.Errorf("Expected() under another protection = %v, want nil", got)
		}
	}
	for _, text := range []string{"", "starttls", "starttls\n", "starttls\nSASL plain"} {
		if got := login.Expected(text, pop3.TLSStart); got != nil {
			t.Errorf("Expected(%q) = %v, want nil", text, got)
		}
	}
}

// The expected capabilities decide which commands share a packet. A dialogue fails if a command
// comes too early or too late.
func TestLogin_expecting(t *testing.T) {
	const announced = "S: +OK\nS: PIPELINING\nS: SASL PLAIN LOGIN\nS: USER\nS: .\n"
	const end = "C: STAT\nS: +OK 0 0\n"
	plain := "C: " + plainLine + "\n"
	byUser := "C: USER mrose\nS: +OK\nC: PASS tanstaaf\nS: +OK\n"
	byLogin := strings.ReplaceAll("C: "+loginLines, "|", "\nS: +\nC: ") + "\nS: +OK\n"
	for _, test := range []struct {
		name       string
		utf8       bool // UTF8 is expected too
		mechanisms []login.Mechanism
		script     string
		want       login.Fault // 0: none
		unexpected bool
	}{
		{"PLAIN", false, nil, "C: CAPA\n" + plain + announced + "S: +OK\n" + end, 0, false},
		{"UTF8, PLAIN", true, nil, "C: CAPA\nC: UTF8\n" + plain + announced + "S: +OK\nS: +OK\n" + end, 0, false},
		{"LOGIN", false, []login.Mechanism{login.Login}, strings.Replace("C: CAPA\n"+byLogin, "S: +\n", announced+"S: +\n", 1) + end, 0, false},
		{"USER", false, []login.Mechanism{login.User}, "C: CAPA\n" + announced + byUser + end, 0, false},
		{"UTF8, USER", true, []login.Mechanism{login.User}, "C: CAPA\nC: UTF8\n" + announced + "S: +OK\n" + byUser + end, 0, false},
		{"nothing usable, and so it is", false, []login.Mechanism{login.External}, "C: CAPA\n" + announced, login.Cannot, false},
		{"nothing usable, and now there is", false, []login.Mechanism{login.External},
			"C: CAPA\nS: +OK\nS: PIPELINING\nS: SASL EXTERNAL\nS: .\nC: AUTH EXTERNAL =\nS: +OK\n" + end, 0, false},
		{"LOGIN is refused, USER is next", false, []login.Mechanism{login.Login, login.User},
			"C: CAPA\nC: AUTH LOGIN\n" + announced + "S: -ERR not here\n" + byUser + end, 0, false},
		{"PLAIN is refused", false, nil, "C: CAPA\n" + plain + announced + "S: -ERR [AUTH] wrong\n", login.Refused, false},
		{"PLAIN is gone", false, nil, "C: CAPA\n" + plain + "S: +OK\nS: SASL LOGIN\nS: .\nS: -ERR what?\n", 0, true},
		{"PLAIN is gone, and taken", false, nil, "C: CAPA\n" + plain + "S: +OK\nS: SASL LOGIN\nS: .\nS: +OK\n" + end, 0, false},
		{"CAPA is gone, PLAIN is named", false, []login.Mechanism{login.Plain}, "C: CAPA\n" + plain + "S: -ERR\nS: -ERR wrong\n", login.Refused, false},
		{"UTF8 is new", false, nil, "C: CAPA\n" + plain + "S: +OK\nS: SASL PLAIN\nS: UTF8\nS: .\nS: +OK\n", 0, true},
		{"UTF8 is new, USER", false, []login.Mechanism{login.User}, "C: CAPA\nS: +OK\nS: USER\nS: UTF8\nS: .\n" + byUser, 0, true},
	} {
		t.Run("R2449-3/"+test.name, func(t *testing.T) {
			t.Parallel()
			script := poptest.Dialogue(t, "S: +OK\n"+test.script+"C: QUIT\nS: +OK\n")
			c := dial(t, script.Addr())
			expected := pop3.Capabilities{"PIPELINING": nil, "SASL": {"plain", "login"}, "USER": nil}
			if test.utf8 {
				expected["UTF8"] = nil
			}
			err := credentials(test.mechanisms...).Login(t.Context(), c, expected)
			if err == nil {
				err = endSession(t, c, nil)
			} else {
				_ = c.Quit(t.Context())
			}
			switch {
			case test.want != 0:
				checkFault(t, err, test.want)
			case !test.unexpected:
				noError(t, err)
			}
			if errors.Is(err, pop3.ErrUnexpected) != test.unexpected {
				t.Errorf("Login() = %v, want pop3.ErrUnexpected: %v", err, test.unexpected)
			}
			script.Wait()
		})
	}
}

// A failed log-in reports whether the server may have received the password. The cases are each
// mechanism and each moment.
func TestLogin_sent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mechanism login.Mechanism
		refused   string // the command that is refused; "": the last
		want      bool
	}{
		{login.Plain, "AUTH", true},
		{login.Login, "AUTH", false},
		{login.Login, "", true},
		{login.User, "USER", false},
		{login.User, "PASS", true},
		{login.Apop, "APOP", true},
		{login.External, "AUTH", false},
	} {
		t.Run(fmt.Sprintf("C0010/%s, %s refused", test.mechanism, test.refused), func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Timestamp = "<1896.697170952@dbc.mtview.ca.us>"
				c.Capabilities = []string{"SASL PLAIN LOGIN EXTERNAL", "USER"}
				if test.refused != "" {
					c.Hook = on(test.refused, poptest.Refuse("no"))
				}
			})
			password := secret
			if test.refused == "" {
				password = "wrong"
			}
			err := logIn(t, server.Addr(), credentialsOf(password, test.mechanism))
			var failed *login.Error
			if !errors.As(err, &failed) || failed.Fault != login.Refused || failed.Sent != test.want {
				t.Errorf("Login() = %+v, want it refused, and Sent %v", err, test.want)
			}
			server.Wait()
			if left := shows(server.Received(), password) || server.Count("APOP") > 0; left != test.want {
				t.Errorf("the password left: %v, want %v: %q", left, test.want, server.Received())
			}
		})
	}
}
