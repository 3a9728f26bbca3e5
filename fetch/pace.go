package fetch

import (
	"errors"
	"time"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Some servers announce PIPELINING and break it (behaviour 39, R2449-3): the session gets out of
// step, or ends. Then the run goes on with one command at a time. If that works, pipelining was the
// cause, which is remembered for some weeks. If a session ended between two replies, the cause may
// also be the network or a restart. That is remembered for a day, and for weeks if it happens again.
// No sound server sends an invalid reply, or a message that differs when asked for alone.
const (
	lockstepFor      = 4 * 7 * 24 * time.Hour
	lockstepForDoubt = 24 * time.Hour
)

// pace says whether a server gets one command at a time, and why.
type pace struct {
	lockstep     bool  // one command at a time
	fellBack     error // why, if this run found it out and it is not remembered yet
	brokenBefore bool  // the server broke pipelining some time ago
}

func newPace(st seen.Standing, now time.Time) pace {
	p := pace{brokenBefore: !st.LockstepSince.IsZero()}
	since := now.Sub(st.LockstepSince)
	p.lockstep = p.brokenBefore && since < lockstepFor && since > -lockstepFor // no clock was that wrong
	return p
}

// pipelines reports whether commands are pipelined in this run.
func (m *memory) pipelines() bool { return !m.pace.lockstep && m.job.account.POP3.Window != 1 }

// fallBack is blame if err may come from pipelining, and reports whether it is. It is so only once.
func (m *memory) fallBack(err error) bool {
	if !errors.Is(err, pop3.ErrPipelining) || !m.pipelines() {
		return false
	}
	m.blame(err)
	return true
}

// blame makes the run go on with one command at a time: evidence shows broken pipelining.
func (m *memory) blame(evidence error) {
	if m.pipelines() {
		m.pace.lockstep, m.pace.fellBack = true, evidence
	}
}

// settlePace is called after a successful session that retrieved so many messages. It remembers
// what the session has shown about the server's pipelining.
func (m *memory) settlePace(retrieved int) error {
	p := &m.pace
	since := time.Time{}
	switch {
	case p.fellBack != nil:
		since = m.job.now()
		if mayBeNetwork(p.fellBack) && !p.brokenBefore {
			since = since.Add(lockstepForDoubt - lockstepFor)
		}
		m.job.warn(CodePipeliningBroken, "the server announces PIPELINING and breaks it, "+
			"so that it gets one command at a time until %s: %w",
			since.Add(lockstepFor).Format(time.DateOnly), p.fellBack)
		p.fellBack, p.brokenBefore = nil, true
	case !p.brokenBefore || !m.pipelines() || retrieved < 2:
		return nil
	}
	return m.change(func(st *seen.Standing) { st.LockstepSince = since })
}

// mayBeNetwork reports whether the network may have been the cause.
func mayBeNetwork(err error) bool {
	var protocol *pop3.ProtocolError
	return errors.Is(err, pop3.ErrPipelining) && !errors.As(err, &protocol)
}
