package fetch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// The server's abilities are those of the last CAPA in the session. CAPA is asked again after the
// log-in if a needed capability was not announced before, or may depend on the user. The old list
// is then dropped (R2449-1, R2449-2).
func TestCapabilities(t *testing.T) {
	t.Parallel()
	all := []string{"TOP", "UIDL", "PIPELINING"}
	for _, test := range []struct {
		name          string
		before, after []string // nil: CAPA is refused
		capas         int
		pipelined     bool
		top           bool
		held          bool // until the next poll, by a LOGIN-DELAY of 60 s
	}{
		{"all before the log-in", all, nil, 1, true, true, false},
		{"PIPELINING after the log-in", []string{"TOP", "UIDL"}, all, 2, true, true, false},
		{"TOP after the log-in", []string{"UIDL", "PIPELINING"}, all, 2, true, true, false},
		{"UIDL after the log-in", []string{"TOP", "PIPELINING"}, all, 2, true, true, false},
		{"all after the log-in", []string{"X-NONE"}, all, 2, true, true, false},
		{"PIPELINING before the log-in only", []string{"UIDL", "PIPELINING"}, []string{"TOP", "UIDL"}, 2, false, true, false},
		{"TOP before the log-in only", []string{"TOP", "UIDL"}, []string{"UIDL", "PIPELINING"}, 2, true, false, false},
		{"no UIDL at all", []string{"TOP", "PIPELINING"}, []string{"TOP", "PIPELINING"}, 2, true, true, false},
		{"nothing at all", []string{"X-NONE"}, []string{"X-NONE"}, 2, false, false, false},
		{"refused after the log-in", []string{"TOP", "PIPELINING"}, nil, 2, true, true, false},
		{"refused", nil, nil, 1, false, true, false}, // TOP is tried then
		{"LOGIN-DELAY", append(all, "LOGIN-DELAY 60"), nil, 1, true, true, true},
		{"LOGIN-DELAY of the user's own", append(all, "LOGIN-DELAY 900 USER"), append(all, "LOGIN-DELAY 60"), 2, true, true, true},
		{"EXPIRE of the user's own", append(all, "EXPIRE 3 USER"), append(all, "EXPIRE NEVER"), 2, true, true, false},
	} {
		for _, tls := range []bool{false, true} {
			t.Run(fmt.Sprintf("R2449-1/%s, TLS %v", test.name, tls), func(t *testing.T) {
				t.Parallel()
				server := newServer(t, letter("a"), letter("b"), letter("c"))
				hook(server, func(s *poptest.Session, cmd string) poptest.Action {
					lines := test.before
					switch {
					case cmd != "CAPA":
						return poptest.Action{}
					case tls && !s.Secure():
						// Under TLS none of these is announced (R2595-2).
						return poptest.Reply(capaReply("STLS", "PIPELINING", "UIDL", "TOP", "LOGIN-DELAY 900", "EXPIRE 1"))
					case s.User() != "":
						lines = test.after
					}
					if lines == nil {
						return poptest.Refuse("no such command")
					}
					return poptest.Reply(capaReply(slices.Concat(lines, []string{"USER"})...))
				})
				r := newRig(t, server.Addr())
				r.stopClock()
				capas := test.capas
				if tls {
					r.under(pop3.TLSStart, server.CA().ClientTLS("localhost"))
					capas++
				}
				r.account.Delete.Enabled, r.account.Delete.After = true, 2*day
				r.runs("3 listed, 3 new, 3 delivered")
				if got := server.Count("CAPA"); got != capas {
					t.Errorf("CAPA was sent %d times, want %d", got, capas)
				}
				if got := r.pipelined(); got != test.pipelined {
					t.Errorf("pipelined %v, want %v", got, test.pipelined)
				}
				result := r.run()
				if result.Err != nil || result.Listed != 3 || result.New != 0 {
					t.Errorf("the second run came to %+v, want nothing new and no error", result)
				}
				if held := result.NotBefore.Equal(r.runner.Now().Add(60 * time.Second)); held != test.held || !held && !result.NotBefore.IsZero() {
					t.Errorf("the next poll is at %v, want a minute's wait: %v", result.NotBefore, test.held)
				}
				for range 2 { // with TOP, what was delivered days ago can be told apart from what only has its unique-id
					r.later(3 * day / 2)
					r.run()
				}
				if got := server.Count("TOP") > 0; got != test.top {
					t.Errorf("TOP was sent: %v, want %v", got, test.top)
				}
				for _, w := range r.told(fetch.Warning) {
					t.Errorf("warned: %v", w.Err)
				}
				server.CheckRules(t)
			})
		}
	}
}

// A slow but live link is not cut (behaviour 14): each octet of a message restarts the time limit.
// A status line or a line of a listing that arrives octet by octet is cut at the limit.
func TestTrickle(t *testing.T) {
	t.Parallel()
	drip := func(text string) string {
		var script strings.Builder
		for i := range len(text) {
			fmt.Fprintf(&script, "S- %s\npause %v\n", strings.NewReplacer("\r", `\r`, "\n", `\n`, " ", `\x20`).Replace(text[i:i+1]), silence/3)
		}
		return script.String()
	}
	const login = "S: +OK\nC: CAPA\nS: -ERR\nC: USER mrose\nS: +OK\nC: PASS tanstaaf\nS: +OK\n"
	const listings = "C: STAT\nS: +OK 1 9\nC: LIST\nS: +OK\nS: 1 9\nS: .\nC: UIDL\nS: +OK\nS: 1 a\nS: .\n"
	for _, test := range []struct {
		name, script string
		phase        fetch.Phase // empty: no error
	}{
		{"a message", login + listings + "C: RETR 1\nS: +OK\n" + drip("A: b\r\n\r\n.\r\n") + "C: QUIT\nS: +OK\n", ""},
		{"the greeting", drip("+OK hello\r\n"), fetch.PhaseOpen},
		{"a reply to RETR", login + listings + "C: RETR 1\n" + drip("+OK 9 octets\r\n") + "stall", fetch.PhaseRetrieve},
		{"a line of a listing", login + "C: STAT\nS: +OK 1 9\nC: LIST\nS: +OK\n" + drip("1 000000009\r\n") + "stall", fetch.PhaseList},
		{"a reply to QUIT", login + listings + "C: RETR 1\nS: +OK\nS: A: b\nS: \nS: .\nC: DELE 1\nS: +OK\nC: QUIT\n" + drip("+OK bye\r\n"), fetch.PhaseQuit},
	} {
		t.Run("behaviour 14/"+test.name, func(t *testing.T) {
			t.Parallel()
			script := poptest.Dialogue(t, test.script)
			r := newRig(t, script.Addr())
			r.hurry(silence)
			r.account.Delete.Enabled = test.phase == fetch.PhaseQuit // otherwise nothing depends on its reply
			start := time.Now()
			result := r.run()
			if test.phase == "" {
				if result.Err != nil || result.Delivered != 1 {
					t.Errorf("Run() = %v, %d delivered, want no error and 1", result.Err, result.Delivered)
				}
			} else {
				checkFailure(t, result, test.phase)
				if took := time.Since(start); took > silence+2*time.Second {
					t.Errorf("ended after %v, want %v", took, silence)
				}
			}
		})
	}
}
