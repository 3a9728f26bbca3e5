package doctor

import (
	"strconv"
	"strings"
	"time"
)

const (
	// mostSkew is how wrong a clock may be that nobody needs to set.
	mostSkew = 5 * time.Minute
	// plausible is how far a number may be from now to be taken for a time.
	plausible = 400 * 24 * time.Hour
	// plausibleHex is the same for a number in hexadecimal digits, which may be anything.
	plausibleHex = 30 * 24 * time.Hour
)

// Clock returns a finding about this machine's clock. POP3 tells no time. Only the timestamp of a
// greeting may have one. It stood at the time when the greeting came. The state was written last at
// written; zero: that is not known.
func Clock(s *Session, written, now time.Time) Finding {
	if ahead := written.Sub(now); !written.IsZero() && ahead > mostSkew {
		return warning(CheckClock, "set this machine's clock (date -u shows it)",
			"the state was written %s later than now: the clock was put back, or was wrong then", span(ahead))
	}
	server, known := timeIn(s.Timestamp, s.GreetedAt)
	if !known {
		return ok(CheckClock, "not compared: the server tells no time")
	}
	skew := server.Sub(s.GreetedAt)
	switch {
	case skew > mostSkew:
		return warning(CheckClock, "set the clock that is wrong (date -u shows this machine's)", "the server's clock is %s ahead of this machine's", span(skew))
	case skew < -mostSkew:
		return warning(CheckClock, "set the clock that is wrong (date -u shows this machine's)", "the server's clock is %s behind this machine's", span(-skew))
	}
	return ok(CheckClock, "at most %s from that of the server", span(skew.Abs()+time.Second))
}

// timeIn returns the time in the timestamp of a greeting. RFC 1939 section 7 proposes
// <process-ID.clock@host>, and Dovecot writes <process.connection.clock.random@host> with the clock in
// hexadecimal digits. A number that is far from near is no time.
func timeIn(timestamp string, near time.Time) (at time.Time, ok bool) {
	local, _, _ := strings.Cut(strings.Trim(timestamp, "<>"), "@")
	parts := strings.Split(local, ".")
	for i, part := range parts {
		base, most := 10, plausible
		if i == 2 && len(parts) == 4 && len(part) == 8 {
			base, most = 16, plausibleHex
		}
		seconds, err := strconv.ParseInt(part, base, 64)
		if err != nil || seconds <= 0 || seconds > 1<<40 {
			continue
		}
		if at = time.Unix(seconds, 0); at.Sub(near).Abs() <= most {
			return at, true
		}
	}
	return time.Time{}, false
}
