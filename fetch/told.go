package fetch

import (
	"time"

	"github.com/popfetch/popfetch/seen"
)

// tellAgain is how long the same refusal of a message is not told again.
const tellAgain = 23 * time.Hour

// beginNotices hands what earlier runs have left to the Notices.
func (s *session) beginNotices(st seen.Standing) {
	if s.runner.Notices != nil {
		s.runner.Notices.Begin(s.account.Name, Told{st.Told, st.ToldAt})
		s.noticing = true
	}
}

// finished tells how the run ended, and then keeps what was told, for the runs to come.
func (s *session) finished(err error) {
	s.event(Event{Kind: Finished, Messages: s.result.Delivered, Octets: s.result.Octets, Err: err})
	if !s.noticing {
		return
	}
	_ = s.changeStanding(func(st *seen.Standing) { // where it fails, it is told again
		told := s.runner.Notices.End(s.account.Name, Told{st.Told, st.ToldAt})
		st.Told, st.ToldAt = told.Lines, told.At
	})
}
