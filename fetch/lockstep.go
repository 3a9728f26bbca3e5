package fetch

import (
	"errors"
	"time"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Some servers announce PIPELINING and break it (behaviour 39, R2449-3): the session gets out of step, or ends. Then the run
// goes on with one command at a time, and if that goes well it was the pipelining, and is remembered. How long depends on
// what was seen: a reply that is none, or a message that came otherwise when asked for alone, happens on no sound server. But a
// session that ends between two replies may also be the network's fault, or a server that was restarted; that is
// remembered for a day, and for as long as the others only if it happens again when pipelining is tried again.
const (
	lockstepFor      = 4 * 7 * 24 * time.Hour
	lockstepForDoubt = 24 * time.Hour
)

// beginLockstep tells from what is remembered whether the server gets one command at a time.
func (s *session) beginLockstep(st seen.Standing) {
	s.brokenBefore = !st.LockstepSince.IsZero()
	since := s.runner.now().Sub(st.LockstepSince)
	s.lockstep = s.brokenBefore && since < lockstepFor && since > -lockstepFor // no clock was that wrong
}

// pipelines tells whether commands are pipelined in this run.
func (s *session) pipelines() bool { return !s.lockstep && s.account.POP3.Window != 1 }

// fallBack tells whether the run goes on one command at a time after err; it does so once.
func (s *session) fallBack(err error) bool {
	if !errors.Is(err, pop3.ErrPipelining) || !s.pipelines() {
		return false
	}
	s.lockstep, s.fellBack = true, err
	return true
}

// blameServer remembers that the server breaks pipelining, and goes on one command at a time.
func (s *session) blameServer(evidence error) {
	if s.pipelines() {
		s.lockstep, s.fellBack = true, evidence
	}
}

// settleLockstep remembers, after a session that went well, what it has shown of the server's pipelining.
func (s *session) settleLockstep() error {
	since := time.Time{}
	switch {
	case s.fellBack != nil:
		since = s.runner.now()
		if mayBeNetwork(s.fellBack) && !s.brokenBefore {
			since = since.Add(lockstepForDoubt - lockstepFor)
		}
		s.warn(CodePipeliningBroken, "the server announces PIPELINING and breaks it, so that it gets one command at a time until %s: %w",
			since.Add(lockstepFor).Format(time.DateOnly), s.fellBack)
		s.fellBack, s.brokenBefore = nil, true
	case !s.brokenBefore || !s.pipelines() || len(s.retrieved) < 2:
		return nil
	}
	return s.changeStanding(func(st *seen.Standing) { st.LockstepSince = since })
}

// mayBeNetwork tells whether the network may have been the cause.
func mayBeNetwork(err error) bool {
	var protocol *pop3.ProtocolError
	return errors.Is(err, pop3.ErrPipelining) && !errors.As(err, &protocol)
}
