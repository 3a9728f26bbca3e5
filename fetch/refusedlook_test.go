package fetch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// A refused log-in of Look and Check counts towards leaving the account alone only if it has sent
// the password, or what it can be guessed from. Then the error says so. That of a run counts in
// any case.
func TestBreaker_sent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		mechanism login.Mechanism
		refused   string // the command; empty: what the mechanism says
		counts    bool
	}{
		{"AUTH PLAIN", login.Plain, "AUTH PLAIN", true},
		{"AUTH LOGIN before the password", login.Login, "AUTH LOGIN", false},
		{"AUTH LOGIN", login.Login, "", true},
		{"USER before PASS", login.User, "USER", false},
		{"PASS", login.User, "PASS", true},
		{"APOP", login.Apop, "APOP", true},
		{"AUTH EXTERNAL", login.External, "AUTH EXTERNAL", false},
	} {
		for _, by := range seeing {
			t.Run(test.name+"/"+by.name, func(t *testing.T) {
				t.Parallel()
				server := newServer(t, letter("a"))
				server.Configure(func(c *poptest.Config) { c.Timestamp = "<1.2@example.org>" })
				r := newRig(t, server.Addr())
				r.account.Login = credentials(login.Plain).Login
				r.runs("1 listed, 1 new, 1 delivered") // or nothing is kept of the account

				password := secret
				if test.refused == "" {
					password = "wrong"
				} else {
					hook(server, on(test.refused, poptest.Refuse("[AUTH] no")))
				}
				r.account.Login = credentialsOf(password, test.mechanism).Login
				for n := 1; n <= 2; n++ {
					_, err := by.look(r.runner, t.Context(), &r.account)
					var refused *login.Error
					if !errors.As(err, &refused) || refused.Fault != login.Refused {
						t.Fatalf("%s() = %v, want a refused log-in", by.name, err)
					}
					want := 0
					if test.counts {
						want = n
					}
					says := fmt.Sprintf("this counts: refusal %d, and after 3 in a row the account is left alone", n)
					if got := r.standing().Refusals; got != want || strings.Contains(err.Error(), says) != test.counts {
						t.Errorf("%d refusals are kept after %d, want %d; %s() = %v", got, n, want, by.name, err)
					}
				}
				before := r.standing().Refusals
				_ = r.fails(fetch.PhaseLogin, "")
				if got := r.standing().Refusals; got != before+1 {
					t.Errorf("%d refusals are kept after a refused run, want %d", got, before+1)
				}
			})
		}
	}
}
