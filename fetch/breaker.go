package fetch

import (
	"errors"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Servers lock accounts after some wrong passwords, and cron would send one for ever. So an account whose log-in was
// refused three times in a row, over all runs, is left alone for a time that grows with each further refusal.
const (
	maxRefusals = 3
	firstRest   = 15 * time.Minute
	longestRest = 24 * time.Hour
)

// rest is how long an account is left alone after so many refusals in a row.
func rest(refusals int) time.Duration {
	if refusals < maxRefusals {
		return 0
	}
	return min(firstRest<<min(refusals-maxRefusals, 10), longestRest)
}

// leaveAlone is admit for an account that is left alone because of refusals. Only another password gets past it, and
// somebody who checks the account. The password is asked for, as by any run: a changed one is to count at once.
func (s *session) leaveAlone(st seen.Standing) error {
	if s.checking {
		return nil
	}
	if s.account.Changed != nil {
		changed, err := s.account.Changed(s.soft, st.Credential)
		if err != nil {
			return s.fail(PhaseLogin, err)
		}
		if changed {
			return s.changeStanding(forgive)
		}
	}
	return s.fail(PhaseLogin, &login.Error{Fault: login.Refused, Until: st.NotBefore,
		Err: fmt.Errorf("%s; %s", st.Reason, s.untilWhen(st))})
}

// untilWhen says how long the account is left alone, and what ends that.
func (s *session) untilWhen(st seen.Standing) string {
	check := "popfetch check " + s.account.Name
	if s.account.State != "" { // made of options
		check = "popfetch check with the same options"
	}
	return fmt.Sprintf("refused %d times in a row, so the account is left alone until %s; a changed password, or %s, ends that",
		st.Refusals, st.NotBefore.Local().Format("2006-01-02 15:04"), check)
}

// forgive ends what refusals have brought about.
func forgive(st *seen.Standing) {
	if st.Refusals > 0 {
		st.Refusals, st.Credential, st.NotBefore, st.Reason = 0, nil, time.Time{}, ""
	}
}

// noteLogin keeps what a log-in came to for the runs to come, and returns its error with what follows from it. Only
// refusals count, not what passes by itself; nor do those that somebody sees who checks the account.
func (s *session) noteLogin(err error) error {
	var failed *login.Error
	if err == nil {
		if err := s.changeStanding(forgive); err != nil || s.looking {
			return err
		}
		announced := s.announcement()
		_ = s.changeStanding(func(st *seen.Standing) { st.Announced = announced }) // without it the next run takes a turn more
		return nil
	}
	if errors.As(err, &failed) && !s.checking {
		switch failed.Fault {
		case login.Refused:
			err = s.countRefusal(failed)
		case login.Later:
			err = s.noteTooSoon(failed)
		}
	}
	return s.fail(PhaseLogin, err)
}

func (s *session) countRefusal(failed *login.Error) error {
	now := s.runner.now()
	var standing seen.Standing
	err := s.changeStanding(func(st *seen.Standing) {
		st.Refusals++
		st.Credential = failed.Credential
		if d := rest(st.Refusals); d > 0 {
			st.NotBefore, st.Reason = now.Add(d), failed.Err.Error()
		}
		standing = *st
	})
	if err != nil {
		return fmt.Errorf("%w; that cannot be noted, so that the next run tries it again: %w", failed, err)
	}
	if standing.Refusals >= maxRefusals {
		return &login.Error{Fault: login.Refused, Until: standing.NotBefore, Err: fmt.Errorf("%w; %s", failed.Err, s.untilWhen(standing))}
	}
	return failed
}

// tooSoon is how long a server is left alone that finds a log-in too soon ([LOGIN-DELAY]) and does not announce what it wants.
const tooSoon = "300" // seconds

// noteTooSoon remembers that the server wants a log-in later than what is known of it would let the next run try.
func (s *session) noteTooSoon(failed *login.Error) error {
	var reply *pop3.ReplyError
	if !errors.As(failed, &reply) || reply.Code != pop3.CodeLoginDelay {
		return failed
	}
	delay, announced := s.client.Capabilities()["LOGIN-DELAY"]
	if !announced {
		delay = []string{tooSoon}
	}
	if err := s.noteLoginDelay(delay, s.runner.now()); err != nil {
		return fmt.Errorf("%w; that cannot be noted: %w", failed, err)
	}
	return failed
}
