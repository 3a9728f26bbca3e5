package fetch

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/popfetch/popfetch/seen"
)

const (
	// longestHold bounds how long an account is left alone, whatever asks for it: a server that announces a year must not
	// end the fetching of mail unnoticed.
	longestHold = 24 * time.Hour
	// longestPause is how long a run without a deadline waits between two of its sessions. It holds one of Runner.Jobs.
	longestPause = 5 * time.Minute
)

// held returns how long the account must not log in yet, zero or less: it may now. What is further away than anything sets
// it was noted while the clock was wrong, and does not count.
func held(st seen.Standing, now time.Time) time.Duration {
	left := st.NotBefore.Sub(now)
	if left > 2*longestHold {
		return 0
	}
	return left
}

// begin takes over what earlier runs have found out about the server, and returns admit's error.
func (s *session) begin(st seen.Standing) error {
	s.shortfall, s.announced = st.Shortfall, st.Announced
	s.beginLockstep(st)
	return s.admit(st)
}

// admit returns a *LoginError if the account must not log in yet: nothing is sent then, since servers count each attempt.
func (s *session) admit(st seen.Standing) error {
	left := held(st, s.runner.now())
	switch {
	case left <= 0:
		return nil
	case st.Refusals >= maxRefusals:
		return s.leaveAlone(st)
	}
	return s.fail(PhaseLogin, &LoginError{Fault: LoginHeld, Err: fmt.Errorf("%s: %s left", st.Reason, inWords(left))})
}

// notBefore returns when the server lets the account log in again. That it is left alone because of refusals does not count:
// the password may change.
func (s *session) notBefore() time.Time {
	st, err := s.standing()
	if err != nil || st.Refusals >= maxRefusals || held(st, s.runner.now()) <= 0 {
		return time.Time{}
	}
	return st.NotBefore
}

// inWords rounds up: who comes back after that time is not too early.
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

// postpone has no log-in of the account, in this run and in later ones, before until; of two such times the later one
// stands. The reason is what admit says.
func (s *session) postpone(until time.Time, reason string) error {
	now := s.runner.now()
	if latest := now.Add(longestHold); until.After(latest) {
		until = latest
	}
	return s.changeStanding(func(st *seen.Standing) {
		if held(*st, now) < until.Sub(now) {
			st.NotBefore, st.Reason = until, reason
		}
	})
}

// entered tells whether the standing is that of the account as it is now: a look may come before the first run, or before the
// first one with another server or user.
func (s *session) entered() bool {
	return !s.known.Since.IsZero() && s.known.Server == s.account.Server && s.known.User == s.account.User
}

// standing returns what earlier runs have found out about the server.
func (s *session) standing() (seen.Standing, error) {
	if !s.entered() {
		return seen.Standing{}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.hard), recordTimeout)
	defer cancel()
	st, err := s.ledger.Standing(ctx)
	if err != nil {
		return seen.Standing{}, s.fail(PhaseState, err)
	}
	s.standingRead = &st
	return st, nil
}

// changeStanding notes what is found out about the server also when the run is being stopped. Of an account that no run
// has entered yet nothing is kept.
func (s *session) changeStanding(change func(*seen.Standing)) error {
	if !s.entered() {
		return nil
	}
	if s.standingRead != nil { // nearly always nothing changes, and then the table need not be asked; what a look notes meanwhile is kept
		st := *s.standingRead
		if change(&st); st.Equal(*s.standingRead) {
			return nil
		}
	}
	s.standingRead = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.hard), recordTimeout)
	defer cancel()
	if err := s.ledger.ChangeStanding(ctx, change); err != nil {
		return s.fail(PhaseRecord, err)
	}
	return nil
}

// noteLoginDelay remembers until when the server, whose LOGIN-DELAY has the parameters, wants no other log-in after the one
// at the time at (RFC 2449 section 6.5, R2449-4).
func (s *session) noteLoginDelay(params []string, at time.Time) error {
	if len(params) == 0 {
		return nil
	}
	seconds, err := strconv.ParseUint(params[0], 10, 31)
	if err != nil || seconds == 0 {
		return nil //nolint:nilerr // a server that does not say how long says nothing
	}
	return s.postpone(at.Add(time.Duration(seconds)*time.Second), "login delay")
}

// pause waits until a further session of this run may log in, and returns the error of admit where that takes longer than
// the run may last.
func (s *session) pause() error {
	st, err := s.standing()
	if err != nil {
		return err
	}
	left := held(st, s.runner.now())
	if left > 0 && left < s.timeLeft() {
		wait(s.soft, left)
	}
	return s.admit(st)
}

// timeLeft returns how long a run may wait for its next session.
func (s *session) timeLeft() time.Duration {
	if deadline, ok := s.soft.Deadline(); ok {
		return time.Until(deadline)
	}
	return longestPause
}
