package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

// mostMechanisms is how many mechanisms of one kind are shown.
const mostMechanisms = 8

// mostCapabilities is how many capabilities are shown. No honest server has so many.
const mostCapabilities = 64

// shownGreeting limits the greeting, so that it stays on its line. JSON has it whole.
const shownGreeting = 58

// Greeting returns a finding about the greeting.
func Greeting(s *Session) Finding {
	if s.Greeting == "" {
		return ok(CheckGreeting, "without a text")
	}
	return ok(CheckGreeting, "%s", escape.Text([]byte(s.Greeting), shownGreeting))
}

// Capabilities returns a finding about what the server announces, and how that differs from what it
// announced before TLS and before the log-in.
func Capabilities(s *Session) Finding {
	last := words(s.Capabilities())
	if len(last) == 0 {
		return ok(CheckCapabilities, "none announced; popfetch takes such a server as one of 1996")
	}
	text := list(last, mostCapabilities)
	if s.After != nil {
		text += differs("before the log-in", words(s.AtLogin), last)
	}
	if s.Before != nil {
		before := slices.DeleteFunc(words(s.Before), func(word string) bool { return word == "STLS" })
		text += differs("before TLS", before, words(s.AtLogin))
	}
	return ok(CheckCapabilities, "%s", text)
}

// words returns each capability with its parameters.
func words(caps pop3.Capabilities) []string {
	var each []string
	for _, name := range slices.Sorted(maps.Keys(caps)) {
		each = append(each, strings.Join(append([]string{name}, caps[name]...), " "))
	}
	return each
}

// differs returns what an earlier announcement had in place of the later one.
func differs(when string, earlier, later []string) string {
	only := func(of, not []string) []string {
		return slices.DeleteFunc(slices.Clone(of), func(word string) bool { return slices.Contains(not, word) })
	}
	var parts []string
	if extra := only(earlier, later); len(extra) > 0 {
		parts = append(parts, "with "+list(extra, mostNames))
	}
	if lacking := only(later, earlier); len(lacking) > 0 {
		parts = append(parts, "without "+list(lacking, mostNames))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + when + " " + strings.Join(parts, " and ")
}

// Mechanisms returns a finding about the ways to log in. The choices come from login.Credentials.
func Mechanisms(choices []login.Choice) Finding {
	var tried, whys []string
	not := make(map[string][]string) // by the reason
	for _, c := range choices {
		switch {
		case c.Why == "":
			tried = append(tried, c.Name)
		case c.Offered || c.Named:
			if not[c.Why] == nil {
				whys = append(whys, c.Why)
			}
			not[c.Why] = append(not[c.Why], c.Name)
		}
	}
	refused := ""
	for _, why := range whys {
		refused += "; not " + list(not[why], mostMechanisms) + " (" + why + ")"
	}
	switch len(tried) {
	case 0:
		if refused == "" {
			refused = "; the server offers nothing that popfetch knows"
		}
		return Finding{Check: CheckMechanisms, State: Fault, Text: "no way to log in that server and account have in common" + refused,
			Mend: "name in auth one that the server offers, or ask its provider how programs log in"}
	case 1:
		return ok(CheckMechanisms, "%s, the only one of both sides%s", tried[0], refused)
	}
	return ok(CheckMechanisms, "%s, the strongest of both sides; then %s%s", tried[0], list(tried[1:], mostMechanisms), refused)
}

// Login returns a finding of a log-in that succeeded.
func Login(user string) Finding { return ok(CheckLogin, "%s is let in", shown(user)) }

// Delay returns a finding about LOGIN-DELAY (RFC 2449 section 6.5). The interval is that in which the
// account is polled; zero: another program starts each run.
func Delay(caps pop3.Capabilities, interval time.Duration) Finding {
	params := caps["LOGIN-DELAY"]
	if len(params) == 0 {
		return ok(CheckDelay, "none announced")
	}
	seconds, err := strconv.ParseUint(params[0], 10, 31)
	if err != nil {
		return ok(CheckDelay, "announced as %s, which names no time", shown(params[0]))
	}
	delay := time.Duration(seconds) * time.Second
	text := fmt.Sprintf("%d: %s between two log-ins", seconds, span(delay))
	switch {
	case interval > 0 && interval < delay:
		return warning(CheckDelay, fmt.Sprintf("write interval = %q or more; start runs with --once no more often", fmt.Sprintf("%ds", seconds)),
			"%s, but interval is %s: popfetch polls each %s, and a run with --once in between may be refused", text, span(interval), span(delay))
	case interval == 0:
		return ok(CheckDelay, "%s; start runs no more often", text)
	}
	return ok(CheckDelay, "%s; interval is %s", text, span(interval))
}

// Retention is what the account does with delivered mail on the server.
type Retention struct {
	Deletes bool
	After   time.Duration // time since the delivery
}

// Expire returns a finding about EXPIRE (RFC 2449 section 6.7).
func Expire(caps pop3.Capabilities, r Retention) Finding {
	params := caps["EXPIRE"]
	if len(params) == 0 {
		return ok(CheckExpire, "none announced")
	}
	days, err := strconv.ParseUint(params[0], 10, 31)
	keeps := !r.Deletes || r.After > 0
	switch {
	case err != nil && strings.EqualFold(params[0], "NEVER"):
		return ok(CheckExpire, "NEVER: the server keeps mail until it is deleted")
	case err != nil:
		return ok(CheckExpire, "announced as %s, which names no time", shown(params[0]))
	case days == 0 && keeps:
		return warning(CheckExpire, `if that is right for you, write delete = "delivered"; else ask the provider whether it really does`,
			"0: the server may remove at once what was fetched, although the account leaves it there")
	case days == 0:
		return ok(CheckExpire, "0: the server may remove at once what was fetched, as the account does")
	case r.Deletes && r.After > time.Duration(days)*24*time.Hour:
		return warning(CheckExpire, fmt.Sprintf(`nothing is lost, as long as popfetch runs more often; delete = "%dd" or less says what happens`, days),
			"%d: the server removes mail after %d days, before the account would (%s)", days, days, span(r.After))
	}
	return ok(CheckExpire, "%d: after %d days the server removes mail by itself", days, days)
}
