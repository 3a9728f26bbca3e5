package login_test

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// replying is a server that answers AUTH with some mechanisms, and what follows, by these texts in
// turn. A text that begins with + is a challenge as it is. One that begins with -ERR is a refusal.
// Any other is a challenge to be encoded.
func replying(replies map[string]string) func(*poptest.Session, string) poptest.Action {
	var left []string
	return func(_ *poptest.Session, cmd string) poptest.Action {
		begun := len(left) > 0
		if texts, has := replies[withoutProof(cmd)]; has {
			left, begun = strings.Split(texts, "|"), true
		}
		if !begun || cmd == "QUIT" {
			return poptest.Action{}
		}
		text := left[0]
		left = left[1:]
		if cmd == "*" {
			text, left = "-ERR cancelled", nil
		}
		if !strings.HasPrefix(text, "+") && !strings.HasPrefix(text, "-") {
			text = "+ " + base64.StdEncoding.EncodeToString([]byte(text))
		}
		return poptest.Reply([]byte(text + "\r\n"))
	}
}

// withoutProof cuts the initial response of SCRAM off, which has a random number.
func withoutProof(cmd string) string {
	if words := strings.SplitN(cmd, " ", 3); len(words) == 3 && strings.HasPrefix(words[1], "SCRAM-") {
		return words[0] + " " + words[1]
	}
	return cmd
}

// A mechanism that fails for another reason than the credentials gives way to the next, once. It does
// not if the server may have got the password or a proof of it, or if the reply has a code (C0010).
func TestLogin_givesWay(t *testing.T) {
	t.Parallel()
	const (
		ok       login.Fault = 0
		noBase64             = "+ !!!"
		byUser               = "USER mrose|PASS " + secret
		byApop               = "APOP mrose c4c9334bac560ecc979e58001b3e22fb"
		scrams               = "AUTH SCRAM-SHA-256|AUTH SCRAM-SHA-1"
		bearer               = "AUTH OAUTHBEARER|AUTH XOAUTH2"
	)
	only := func(allowed ...login.Mechanism) []login.Mechanism { return allowed }
	type replies = map[string]string
	for _, test := range []struct {
		name    string
		allowed []login.Mechanism
		replies replies
		want    string // the commands that begin a log-in
		fault   login.Fault
	}{
		{"LOGIN, no base64", only(login.Login, login.User), replies{"AUTH LOGIN": noBase64}, "AUTH LOGIN|" + byUser, ok},
		{"LOGIN, an error", only(login.Login, login.User), replies{"AUTH LOGIN": "-ERR out of memory"}, "AUTH LOGIN|" + byUser, ok},
		{"LOGIN, an error after the name", only(login.Login, login.User), replies{"AUTH LOGIN": "User|-ERR out of memory"}, "AUTH LOGIN|" + byUser, ok},
		{"LOGIN, an error after the password", only(login.Login, login.User), replies{"AUTH LOGIN": "User|Password|-ERR out of memory"}, "AUTH LOGIN", login.Refused},
		{"LOGIN, a challenge after the password", only(login.Login, login.User), replies{"AUTH LOGIN": "User|Password|Again"}, "AUTH LOGIN", login.Cannot},
		{"LOGIN, SYS TEMP", only(login.Login, login.User), replies{"AUTH LOGIN": "-ERR [SYS/TEMP] later"}, "AUTH LOGIN", login.Later},
		{"LOGIN, SYS PERM", only(login.Login, login.User), replies{"AUTH LOGIN": "-ERR [SYS/PERM] call us"}, "AUTH LOGIN", login.Broken},
		{"LOGIN, AUTH", only(login.Login, login.User), replies{"AUTH LOGIN": "-ERR [AUTH] wrong"}, "AUTH LOGIN", login.Refused},
		{"a second failure ends it", only(login.Login, login.User, login.Apop), replies{"AUTH LOGIN": noBase64, "USER mrose": "-ERR no"}, "AUTH LOGIN|USER mrose", login.Refused},
		{"EXTERNAL, no base64", only(login.External, login.User), replies{"AUTH EXTERNAL =": noBase64}, "AUTH EXTERNAL =|" + byUser, ok},
		{"EXTERNAL, an error", only(login.External, login.User), replies{"AUTH EXTERNAL =": "-ERR no map"}, "AUTH EXTERNAL =|" + byUser, ok},
		{"NTLM, no base64", only(login.NTLM, login.Apop), replies{"AUTH NTLM": noBase64}, "AUTH NTLM|" + byApop, ok},
		{"NTLM, garbage", only(login.NTLM, login.Apop), replies{"AUTH NTLM": "+|NTLMSSP\x00\x02garbage"}, "AUTH NTLM|" + byApop, ok},
		{"NTLM, a challenge after the proof", only(login.NTLM, login.Apop), replies{"AUTH NTLM": "+|" + string(ntlmChallenge(0x201)) + "|more"}, "AUTH NTLM", login.Cannot},
		{"CRAM-MD5, no base64", only(login.CramMD5, login.Apop), replies{"AUTH CRAM-MD5": noBase64}, "AUTH CRAM-MD5|" + byApop, ok},
		{"CRAM-MD5, no challenge", only(login.CramMD5, login.Apop), replies{"AUTH CRAM-MD5": "+"}, "AUTH CRAM-MD5|" + byApop, ok},
		{"CRAM-MD5, an error after the digest", only(login.CramMD5, login.Apop), replies{"AUTH CRAM-MD5": "<1@a>|-ERR no"}, "AUTH CRAM-MD5", login.Refused},
		{"SCRAM, no base64", only(login.ScramSHA256, login.Login), replies{"AUTH SCRAM-SHA-256": noBase64}, "AUTH SCRAM-SHA-256|" + loginStart, ok},
		{"SCRAM, malformed", only(login.ScramSHA256, login.Login), replies{"AUTH SCRAM-SHA-256": "r=,s=,i="}, "AUTH SCRAM-SHA-256|" + loginStart, ok},
		{"SCRAM, an error in a challenge", only(login.ScramSHA256, login.Login), replies{"AUTH SCRAM-SHA-256": "e=other-error"}, "AUTH SCRAM-SHA-256|" + loginStart, ok},
		{"SCRAM, SYS TEMP", only(login.ScramSHA256, login.Login), replies{"AUTH SCRAM-SHA-256": "-ERR [SYS/TEMP] later"}, "AUTH SCRAM-SHA-256", login.Later},
		{"SCRAM, both malformed", only(login.ScramSHA256, login.ScramSHA1, login.Login), replies{"AUTH SCRAM-SHA-256": "what?", "AUTH SCRAM-SHA-1": noBase64}, scrams, login.Cannot},
		{"SCRAM, refused before the proof, then LOGIN too", only(login.ScramSHA256, login.ScramSHA1, login.Login, login.User),
			replies{"AUTH SCRAM-SHA-256": "-ERR no", "AUTH LOGIN": "-ERR no"}, "AUTH SCRAM-SHA-256|" + loginStart, login.Refused},
		{"EXTERNAL, then SCRAM refused before the proof", only(login.External, login.ScramSHA256, login.Login),
			replies{"AUTH EXTERNAL =": "-ERR no map", "AUTH SCRAM-SHA-256": "-ERR no"}, "AUTH EXTERNAL =|AUTH SCRAM-SHA-256", login.Refused},
		{"OAUTHBEARER, no base64", nil, replies{"AUTH OAUTHBEARER": noBase64, "AUTH XOAUTH2": "+|+OK"}, bearer, ok},
		{"OAUTHBEARER, an error", nil, replies{"AUTH OAUTHBEARER": "-ERR no", "AUTH XOAUTH2": "+|+OK"}, bearer, ok},
		{"OAUTHBEARER, no JSON", nil, replies{"AUTH OAUTHBEARER": "+|no JSON|-ERR no"}, "AUTH OAUTHBEARER", login.Refused},
		{"OAUTHBEARER, no base64 after the token", nil, replies{"AUTH OAUTHBEARER": "+|" + noBase64}, "AUTH OAUTHBEARER", login.Cannot},
		{"OAUTHBEARER, without end", nil, replies{"AUTH OAUTHBEARER": "+|no|no|no"}, "AUTH OAUTHBEARER", login.Cannot},
		{"XOAUTH2, no JSON", nil, replies{"AUTH OAUTHBEARER": "-ERR no", "AUTH XOAUTH2": "+|<html>|-ERR no"}, bearer, login.Refused},
	} {
		t.Run("C0010/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Timestamp = "<1896.697170952@dbc.mtview.ca.us>"
				c.Capabilities = []string{"SASL OAUTHBEARER XOAUTH2 EXTERNAL SCRAM-SHA-256 SCRAM-SHA-1 LOGIN NTLM CRAM-MD5", "USER", "UIDL"}
				c.Hook = replying(test.replies)
			})
			c, err := pop3.Dial(t.Context(), server.TLSAddr(), &pop3.Options{TLSConfig: server.CA().ClientTLS("127.0.0.1")}) // NTLM needs it
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Capa(t.Context()); err != nil {
				t.Fatal(err)
			}
			cr := credentials(test.allowed...)
			cr.Bearer = test.allowed == nil
			cr.Renew = func(_ context.Context, refused string) (string, error) { return refused, nil }
			err = cr.Login(t.Context(), c, nil)
			_ = c.Quit(t.Context())
			if test.fault == ok {
				noError(t, err)
			} else {
				checkFault(t, err, test.fault)
			}
			tried := slices.DeleteFunc(commands(t, server, 1), func(line string) bool {
				keyword, _, _ := strings.Cut(line, " ")
				return !slices.Contains([]string{"AUTH", "USER", "PASS", "APOP"}, keyword)
			})
			for i, line := range tried {
				tried[i] = withoutProof(line)
			}
			if got := strings.Join(tried, "|"); got != test.want {
				t.Errorf("the client sent %q, want %q", got, test.want)
			}
			server.CheckRules(t)
		})
	}
}
