package login_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// tokenServer is the server's side of both mechanisms. It takes the token good. If it says why it
// refuses another, answer is what the client must say to that.
func tokenServer(good string, message func(token string) string, says, answer string) poptest.Mechanism {
	return func(_ *poptest.Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
		if initial == nil {
			var err error
			if initial, err = ask(nil); err != nil {
				return "", err
			}
		}
		if string(initial) == message(good) {
			return user, nil
		}
		if says != "" {
			response, err := ask([]byte(says))
			if err != nil {
				return "", err
			}
			if string(response) != answer {
				return "", fmt.Errorf("[SYS/PERM] the answer was %q", response)
			}
		}
		return "", errors.New("not this one")
	}
}

// An access token logs in. If the server refuses it, the account is asked once for another one.
func TestBearer(t *testing.T) {
	const refusal = `{"status":"invalid_token","scope":"pop"}`
	long := strings.Repeat("long", 1200)
	forms := map[login.Mechanism]struct {
		name, answer string
		message      func(addr, token string) string
	}{
		login.OAuthBearer: {"OAUTHBEARER", "\x01", func(addr, token string) string {
			host, port, _ := strings.Cut(addr, ":")
			return "n,a=" + user + ",\x01host=" + host + "\x01port=" + port + "\x01auth=Bearer " + token + "\x01\x01"
		}},
		login.XOAuth2: {"XOAUTH2", "", func(_, token string) string { return "user=" + user + "\x01auth=Bearer " + token + "\x01\x01" }},
	}
	for _, test := range []struct {
		name  string
		first string // the token that the account has
		next  string // the other one
		good  string
		says  string
		want  login.Fault
		auths int
		text  string
	}{
		{"good", "good", "", "good", "", 0, 1, ""},
		{"long", long, "", long, "", 0, 1, ""},
		{"expired, told", "old", "good", "good", refusal, 0, 2, ""},
		{"expired, not told", "old", "good", "good", "", 0, 2, ""},
		{"expired, long", "old", long, long, refusal, 0, 2, ""},
		{"twice refused", "old", "older", "good", refusal, login.Refused, 2, "status invalid_token, it wants the scope pop"},
		{"no other", "old", "old", "good", "odd", login.Refused, 1, "the server says no more"},
		{"none to be had", "old", "", "good", refusal, login.Refused, 1, "(status invalid_token, it wants the scope pop); and with another token: the access token: revoked"},
		{"repeated", "sekrit", "sekrit", "good", `{"status":"no sekrit"}`, login.Refused, 1, "(status no ***)"},
		{"unfit", "o\x01d", "good", "good", refusal, login.Cannot, 0, "control character"},
	} {
		for m, form := range forms {
			text := test.text
			if m == login.XOAuth2 { // its servers name a scope whatever is wrong
				text = strings.Replace(text, ", it wants the scope pop", "", 1)
			}
			t.Run(fmt.Sprintf("R7628/%s, %s", m, test.name), func(t *testing.T) {
				t.Parallel()
				server := newServer(t)
				server.Configure(func(c *poptest.Config) {
					c.Capabilities = []string{"SASL " + form.name + " PLAIN", "UIDL", "USER"}
					c.Mechanisms[form.name] = tokenServer(test.good, func(token string) string { return form.message(server.Addr(), token) }, test.says, form.answer)
				})
				cr := credentialsOf(test.first)
				cr.Bearer, cr.Addr = true, server.Addr()
				cr.Renew = func(_ context.Context, refused string) (string, error) {
					if refused != test.first {
						t.Errorf("Renew(%q), want %q", refused, test.first)
					}
					if test.next == "" {
						return "", errors.New("revoked")
					}
					return test.next, nil
				}
				var trace []string
				c, err := pop3.Dial(t.Context(), poptest.InClear(server.Addr(), true), &pop3.Options{TLS: pop3.TLSNone, Trace: func(_ bool, line string) { trace = append(trace, line) }})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				if _, err := c.Capa(t.Context()); err != nil {
					t.Fatal(err)
				}
				err = endSession(t, c, cr.Login(t.Context(), c, nil))
				if shows([]byte(strings.Join(trace, "\n")), test.first) {
					t.Errorf("the trace shows the token: %q", trace)
				}
				if failed := new(login.Error); errors.As(err, &failed) && failed.Credential != nil {
					t.Error("a token has a mark, though the next one changes it")
				}
				if test.want == 0 {
					noError(t, err)
				} else {
					checkFault(t, err, test.want)
				}
				if err != nil && (!strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "old") || strings.Contains(err.Error(), "sekrit")) {
					t.Errorf("Login() = %v, want %q in it, and no token", err, text)
				}
				checkCount(t, server, "AUTH", test.auths)
				checkCount(t, server, "USER", 0)
				server.CheckRules(t)
			})
		}
	}
}

// A token serves no other mechanism, and a password none of these. OAUTHBEARER comes first. What
// refuses the mechanism itself gives way to the other.
func TestBearer_choice(t *testing.T) {
	for _, test := range []struct {
		name, offers string
		bearer       bool
		refuse       string
		want         string // the last AUTH
	}{
		{"both", "SASL PLAIN XOAUTH2 OAUTHBEARER", true, "", "AUTH OAUTHBEARER"},
		{"one refused", "SASL PLAIN XOAUTH2 OAUTHBEARER", true, "AUTH OAUTHBEARER", "AUTH XOAUTH2"},
		{"none", "SASL PLAIN LOGIN,USER", true, "", ""},
		{"a password", "SASL XOAUTH2 OAUTHBEARER PLAIN", false, "", "AUTH PLAIN"},
	} {
		t.Run("R5034-3/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = append(strings.Split(test.offers, ","), "UIDL")
				accept := func(_ *poptest.Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
					if initial == nil {
						_, err := ask(nil)
						return user, err
					}
					return user, nil
				}
				c.Mechanisms["XOAUTH2"], c.Mechanisms["OAUTHBEARER"] = accept, accept
				if test.refuse != "" {
					c.Hook = on(test.refuse, poptest.Refuse("not this way"))
				}
			})
			cr := credentialsOf(secret + strings.Repeat("x", 300))
			if !test.bearer {
				cr = credentials()
			}
			cr.Bearer = test.bearer
			err := logIn(t, server.Addr(), cr)
			if test.want == "" {
				checkFault(t, err, login.Cannot)
				checkCount(t, server, "AUTH", 0)
				return
			}
			noError(t, err)
			sent := commands(t, server, 1)
			last := ""
			for _, line := range sent {
				if strings.HasPrefix(line, "AUTH") {
					last = line
				}
			}
			if !strings.HasPrefix(last, test.want) {
				t.Errorf("the client sent %q, want %s last", sent, test.want)
			}
		})
	}
}

// TestBearer_oneLine checks in which form the message is sent: as a part of the command if it fits, by
// XOAUTH2 alone. A server that refuses this form gets the other one.
func TestBearer_oneLine(t *testing.T) {
	t.Parallel()
	short, long := "short", strings.Repeat("x", 200)
	for _, test := range []struct {
		name  string
		m     login.Mechanism
		token string
		takes string // "one" line, "two" lines, or "" for both
		want  []string
		fails bool
	}{
		{"short", login.XOAuth2, short, "", []string{"AUTH XOAUTH2 one"}, false},
		{"long", login.XOAuth2, long, "", []string{"AUTH XOAUTH2"}, false},
		{"not taken", login.XOAuth2, short, "two", []string{"AUTH XOAUTH2 one", "AUTH XOAUTH2"}, false},
		{"taken in no form", login.XOAuth2, short, "none", []string{"AUTH XOAUTH2 one", "AUTH XOAUTH2"}, true},
		{"OAUTHBEARER", login.OAuthBearer, short, "", []string{"AUTH OAUTHBEARER"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL XOAUTH2 OAUTHBEARER", "UIDL"}
				take := func(_ *poptest.Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
					if initial != nil && (test.takes == "two" || test.takes == "none") {
						return "", errors.New("no initial response, please")
					}
					if initial == nil {
						var err error
						if initial, err = ask(nil); err != nil {
							return "", err
						}
					}
					if test.takes == "none" || !strings.Contains(string(initial), "auth=Bearer "+test.token+"\x01") {
						return "", errors.New("[AUTH] no")
					}
					return user, nil
				}
				c.Mechanisms["XOAUTH2"], c.Mechanisms["OAUTHBEARER"] = take, take
			})
			cr := credentialsOf(test.token, test.m)
			cr.Bearer, cr.Addr = true, server.Addr()
			cr.Renew = func(context.Context, string) (string, error) { return test.token, nil }
			err := logIn(t, server.Addr(), cr)
			if test.fails {
				checkFault(t, err, login.Refused)
			} else {
				noError(t, err)
			}
			var got []string
			for _, line := range commands(t, server, 1) {
				words := strings.Fields(line)
				if words[0] != "AUTH" {
					continue
				}
				if len(words) > 2 {
					words[2] = "one"
				}
				got = append(got, strings.Join(words, " "))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the client sent %q, want %q", got, test.want)
			}
		})
	}
}
