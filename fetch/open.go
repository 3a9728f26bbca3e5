package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// open connects, asks for the capabilities and logs in.
func (s *session) open() error {
	options := s.account.POP3
	options.Idle = func() {
		if s.idle != nil {
			s.idle()
		}
	}
	if s.lockstep {
		options.Window = 1
	}
	s.warnOfClearText()
	client, err := pop3.Dial(s.soft, s.account.Server, &options)
	if err != nil {
		return s.fail(PhaseOpen, err)
	}
	s.client = client
	expected := s.expected()
	if expected != nil {
		client.Expect(expected)
	} else if err := s.askCapabilities(); err != nil {
		return s.fail(PhaseOpen, err)
	}
	if client.Capabilities().Has("UTF8") {
		// Without it Courier replaces mail with raw 8-bit headers by a notice (RFC 6856 section 2).
		if err := client.UTF8(s.soft); err != nil && !isReply(err) {
			return s.fail(PhaseOpen, err)
		}
	}
	if err := s.noteLogin(s.account.Login(s.soft, client)); err != nil {
		return s.leave(err)
	}
	if client.Capabilities().Has("UTF8") && expected != nil && !expected.Has("UTF8") {
		return s.leave(s.fail(PhaseOpen, fmt.Errorf("%w: the server has UTF8 now, which comes before the log-in", errUnexpected)))
	}
	loggedInAt := s.runner.now()
	delay := client.Capabilities()["LOGIN-DELAY"]
	if mayChangeAtLogin(client.Capabilities()) {
		if err := s.askCapabilities(); err != nil {
			return s.fail(PhaseOpen, err)
		}
		if after, ok := client.Capabilities()["LOGIN-DELAY"]; ok {
			delay = after
		}
	}
	if err := s.noteLoginDelay(delay, loggedInAt); err != nil {
		return s.leave(err)
	}
	s.warnOfExpiry()
	return nil
}

// errUnexpected says that a session came to nothing because the server is not what it was in an earlier run, or may not be.
var errUnexpected = errors.New("the server is not as it was")

// expected returns what the server announced in an earlier run that matters for the log-in, nil if nothing is known. Then CAPA need not
// be a turn of its own (see pop3.Client.Expect). Where that comes to nothing, a further session expects nothing.
func (s *session) expected() pop3.Capabilities {
	protection, lines, known := strings.Cut(s.announced, "\n")
	if !known || protection != s.protection() || !s.pipelines() || s.looking {
		return nil
	}
	expected := pop3.Capabilities{}
	for line := range strings.SplitSeq(lines, "\n") {
		name, params, _ := strings.Cut(line, " ")
		expected[name] = strings.Fields(params)
	}
	return expected
}

// announcement is what expected is to know in later runs, in words of our own; without PIPELINING or SASL nothing can be put together.
func (s *session) announcement() string {
	caps := s.client.Capabilities()
	if !caps.Has("PIPELINING") || !caps.Has("SASL") || s.lockstep {
		return ""
	}
	lines := s.protection() + "\nPIPELINING\nSASL"
	for _, m := range preference {
		if m != User && offers(s.client, m, false) {
			lines += " " + string(m)
		}
	}
	for _, name := range []string{"USER", "UTF8"} {
		if caps.Has(name) {
			lines += "\n" + name
		}
	}
	return lines
}

// expectNothing forgets what was expected. If that cannot be noted, a later run finds it out again.
func (s *session) expectNothing() {
	s.announced = ""
	_ = s.changeStanding(func(st *seen.Standing) { st.Announced = "" })
}

func (s *session) protection() string {
	return map[pop3.TLSMode]string{pop3.TLSImplicit: "implicit", pop3.TLSStart: "starttls", pop3.TLSNone: "none"}[s.account.POP3.TLS]
}

// mayChangeAtLogin tells whether capabilities are to be asked again after the log-in: some servers announce only then what
// they have (RFC 2449 section 5), and USER says that a value is the user's own (sections 6.5 and 6.7).
func mayChangeAtLogin(caps pop3.Capabilities) bool {
	ownValue := func(params []string) bool {
		return slices.ContainsFunc(params, func(p string) bool { return strings.EqualFold(p, "USER") })
	}
	return caps != nil && (!caps.Has("PIPELINING") || !caps.Has("UIDL") || !caps.Has("TOP") ||
		ownValue(caps["LOGIN-DELAY"]) || ownValue(caps["EXPIRE"]))
}

// warnOfClearText tells that somebody may listen (RFC 8314 section 3).
func (s *session) warnOfClearText() {
	host, _, err := net.SplitHostPort(s.account.Server)
	if err != nil || s.account.POP3.TLS != pop3.TLSNone {
		return
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		s.warn(CodeClearText, "password and mail cross the network to %s in clear, because tls is none", s.account.Server)
	}
}

// warnOfExpiry tells where the server removes messages by itself before the account's policy would (RFC 2449 section 6.7).
func (s *session) warnOfExpiry() {
	expire := s.client.Capabilities()["EXPIRE"]
	if len(expire) == 0 {
		return
	}
	days, err := strconv.Atoi(expire[0])
	switch after := s.account.Delete.After; {
	case err != nil: // NEVER
	case days == 0 && !s.account.Delete.Enabled:
		s.warn(CodeExpireAtOnce, "the server may remove messages once they are retrieved (EXPIRE 0), though the account keeps them there")
	case after > time.Duration(days)*24*time.Hour:
		s.warn(CodeExpire, "the server removes messages after %d days (EXPIRE), before the account would", days)
	}
}

// askCapabilities sends CAPA; a server that refuses it is as good as any of 1996.
func (s *session) askCapabilities() error {
	if _, err := s.client.Capa(s.soft); err != nil && !isReply(err) {
		return err
	}
	return nil
}
