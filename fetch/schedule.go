package fetch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Servers lock accounts after some wrong passwords, and cron would send one without end. So after
// three refused log-ins in a row, over all runs, an account is left alone for a time. That time
// grows with each further refusal.
const (
	maxRefusals = 3
	firstRest   = 15 * time.Minute
	longestRest = 24 * time.Hour
	// longestDoubtfulRest is the longest rest after a refusal without a response code, if the same
	// credentials have worked before. The server may mean something else than the credentials, such
	// as a maildrop that is locked.
	longestDoubtfulRest = 30 * time.Minute
	// provenFor is for how long credentials that have worked are believed to be the same.
	provenFor = 24 * time.Hour
)

// rest is how long an account is left alone after so many refusals in a row.
func rest(refusals int) time.Duration {
	if refusals < maxRefusals {
		return 0
	}
	return min(firstRest<<min(refusals-maxRefusals, 10), longestRest)
}

const (
	// longestHold limits how long an account is left alone, whatever the reason. A server that asks
	// for a year must not stop the fetching of mail unnoticed.
	longestHold = 24 * time.Hour
	// longestPause is how long a run without a deadline may wait between two of its sessions. The
	// wait occupies one of Runner.Jobs.
	longestPause = 5 * time.Minute
	// refusedDelay is how long a server is left alone after it has refused a log-in by
	// [LOGIN-DELAY] without announcing a time.
	refusedDelay = 5 * time.Minute
)

// held returns how long the account must not log in yet; zero or less: it may now. A time later
// than any that popfetch sets was noted while the clock was wrong, and does not count.
func held(st seen.Standing, now time.Time) time.Duration {
	left := st.NotBefore.Sub(now)
	if left > 2*longestHold {
		return 0
	}
	return left
}

// announcedDelay returns what LOGIN-DELAY announces (RFC 2449 section 6.5); zero: nothing. It is
// obeyed only after a log-in was refused by it (R2449-4). But a resident popfetch polls no more
// often.
func announcedDelay(caps pop3.Capabilities) time.Duration {
	params := caps["LOGIN-DELAY"]
	if len(params) == 0 {
		return 0
	}
	seconds, err := strconv.ParseUint(params[0], 10, 31)
	if err != nil {
		return 0 // a value without a time says nothing
	}
	return time.Duration(seconds) * time.Second
}

// inWords rounds up, so that a person who waits for that time is not too early.
func inWords(d time.Duration) string {
	switch {
	case d <= 10*time.Minute:
		return fmt.Sprintf("%d s", (d+time.Second-1)/time.Second)
	case d <= 3*time.Hour:
		return fmt.Sprintf("%d min", (d+time.Minute-1)/time.Minute)
	default:
		return fmt.Sprintf("%d h", (d+time.Hour-1)/time.Hour)
	}
}

// admit returns a *login.Error if the account must not log in yet. Then nothing is sent, since
// servers count each attempt.
func (m *memory) admit() error {
	left := held(m.standing, m.job.now())
	switch {
	case left <= 0:
		return nil
	case m.standing.Refusals >= maxRefusals:
		return m.leaveAlone()
	}
	err := fmt.Errorf("%s: %s left", m.standing.Reason, inWords(left))
	return m.job.fail(PhaseLogin, &login.Error{Fault: login.Held, Err: err})
}

// leaveAlone is admit for an account that is left alone because of refusals. A changed password
// or a new ticket ends that, and so does a check of the account. It asks for the password as any run
// does, so that a changed one counts at once.
func (m *memory) leaveAlone() error {
	if m.purpose == checking {
		return nil
	}
	if m.job.account.Changed != nil {
		changed, err := m.job.account.Changed(m.job.soft, m.standing.Credential)
		if err != nil {
			return m.job.fail(PhaseLogin, err)
		}
		if changed {
			return m.change(forgive)
		}
	}
	return m.job.fail(PhaseLogin, &login.Error{Fault: login.Refused, Until: m.standing.NotBefore,
		Err: fmt.Errorf("%s; %s", m.standing.Reason, m.untilWhen())})
}

// untilWhen says how long the account is left alone, and what ends that.
func (m *memory) untilWhen() string {
	check := m.job.account.command("check", m.job.account.Name)
	if m.job.account.State != "" { // made of options
		check = "popfetch check with the same options"
	}
	if m.standing.Credential != nil {
		check = "a changed password, ticket or sign-in, or " + check + ","
	}
	return fmt.Sprintf("refused %d times in a row, so the account is left alone until %s; %s ends that",
		m.standing.Refusals, m.standing.NotBefore.Local().Format("2006-01-02 15:04 MST"), check)
}

// forgive resets everything that refusals have caused.
func forgive(st *seen.Standing) {
	if st.Refusals > 0 {
		st.Refusals, st.Credential, st.NotBefore, st.Reason = 0, nil, time.Time{}, ""
	}
}

// refusedUntil returns until when a refused LOGIN-DELAY keeps the account away. Refused passwords do
// not count here, because the password may change.
func (m *memory) refusedUntil() time.Time {
	if m.standing.Refusals >= maxRefusals || held(m.standing, m.job.now()) <= 0 {
		return time.Time{}
	}
	return m.standing.NotBefore
}

// noteLogin notes the result of a log-in for later runs. It returns the error of the log-in,
// extended by its consequences. caps are the server's capabilities.
func (m *memory) noteLogin(err error, caps pop3.Capabilities) error {
	if err == nil {
		return m.welcome(caps)
	}
	var refused *login.Error
	if errors.As(err, &refused) {
		switch {
		case refused.Counts():
			err = m.countRefusal(refused)
		case refused.Fault == login.Later && codeOf(refused) == pop3.CodeLoginDelay:
			err = m.postpone(refused, caps)
		}
	}
	return m.job.fail(PhaseLogin, err)
}

// welcome notes a successful log-in, and what the server announced before it. Without the
// announcement the next run needs one round trip more.
func (m *memory) welcome(caps pop3.Capabilities) error {
	refused := m.standing.Refusals > 0
	if err := m.change(forgive); err != nil || m.purpose != fetching {
		return err
	}
	m.prove(refused)
	announced := ""
	if !m.pace.lockstep {
		announced = login.Announcement(caps, m.job.account.POP3.TLS)
	}
	origin := m.job.account.Origin.File
	_ = m.change(func(st *seen.Standing) { st.Announced, st.Origin = announced, cmp.Or(origin, st.Origin) })
	return nil
}

// prove notes that the credentials have worked. A mark of them costs many rounds of a hash, so it is
// looked at only once a day, and after refusals: then the credentials may have been changed. If it
// cannot be noted, a later run notes it.
func (m *memory) prove(refused bool) {
	now := m.job.now()
	age := now.Sub(m.standing.ProvenAt)
	if m.job.account.Mark == nil || !refused && age >= 0 && age < provenFor {
		return
	}
	mark := m.job.account.Mark(m.standing.Proven)
	_ = m.change(func(st *seen.Standing) { st.Proven, st.ProvenAt = mark, now })
}

// isProven reports whether the credentials that were just refused are those that last logged in. It
// returns the mark that is to stand for them.
func (m *memory) isProven(refused *login.Error) (mark []byte, proven bool) {
	if m.job.account.Mark == nil || m.standing.Proven == nil || refused.Credential == nil {
		return refused.Credential, false
	}
	if mark := m.job.account.Mark(m.standing.Proven); bytes.Equal(mark, m.standing.Proven) {
		return mark, true
	}
	return refused.Credential, false
}

// codeOf returns the response code of the reply that refused a log-in; empty: it had none.
func codeOf(refused *login.Error) pop3.ResponseCode {
	var reply *pop3.ReplyError
	if !errors.As(refused, &reply) {
		return ""
	}
	return reply.Code
}

// countRefusal counts a refused log-in. Servers count every password sent to them. So looks count
// too, if they have sent it, and say so.
func (m *memory) countRefusal(refused *login.Error) error {
	if m.purpose != fetching && !refused.Sent {
		return refused
	}
	now := m.job.now()
	mark, proven := m.isProven(refused)
	longest := longestRest
	if proven && codeOf(refused) == "" {
		longest = longestDoubtfulRest
	}
	err := m.change(func(st *seen.Standing) {
		st.Refusals++
		st.Credential = mark
		if d := min(rest(st.Refusals), longest); d > 0 {
			st.NotBefore, st.Reason = now.Add(d), refused.Err.Error()
		}
	})
	if err != nil {
		return fmt.Errorf("%w; that cannot be noted, so that the next run tries it again: %w", refused, err)
	}
	counted := *refused
	switch {
	case !m.kept:
	case m.standing.Refusals >= maxRefusals:
		counted.Fault, counted.Until = login.Refused, m.standing.NotBefore
		counted.Err = fmt.Errorf("%w; %s", refused.Err, m.untilWhen())
	case m.purpose != fetching:
		counted.Err = fmt.Errorf("%w; this counts: refusal %d, and after %d in a row the account is left alone for a while",
			refused.Err, m.standing.Refusals, maxRefusals)
	}
	return &counted
}

// postpone prevents log-ins before the time that the server wants; it has just refused one as too
// early. Of two such times the later one counts.
func (m *memory) postpone(refused *login.Error, caps pop3.Capabilities) error {
	delay := announcedDelay(caps)
	if delay == 0 {
		delay = refusedDelay
	}
	now := m.job.now()
	until := now.Add(min(delay, longestHold))
	err := m.change(func(st *seen.Standing) {
		if held(*st, now) < until.Sub(now) {
			st.NotBefore, st.Reason = until, "login delay"
		}
	})
	if err != nil {
		return fmt.Errorf("%w; that cannot be noted: %w", refused, err)
	}
	return refused
}

// pause waits until a further session of this run may log in. If that takes longer than the run may
// last, it returns the error of admit.
func (m *memory) pause() error {
	if left := held(m.standing, m.job.now()); left > 0 && left < m.timeLeft() {
		wait(m.job.soft, left)
	}
	return m.admit()
}

// delayed reports whether a further session was refused as too early, and the run can wait for it.
// If it cannot, it notes the pace for a day. Otherwise the next run would get no further than this
// one.
func (m *memory) delayed(err error) bool {
	var refused *login.Error
	if !errors.As(err, &refused) || codeOf(refused) != pop3.CodeLoginDelay {
		return false
	}
	if held(m.standing, m.job.now()) < m.timeLeft() {
		return true
	}
	if m.pace.fellBack != nil {
		since := m.job.now().Add(lockstepForDoubt - lockstepFor)
		_ = m.change(func(st *seen.Standing) { st.LockstepSince = since })
	}
	return false
}

// timeLeft returns how long a run may wait for its next session.
func (m *memory) timeLeft() time.Duration {
	if deadline, ok := m.job.soft.Deadline(); ok {
		return time.Until(deadline)
	}
	return longestPause
}

// wait waits for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
